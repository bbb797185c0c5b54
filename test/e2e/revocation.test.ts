/** A list in `ca-crl.pem` of a plugged-in CA: what is revoked is refused while the mesh runs, and nothing else is. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { certificateToPem } from "#certs/certificate.ts";
import { issueRoot, issueSigner, issuerOf } from "#certs/issue-certificate.ts";
import { createKeyPair, privateKeyToPem } from "#certs/keys.ts";
import { testCrl } from "#certs/test-certificates.ts";
import { needEnvoy } from "../needs.ts";
import { deployment, destinationRule, service, testMesh, type TestMesh } from "./mesh.ts";

const WAIT = { timeout: 30_000, interval: 250 };
const HOUR_MS = 3_600_000;

/** A CA in Istio's layout, an intermediate below a root. */
async function pluggedIn(directory: string) {
  const now = Math.floor(Date.now() / 1000) * 1000;
  const period = { thisUpdateMs: now - HOUR_MS, nextUpdateMs: now + 24 * HOUR_MS };
  const validity = { notBeforeMs: now - HOUR_MS, notAfterMs: now + 24 * HOUR_MS };
  const top = await createKeyPair("ECDSA_P256");
  const root = { certificate: issueRoot(top.privateKey, { organization: "root", validity }), key: top.privateKey };
  const below = await createKeyPair("ECDSA_P256");
  const publicKeyDer = below.publicKey.export({ type: "spki", format: "der" });
  const signer = {
    certificate: issueSigner(issuerOf(root.certificate, root.key), publicKeyDer, { organization: "signer", validity }),
    key: below.privateKey,
  };
  const write = (name: string, text: string): void => writeFileSync(join(directory, name), text, { mode: 0o600 });
  write("ca-cert.pem", certificateToPem(signer.certificate));
  write("ca-key.pem", privateKeyToPem(signer.key));
  write("root-cert.pem", certificateToPem(root.certificate));
  write("cert-chain.pem", certificateToPem(signer.certificate) + certificateToPem(root.certificate));
  return {
    /** No argument: an empty file, no lists. */
    revoke: (...serials: readonly string[]): void =>
      write("ca-crl.pem", serials.length === 0 ? "" : testCrl(root, [], period) + testCrl(signer, serials, period)),
  };
}

describe.each(["glassmesh", "envoy"] as const)("ca-crl.pem, %s", (dataPlane) => {
  const missing = dataPlane === "envoy" ? needEnvoy().missing : undefined;
  const directory = mkdtempSync(join(tmpdir(), "glassmesh-cacerts-"));
  let mesh: TestMesh;
  let ca: Awaited<ReturnType<typeof pluggedIn>>;

  beforeAll(async () => {
    if (missing !== undefined) return;
    ca = await pluggedIn(directory);
    const files = {
      "mesh.yaml":
        deployment("client", { port: undefined }) +
        deployment("other", { port: undefined }) +
        deployment("echo") +
        service("echo") +
        destinationRule("echo", "trafficPolicy: { connectionPool: { http: { maxRequestsPerConnection: 1 } } }"),
    };
    mesh = await testMesh(files, { dataPlane, cacerts: directory });
  }, 90_000);

  afterAll(() => rmSync(directory, { recursive: true }));

  const statuses = async (from: string) =>
    Object.keys((await mesh.call(from, "http://echo.default.svc.cluster.local/")).statuses).join();

  test.skipIf(missing !== undefined)(
    "a revoked workload is refused, the others are not; an emptied list ends it",
    async () => {
      const shown = await mesh.run("cert", "show", "client", "-o", "json");
      const held = JSON.parse(shown.out) as readonly {
        readonly names: readonly string[];
        readonly serialNumber: string;
      }[];
      const own = held.find(({ names }) => names.some((name) => name.endsWith("/sa/client")));
      expect([await statuses("client"), await statuses("other")]).toEqual(["200", "200"]);

      ca.revoke(own?.serialNumber ?? "");
      await vi.waitFor(async () => expect(await statuses("client")).toBe("503"), WAIT);
      expect(await statuses("other")).toBe("200");

      ca.revoke();
      await vi.waitFor(async () => expect(await statuses("client")).toBe("200"), WAIT);
    },
    90_000,
  );
});
