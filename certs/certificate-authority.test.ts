import { X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import {
  BACKDATE_MS,
  type CertificateAuthority,
  createCertificateAuthority,
  type SubjectKey,
} from "./certificate-authority.ts";
import { certificatesFromPem } from "./certificate.ts";
import { issueRoot, issueSigner, issuerOf } from "./issue-certificate.ts";
import { createKeyPair } from "./keys.ts";
import { parseSpiffeId } from "./spiffe-id.ts";
import { validateSvid } from "./svid-validator.ts";

const HOUR_MS = 3_600_000;
const ID = parseSpiffeId("spiffe://example.org/ns/default/sa/web");
let subject: SubjectKey;

beforeAll(async () => {
  const { publicKey } = await createKeyPair("ECDSA_P256");
  subject = { publicKey, publicKeyDer: publicKey.export({ type: "spki", format: "der" }) };
});

async function authorityFor(
  signerTtlMs: number,
  options: { readonly defaultTtlMs?: number; readonly maxTtlMs?: number } = {},
) {
  const { clock } = simulatedRuntime();
  const root = await createKeyPair("ECDSA_P256");
  const signer = await createKeyPair("RSA_2048");
  const validity = { notBeforeMs: clock.now() - BACKDATE_MS, notAfterMs: clock.now() + 1000 * HOUR_MS };
  const rootCertificate = issueRoot(root.privateKey, { organization: "example.org", validity });
  const certificate = issueSigner(
    issuerOf(rootCertificate, root.privateKey),
    signer.publicKey.export({ type: "spki", format: "der" }),
    {
      organization: "example.org",
      commonName: "signer",
      pathLength: 0,
      validity: { ...validity, notAfterMs: clock.now() + signerTtlMs },
    },
  );
  const material = { certificate, key: signer.privateKey, intermediates: [certificate], roots: [rootCertificate] };
  return { clock, authority: createCertificateAuthority({ material, clock, ...options }), rootCertificate };
}

function leafOf(authority: CertificateAuthority, ttlMs?: number) {
  const { chain } = authority.signWorkload(subject, ID, ttlMs);
  const [leaf] = certificatesFromPem(chain[0] ?? "", "leaf");
  if (leaf === undefined) throw new Error("no leaf");
  return leaf;
}

describe("certificate authority", () => {
  test("an SVID under an RSA intermediate meets every MUST, for both key types", async () => {
    const { authority, clock, rootCertificate } = await authorityFor(100 * HOUR_MS);
    for (const type of ["ECDSA_P256", "RSA_2048"] as const) {
      const { publicKey } = await createKeyPair(type);
      const key = { publicKey, publicKeyDer: publicKey.export({ type: "spki", format: "der" }) };
      const issued = authority.signWorkload(key, ID);
      expect(issued.chain).toHaveLength(3);
      const chain = certificatesFromPem(issued.chain.slice(0, -1).join(""), "chain");
      const bundle = {
        trustDomain: "example.org",
        authorities: certificatesFromPem(issued.chain.at(-1) ?? "", "root"),
      };
      expect(validateSvid(chain, () => bundle, clock.now())).toMatchObject({ kind: "valid", id: ID });
      expect(new X509Certificate(issued.chain[0] ?? "").checkIssued(new X509Certificate(issued.chain[1] ?? ""))).toBe(
        true,
      );
      expect(bundle.authorities[0]?.sha256).toBe(rootCertificate.sha256);
    }
  });

  test("lifetimes: 24 h by default, back-dated by two minutes, as asked, at most 90 d", async () => {
    const { authority, clock } = await authorityFor(100 * 24 * HOUR_MS);
    const now = clock.now();
    expect(leafOf(authority).notAfterMs).toBe(now + 24 * HOUR_MS);
    expect(leafOf(authority).notBeforeMs).toBe(now - 120_000);
    expect(leafOf(authority, 60_000).notAfterMs).toBe(now + 60_000);
    expect(() => leafOf(authority, 90 * 24 * HOUR_MS)).not.toThrow();
    for (const ttl of [90 * 24 * HOUR_MS + 1000, 0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => leafOf(authority, ttl)).toThrow(expect.objectContaining({ code: "ttl-out-of-range" }));
    }
  });

  test("a default above the limit gives way to it", async () => {
    const { authority, clock } = await authorityFor(100 * HOUR_MS, { defaultTtlMs: 48 * HOUR_MS, maxTtlMs: HOUR_MS });
    expect(leafOf(authority).notAfterMs).toBe(clock.now() + HOUR_MS);
  });

  test("a leaf never outlives the signer, and an expired signer signs nothing", async () => {
    const { authority, clock } = await authorityFor(2 * HOUR_MS);
    const end = clock.now() + 2 * HOUR_MS;
    expect(leafOf(authority).notAfterMs).toBe(end);
    await clock.advance(2 * HOUR_MS - 1000);
    expect(leafOf(authority).notAfterMs).toBe(end);
    await clock.advance(1000);
    expect(() => leafOf(authority)).toThrow(
      expect.objectContaining({ code: "ca-expired", message: expect.stringContaining("CN=signer,O=example.org") }),
    );
  });

  test("serial numbers are positive, long and never the same", async () => {
    const { authority } = await authorityFor(100 * HOUR_MS);
    const serials = new Set(Array.from({ length: 200 }, () => leafOf(authority).serialNumber));
    expect(serials.size).toBe(200);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9a-f]{31}$/);
  });

  test("a trust domain alone gets no SVID", async () => {
    const { authority } = await authorityFor(HOUR_MS);
    expect(() => authority.signWorkload(subject, parseSpiffeId("spiffe://example.org"))).toThrow(
      expect.objectContaining({ code: "spiffe-id-invalid" }),
    );
  });
});
