import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createCertificateAuthority } from "#certs/certificate-authority.ts";
import { certificatesFromPem, certificateToPem } from "#certs/certificate.ts";
import { parseCsr } from "#certs/csr.ts";
import { createKeyPair } from "#certs/keys.ts";
import { selfSignedRoot } from "#certs/signing-material.ts";
import { parseSpiffeId } from "#certs/spiffe-id.ts";
import { MeshError } from "#lib/problem.ts";
import { simulatedRuntime, type SimulatedRuntime } from "#lib/simulated-runtime.ts";
import { createStatsStore } from "#proxy/observability/stats-store.ts";
import type { Secret } from "#proxy/tls/types.ts";
import type { CaClient, CertificateResponse } from "./types.ts";
import { createWorkloadIdentity } from "./workload-identity.ts";

const ID = parseSpiffeId("spiffe://cluster.local/ns/default/sa/web");
const MINUTE_MS = 60_000;

/** A CA in this process with a root of its own. */
async function simulatedCa(runtime: SimulatedRuntime) {
  const make = async () => {
    const { privateKey } = await createKeyPair("ECDSA_P256");
    const certificate = selfSignedRoot(privateKey, "cluster.local", runtime.clock.now());
    const material = { certificate, key: privateKey, intermediates: [], roots: [certificate] };
    return { certificate, authority: createCertificateAuthority({ material, clock: runtime.clock }) };
  };
  let current = await make();
  const roots = certificateToPem(current.certificate);
  const state = {
    isDown: false,
    change: (response: CertificateResponse): CertificateResponse => response,
    calls: 0,
    isClosed: false,
  };
  const client: CaClient = {
    createCertificate: ({ csr, validitySeconds }) => {
      state.calls++;
      if (state.isDown) return Promise.reject(new MeshError("ca-unreachable", "The CA cannot be reached."));
      const issued = current.authority.signWorkload(parseCsr(csr), ID, validitySeconds * 1000);
      return Promise.resolve(state.change({ certChain: issued.chain, caRoots: roots }));
    },
    close: () => {
      state.isClosed = true;
    },
  };
  return {
    client,
    state,
    roots,
    replaceRoot: async () => void (current = await make()),
    rootPem: () => certificateToPem(current.certificate),
  };
}

async function strangeRoot(runtime: SimulatedRuntime) {
  const { privateKey } = await createKeyPair("ECDSA_P256");
  return { certificate: selfSignedRoot(privateKey, "cluster.local", runtime.clock.now()) };
}

async function world(change?: (response: CertificateResponse) => CertificateResponse) {
  const runtime = simulatedRuntime();
  const ca = await simulatedCa(runtime);
  if (change !== undefined) ca.state.change = change;
  const stats = createStatsStore();
  const config = {
    caAddress: "ca:1",
    caRootCertificateFile: "root.pem",
    tokenFile: "token",
    trustDomain: "cluster.local",
    keyType: "ECDSA_P256" as const,
    requestedTtlMs: MINUTE_MS,
  };
  const identity = createWorkloadIdentity({ runtime, config, client: ca.client, scope: stats.root });
  const certificates: X509Certificate[] = [];
  const keys: string[] = [];
  const bundles: string[] = [];
  identity.subscribe("default", (secret) => {
    if (secret.kind !== "certificate") throw new Error("wrong kind");
    certificates.push(new X509Certificate(secret.certificateChain));
    keys.push(secret.privateKey);
  });
  identity.subscribe("ROOTCA", (secret) => {
    if (secret.kind === "validation") bundles.push(secret.trustedCa);
  });
  const counter = (name: string): number => stats.root.counter(name).value;
  return { runtime, ca, identity, certificates, keys, bundles, counter, stats };
}

describe("workload identity", () => {
  test("serves certificate and trust bundle under SDS's names", async () => {
    const { runtime, certificates, bundles, ca, identity, stats } = await world();
    await runtime.settle();
    expect(certificates.map(({ subjectAltName }) => subjectAltName)).toEqual([`URI:${ID.uri}`]);
    expect(bundles).toEqual([ca.roots]);
    expect(identity.current?.id).toEqual(ID);
    expect(stats.root.gauge("identity.certificate_expiry_timestamp_seconds").value).toBe(
      (runtime.clock.now() + MINUTE_MS) / 1000,
    );
    expect(["default", "ROOTCA", "kubernetes://x"].map((name) => identity.serves(name))).toEqual([true, true, false]);
    const heard: Secret[] = [];
    identity.subscribe("kubernetes://x", (secret) => void heard.push(secret)).close();
    expect(heard).toEqual([]);
    expect(runtime.logLines.at(-1)).toContain(
      'secret "kubernetes://x" will never come: the workload identity serves default and ROOTCA',
    );
  });

  test("a late subscriber hears at once, a closed one no more", async () => {
    const { runtime, identity } = await world();
    await runtime.settle();
    const heard: Secret["kind"][] = [];
    const first = identity.subscribe("default", ({ kind }) => void heard.push(kind));
    identity.subscribe("ROOTCA", ({ kind }) => void heard.push(kind));
    expect(heard).toEqual(["certificate", "validation"]);
    first.close();
    await runtime.advance(MINUTE_MS);
    expect(heard).toEqual(["certificate", "validation"]);
  });

  test("one-minute certificates: an hour long there is always one that lives, each with a new key", async () => {
    const { runtime, certificates, keys, bundles, counter } = await world();
    await runtime.settle();
    for (let second = 0; second < 3600; second++) {
      await runtime.advance(1000);
      expect(certificates.at(-1)?.validToDate.getTime() ?? 0).toBeGreaterThan(runtime.clock.now() + 25_000);
    }
    expect(certificates.length).toBeGreaterThanOrEqual(118);
    expect(new Set(keys).size).toBe(keys.length);
    expect(bundles).toHaveLength(1);
    expect(counter("identity.csr_failures")).toBe(0);
    expect(counter("identity.csr_requests")).toBe(certificates.length);
  });

  test("while renewal fails the old certificate is served, the log and a counter say so, and the first success ends it", async () => {
    const { runtime, ca, certificates, counter, identity } = await world();
    await runtime.settle();
    ca.state.isDown = true;
    await runtime.advance(50_000);
    expect(certificates).toHaveLength(1);
    expect(identity.current).toBeDefined();
    expect(counter("identity.csr_failures")).toBeGreaterThan(3);
    expect(runtime.logLines.at(-1)).toMatch(
      /\[error\]\[identity\] cannot get a certificate \(the certificate in use is good for \d+ s more; next try in [\d.]+ s\): The CA cannot be reached\./,
    );
    await runtime.advance(20_000);
    expect(runtime.logLines.at(-1)).toContain("the certificate in use HAS EXPIRED");
    ca.state.isDown = false;
    await runtime.advance(30_000);
    expect(certificates.length).toBeGreaterThanOrEqual(2);
  });

  test("a new root of the CA reaches the bundle with the next certificate, beside the old one", async () => {
    const { runtime, ca, bundles, certificates } = await world();
    await runtime.settle();
    await ca.replaceRoot();
    await runtime.advance(31_000);
    expect(bundles).toEqual([ca.roots, ca.rootPem() + ca.roots]);
    expect(certificates).toHaveLength(2);
  });

  test("a root that the control plane tells of is trusted at once, and no certificate is asked for", async () => {
    const { runtime, ca, identity, bundles, certificates } = await world();
    const [own] = certificatesFromPem(ca.roots, "root");
    const { certificate: other } = await strangeRoot(runtime);
    await runtime.settle();
    identity.trust({ roots: [own, other].filter((root) => root !== undefined), signer: own?.sha256, crl: undefined });
    expect(bundles).toEqual([ca.roots, ca.roots + certificateToPem(other)]);
    await runtime.advance(20_000);
    expect(certificates).toHaveLength(1);
  });

  test("another signer: a new certificate within seconds; the own root is trusted until then, though it is not named", async () => {
    const { runtime, ca, identity, bundles, certificates } = await world();
    await runtime.settle();
    await ca.replaceRoot();
    const [next] = certificatesFromPem(ca.rootPem(), "root");
    identity.trust({ roots: next === undefined ? [] : [next], signer: next?.sha256, crl: undefined });
    expect(bundles.at(-1)).toBe(ca.roots + ca.rootPem());
    await runtime.advance(5000);
    expect(certificates).toHaveLength(2);
    expect(bundles.at(-1)).toBe(ca.rootPem());
  });

  test("a control plane that names no signer: a certificate whose root is not among the roots is renewed", async () => {
    const { runtime, ca, identity, certificates } = await world();
    await runtime.settle();
    const [own] = certificatesFromPem(ca.roots, "root");
    const { certificate: other } = await strangeRoot(runtime);
    identity.trust({ roots: own === undefined ? [] : [own, other], signer: undefined, crl: undefined });
    await runtime.advance(10_000);
    expect(certificates).toHaveLength(1);
    identity.trust({ roots: [other], signer: undefined, crl: undefined });
    await runtime.advance(10_000);
    expect(certificates.length).toBeGreaterThan(1);
  });

  test("revocation lists go along with the roots", async () => {
    const { runtime, ca, identity } = await world();
    const roots = certificatesFromPem(ca.roots, "root");
    identity.trust({ roots, signer: undefined, crl: "a list" });
    await runtime.settle();
    const heard: Secret[] = [];
    identity.subscribe("ROOTCA", (secret) => void heard.push(secret));
    identity.trust({ roots, signer: undefined, crl: "another" });
    expect(heard).toMatchObject([{ crl: "a list" }, { crl: "another" }]);
  });

  test.each<[string, (response: CertificateResponse) => CertificateResponse, string, RegExp]>([
    [
      "a chain of one",
      ({ certChain, ...rest }) => ({ ...rest, certChain: certChain.slice(0, 1) }),
      "ca-answer-incomplete",
      /a chain of 1/,
    ],
    ["nothing", (response) => ({ ...response, certChain: [] }), "ca-answer-incomplete", /a chain of 0/],
    [
      "the chain upside down",
      (response) => ({ ...response, certChain: response.certChain.toReversed() }),
      "ca-answer-other-key",
      /another key/,
    ],
    ["no PEM", (response) => ({ ...response, certChain: ["x", "y"] }), "pem-invalid", /certificate from the CA/],
  ])("an answer of %s is not used", async (_, change, code, message) => {
    const { runtime, certificates } = await world(change);
    await runtime.advance(5000);
    expect(certificates).toEqual([]);
    expect(runtime.logLines[0]).toMatch(message);
    expect(runtime.logLines[0]).toContain(`code=${code}`);
  });

  test("a leaf whose root is another is not used", async () => {
    const foreign = await simulatedCa(simulatedRuntime());
    const { runtime, certificates } = await world((response) => ({
      ...response,
      certChain: [response.certChain[0] ?? "", foreign.roots],
    }));
    await runtime.advance(1000);
    expect(certificates).toEqual([]);
    expect(runtime.logLines[0]).toContain("is not signed by a certificate of the chain or the trust bundle");
  });

  test("close ends it: no more calls, and what is under way is ended", async () => {
    const { runtime, ca, identity } = await world();
    await runtime.settle();
    identity.close();
    await runtime.advance(10 * MINUTE_MS);
    expect(ca.state).toMatchObject({ calls: 1, isClosed: true });
  });
});
