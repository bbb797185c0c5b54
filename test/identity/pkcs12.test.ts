import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { describe, expect, test } from "vitest";
import { createCertificateAuthority } from "#certs/certificate-authority.ts";
import { createKeyPair, type KeyType, privateKeyToPem } from "#certs/keys.ts";
import { selfSignedRoot } from "#certs/signing-material.ts";
import { istioSpiffeId } from "#certs/spiffe-id.ts";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { needProgram } from "../needs.ts";
import { toPkcs12 } from "#cli/cert/pkcs12.ts";

const { missing, path: openssl } = needProgram("openssl", "apt-get install openssl");
const { clock } = simulatedRuntime();
const id = istioSpiffeId({ trustDomain: "cluster.local", namespace: "default", serviceAccount: "web" });

async function made(keyType: KeyType) {
  const { privateKey: key } = await createKeyPair("ECDSA_P256");
  const certificate = selfSignedRoot(key, "cluster.local", clock.now());
  const authority = createCertificateAuthority({
    material: { certificate, key, intermediates: [], roots: [certificate] },
    clock,
  });
  const keys = await createKeyPair(keyType);
  const publicKeyDer = keys.publicKey.export({ type: "spki", format: "der" });
  const { chain } = authority.signWorkload({ publicKey: keys.publicKey, publicKeyDer }, id);
  return { keys, certificateChain: chain.slice(0, -1).join(""), trustBundle: chain.at(-1) ?? "" };
}

describe("PKCS#12", () => {
  test.skipIf(missing !== undefined).each<KeyType>(["RSA_2048", "ECDSA_P256"])(
    "openssl reads %s key and certificates, byte for byte",
    async (keyType) => {
      const obtained = await made(keyType);
      const directory = mkdtempSync(join(tmpdir(), "glassmesh-p12-"));
      const file = join(directory, "web.p12");
      writeFileSync(file, toPkcs12(obtained, "pässword"));
      const read = (password: string): string =>
        execFileSync(openssl, ["pkcs12", "-in", file, "-nodes", "-passin", `pass:${password}`], {
          encoding: "utf8",
          stdio: ["ignore", "pipe", "pipe"],
        });
      const text = read("pässword");
      expect(blocks(text, "PRIVATE KEY")).toEqual(blocks(privateKeyToPem(obtained.keys.privateKey), "PRIVATE KEY"));
      expect(blocks(text, "CERTIFICATE")).toEqual(
        blocks(obtained.certificateChain + obtained.trustBundle, "CERTIFICATE"),
      );
      expect(() => read("wrong")).toThrow(/invalid password|mac verify/i);
      rmSync(directory, { recursive: true });
    },
  );

  test("Node serves TLS with it; with another password, or a byte changed, it does not", async () => {
    const pfx = toPkcs12(await made("RSA_2048"), "secret");
    expect(createSecureContext({ pfx, passphrase: "secret" })).toBeDefined();
    expect(() => createSecureContext({ pfx, passphrase: "other" })).toThrow();
    const broken = Buffer.from(pfx);
    broken.writeUInt8(broken.readUInt8(200) ^ 1, 200);
    expect(() => createSecureContext({ pfx: broken, passphrase: "secret" })).toThrow();
  });
});

function blocks(pem: string, label: string): readonly string[] {
  return pem.match(new RegExp(`-----BEGIN ${label}-----[^-]*-----END ${label}-----`, "g")) ?? [];
}
