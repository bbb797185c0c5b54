import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openPluggedInAuthority, openSelfSignedRoot } from "./ca-files.ts";
import { BACKDATE_MS } from "./certificate-authority.ts";
import { type Certificate, certificateToPem } from "./certificate.ts";
import { issueRoot, issueSigner, issuerOf } from "./issue-certificate.ts";
import { createKeyPair, privateKeyToPem } from "./keys.ts";
import { NOW_MS } from "./test-certificates.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "glassmesh-certs-"));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const YEAR_MS = 365 * 24 * 3_600_000;
const validity = { notBeforeMs: NOW_MS - BACKDATE_MS, notAfterMs: NOW_MS + YEAR_MS };
const isRoot = process.getuid?.() === 0;

/** Runs as somebody who owns nothing, where the test runs as root. */
function unprivileged<T>(action: () => T): T {
  if (!isRoot) return action();
  process.seteuid?.(65_534);
  try {
    return action();
  } finally {
    process.seteuid?.(0);
  }
}

async function rejection(promise: Promise<unknown>): Promise<{ readonly code: unknown; readonly message: string }> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error && "code" in error) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("it was accepted");
}

function thrown(action: () => unknown): { readonly code: unknown; readonly message: string } {
  try {
    action();
  } catch (error) {
    if (error instanceof Error && "code" in error) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("it was accepted");
}

describe("self-signed root", () => {
  const open = (trustDomain = "example.org", nowMs = NOW_MS) =>
    openSelfSignedRoot(join(directory, "ca"), trustDomain, nowMs);
  const keyFile = () => join(directory, "ca", "ca-key.pem");
  const certificateFile = () => join(directory, "ca", "ca-cert.pem");

  test("is made once, with a key for its owner only, and used again after a restart", async () => {
    const first = await open();
    expect(first).toMatchObject({ isNew: true, problems: [] });
    expect(statSync(keyFile()).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(directory, "ca")).sort()).toEqual(["ca-cert.pem", "ca-key.pem"]);
    expect(first.material.certificate.notAfterMs).toBe(NOW_MS + 3650 * 24 * 3_600_000);
    const second = await open("example.org", NOW_MS + YEAR_MS);
    expect(second.isNew).toBe(false);
    expect(second.material.certificate.sha256).toBe(first.material.certificate.sha256);
  });

  test("two that start at once agree", async () => {
    const [a, b, c] = await Promise.all([open(), open(), open()]);
    expect(b.material.certificate.sha256).toBe(a.material.certificate.sha256);
    expect(c.material.certificate.sha256).toBe(a.material.certificate.sha256);
  });

  test("a start that died between key and certificate is completed", async () => {
    mkdirSync(join(directory, "ca"));
    const { privateKey } = await createKeyPair("ECDSA_P256");
    writeFileSync(keyFile(), privateKeyToPem(privateKey), { mode: 0o600 });
    expect((await open()).material.key.equals(privateKey)).toBe(true);
  });

  test("a certificate without its key is an error that names both", async () => {
    await open();
    rmSync(keyFile());
    const { code, message } = await rejection(open());
    expect(code).toBe("ca-file-missing");
    expect(message).toContain(`${keyFile()} is missing, but ${certificateFile()} is there`);
  });

  test("a key that others may read is a warning with the command that mends it", async () => {
    await open();
    chmodSync(keyFile(), 0o644);
    const { problems } = await open();
    expect(problems).toEqual([
      expect.objectContaining({
        code: "ca-key-readable",
        level: "warning",
        message: expect.stringContaining(`chmod 600 ${keyFile()}`),
      }),
    ]);
  });

  test("the last fifth of its life is a warning, its end an error", async () => {
    await open();
    const near = await open("example.org", NOW_MS + 9 * YEAR_MS);
    expect(near.problems).toEqual([expect.objectContaining({ code: "ca-expires-soon" })]);
    const { code, message } = await rejection(open("example.org", NOW_MS + 11 * YEAR_MS));
    expect(code).toBe("ca-chain-invalid");
    expect(message).toMatch(/expired at .*\. Replace the expired certificate\./);
  });

  test("another trust domain is refused, naming both", async () => {
    await open();
    const { code, message } = await rejection(open("other.org"));
    expect(code).toBe("ca-trust-domain-mismatch");
    expect(message).toContain('is the root of spiffe://example.org, but the trust domain is "other.org"');
  });

  test("a bad trust domain makes no root", async () => {
    expect((await rejection(open("Example.org"))).code).toBe("spiffe-id-invalid");
    expect(existsSync(certificateFile())).toBe(false);
  });

  test("a key file that is something else is named", async () => {
    await open();
    writeFileSync(keyFile(), "hello");
    expect((await rejection(open())).message).toContain(`${keyFile()}: there is no private key that can be read`);
  });

  test("a directory that cannot be made is named", async () => {
    writeFileSync(join(directory, "file"), "");
    const { code, message } = await rejection(openSelfSignedRoot(join(directory, "file", "ca"), "example.org", NOW_MS));
    expect(code).toBe("ca-directory-unusable");
    expect(message).toContain(join(directory, "file", "ca"));
  });
});

interface Layout {
  readonly root: Certificate;
  readonly middle: Certificate;
  readonly signer: Certificate;
}

/** Istio's cacerts: root → middle → signer. */
async function writeCacerts(
  options: { readonly signerTtlMs?: number; readonly pathLength?: number } = {},
): Promise<Layout> {
  const [rootKeys, middleKeys, signerKeys] = await Promise.all([
    createKeyPair("RSA_2048"),
    createKeyPair("ECDSA_P256"),
    createKeyPair("ECDSA_P256"),
  ]);
  const spki = (keys: typeof rootKeys) => keys.publicKey.export({ type: "spki", format: "der" });
  const root = issueRoot(rootKeys.privateKey, { organization: "Acme", commonName: "root", validity });
  const middle = issueSigner(issuerOf(root, rootKeys.privateKey), spki(middleKeys), {
    organization: "Acme",
    commonName: "middle",
    validity,
  });
  const signer = issueSigner(issuerOf(middle, middleKeys.privateKey), spki(signerKeys), {
    organization: "Acme",
    commonName: "cluster 1",
    pathLength: options.pathLength ?? 0,
    validity: { ...validity, notAfterMs: NOW_MS + (options.signerTtlMs ?? YEAR_MS) },
  });
  write("ca-cert.pem", certificateToPem(signer));
  write("ca-key.pem", privateKeyToPem(signerKeys.privateKey));
  write("cert-chain.pem", certificateToPem(signer) + certificateToPem(middle));
  write("root-cert.pem", certificateToPem(root));
  return { root, middle, signer };
}

const file = (name: string) => join(directory, name);
const write = (name: string, content: string) => writeFileSync(file(name), content, { mode: 0o600 });
const plugIn = () => openPluggedInAuthority(directory, NOW_MS);
const FILES = ["ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"];

describe("plugged-in CA (cacerts)", () => {
  test("is verified and gives signer, intermediates without the root, and root", async () => {
    const { root, middle, signer } = await writeCacerts();
    const { material, problems } = plugIn();
    expect(problems).toEqual([]);
    expect(material.intermediates.map(({ sha256 }) => sha256)).toEqual([signer.sha256, middle.sha256]);
    expect(material.roots.map(({ sha256 }) => sha256)).toEqual([root.sha256]);
  });

  test("the root in cert-chain.pem, or the signer missing there, makes no difference", async () => {
    const { root, middle, signer } = await writeCacerts();
    for (const chain of [[signer, middle, root], [middle]]) {
      write("cert-chain.pem", chain.map(certificateToPem).join(""));
      expect(plugIn().material.intermediates.map(({ sha256 }) => sha256)).toEqual([signer.sha256, middle.sha256]);
    }
  });

  test("several roots are all trusted, the own one first", async () => {
    const { root } = await writeCacerts();
    const other = issueRoot((await createKeyPair("ECDSA_P256")).privateKey, { organization: "Old", validity });
    write("root-cert.pem", certificateToPem(other) + certificateToPem(root));
    expect(plugIn().material.roots.map(({ sha256 }) => sha256)).toEqual([root.sha256, other.sha256]);
  });

  test.each(FILES)("%s missing is named", async (name) => {
    await writeCacerts();
    rmSync(file(name));
    expect(thrown(plugIn)).toEqual({
      code: "ca-file-missing",
      message: expect.stringContaining(`${file(name)} does not exist`),
    });
  });

  test("a directory that is not there is named, with what it should hold", () => {
    const { code, message } = thrown(() => openPluggedInAuthority(file("nowhere"), NOW_MS));
    expect(code).toBe("ca-file-missing");
    expect(message).toContain(`${file("nowhere")} does not exist`);
    expect(message).toContain("It should hold ca-cert.pem, ca-key.pem, root-cert.pem and cert-chain.pem");
  });

  test.each(FILES)("%s without permission is named, with the way out", async (name) => {
    await writeCacerts();
    chmodSync(directory, 0o755);
    for (const other of FILES) chmodSync(file(other), 0o644);
    chmodSync(file(name), 0o000);
    expect(thrown(() => unprivileged(plugIn))).toEqual({
      code: "ca-file-unreadable",
      message: expect.stringMatching(new RegExp(`${name} may not be read by this user \\(EACCES\\).*chmod u\\+r`)),
    });
  });

  test("a directory without permission is named", async () => {
    await writeCacerts();
    chmodSync(directory, 0o000);
    try {
      const { code, message } = thrown(() => unprivileged(plugIn));
      expect(code).toBe("ca-file-unreadable");
      expect(message).toContain(`${directory} may not be read by this user`);
    } finally {
      chmodSync(directory, 0o700);
    }
  });

  test("a key of another certificate is named with both files", async () => {
    await writeCacerts();
    write("ca-key.pem", privateKeyToPem((await createKeyPair("ECDSA_P256")).privateKey));
    expect(thrown(plugIn)).toEqual({
      code: "ca-key-mismatch",
      message: expect.stringContaining(
        `${file("ca-key.pem")} is not the private key of the certificate in ${file("ca-cert.pem")}`,
      ),
    });
  });

  test("an encrypted key is named as such", async () => {
    await writeCacerts();
    const { privateKey } = await createKeyPair("ECDSA_P256");
    write(
      "ca-key.pem",
      privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" }).toString(),
    );
    expect(thrown(plugIn).message).toContain("It is encrypted");
  });

  test("a chain with a gap, or to another root, is told", async () => {
    const { signer } = await writeCacerts();
    write("cert-chain.pem", certificateToPem(signer));
    const { code, message } = thrown(plugIn);
    expect(code).toBe("ca-chain-invalid");
    expect(message).toContain(`Put every certificate between the two into ${file("cert-chain.pem")}`);
    expect(message).toContain('(issuer "CN=middle,O=Acme")');
  });

  test("an expired signer is told", async () => {
    await writeCacerts({ signerTtlMs: -1000 });
    expect(thrown(plugIn).message).toMatch(/expired at 2025-12-31T23:59:59.000Z\. Replace the expired certificate/);
  });

  test("a certificate that is no CA is told", async () => {
    await writeCacerts();
    const { privateKey, publicKey } = await createKeyPair("ECDSA_P256");
    const root = issueRoot(privateKey, { organization: "x", validity });
    const { issueLeaf } = await import("./issue-certificate.ts");
    const { encodePem } = await import("./pem.ts");
    const leaf = issueLeaf(
      issuerOf(root, privateKey),
      publicKey.export({ type: "spki", format: "der" }),
      "ec",
      { uris: ["spiffe://a/b"] },
      validity,
    );
    write("ca-cert.pem", encodePem("CERTIFICATE", leaf));
    write("ca-key.pem", privateKeyToPem(privateKey));
    expect(thrown(plugIn)).toMatchObject({
      code: "ca-certificate-unfit",
      message: expect.stringContaining("it signs but is no CA"),
    });
  });

  test.each(FILES.filter((name) => name !== "ca-key.pem"))("%s that is no PEM is named", async (name) => {
    await writeCacerts();
    write(name, "hello");
    expect(thrown(plugIn)).toEqual({ code: "pem-invalid", message: expect.stringContaining(file(name)) });
  });
});
