import { beforeAll, describe, expect, test } from "vitest";
import type { Certificate } from "./certificate.ts";
import { type SvidResult, validateSvid } from "./svid-validator.ts";
import {
  NOW_MS,
  testCertificate,
  type TestCertificate,
  testIntermediate,
  type TestIssuer,
  testLeaf,
  testRoot,
  Usage,
} from "./test-certificates.ts";

const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
let root: TestIssuer;

beforeAll(async () => {
  root = await testRoot();
});

function validate(chain: readonly Certificate[], anchors: readonly Certificate[] = [root.certificate]): SvidResult {
  const bundle = { trustDomain: "example.org", authorities: anchors };
  return validateSvid(chain, (domain) => (domain === "example.org" ? bundle : undefined), NOW_MS);
}

function codes(result: SvidResult): readonly string[] {
  return result.kind === "valid" ? [] : result.problems.map(({ code }) => code);
}

async function leafCodes(description: TestCertificate): Promise<readonly string[]> {
  return codes(validate([(await testLeaf(root, description)).certificate]));
}

async function rootCodes(description: TestCertificate): Promise<readonly string[]> {
  const other = await testRoot(description);
  return codes(validate([(await testLeaf(other)).certificate], [other.certificate]));
}

async function intermediateCodes(description: TestCertificate): Promise<readonly string[]> {
  const middle = await testIntermediate(root, description);
  return codes(validate([(await testLeaf(middle)).certificate, middle.certificate]));
}

describe("X.509-SVID", () => {
  test("a good SVID says who its owner is", async () => {
    const { certificate } = await testLeaf(root);
    expect(validate([certificate])).toEqual({
      kind: "valid",
      id: { uri: "spiffe://example.org/ns/default/sa/web", trustDomain: "example.org", path: "/ns/default/sa/web" },
      path: [certificate, root.certificate],
    });
  });

  test("DNS names beside the SPIFFE ID are allowed", async () => {
    expect(await leafCodes({ dnsNames: ["web.default.svc"] })).toEqual([]);
  });

  test("row 1: exactly one URI SAN", async () => {
    expect(await leafCodes({ uris: [] })).toEqual(["svid-uri-san"]);
    expect(await leafCodes({ uris: [], dnsNames: ["web"] })).toEqual(["svid-uri-san"]);
    expect(await leafCodes({ uris: ["spiffe://example.org/a", "spiffe://example.org/b"] })).toEqual(["svid-uri-san"]);
    expect(await leafCodes({ uris: ["spiffe://example.org/a", "https://example.org/b"] })).toEqual(["svid-uri-san"]);
  });

  test("row 2: the scheme is spiffe, the rest a SPIFFE ID", async () => {
    expect(await leafCodes({ uris: ["https://example.org/a"] })).toEqual(["svid-spiffe-id"]);
    expect(await leafCodes({ uris: ["spiffe://example.org/a/../b"] })).toEqual(["svid-spiffe-id"]);
    expect(await leafCodes({ uris: ["spiffe://EXAMPLE.org/a"] })).toEqual(["svid-spiffe-id"]);
  });

  test("row 3: a leaf's SPIFFE ID has a path", async () => {
    expect(await leafCodes({ uris: ["spiffe://example.org"] })).toEqual(["svid-path-missing"]);
  });

  test("row 4: the SAN is critical if the subject is empty", async () => {
    expect(await leafCodes({ sanCritical: false })).toEqual(["svid-san-not-critical"]);
    expect(await leafCodes({ sanCritical: false, subject: "CN=web" })).toEqual([]);
  });

  test("row 5: a leaf is no CA, a signer is one", async () => {
    expect(await leafCodes({ ca: true })).toContain("svid-leaf-is-ca");
    expect(await leafCodes({ ca: undefined })).toEqual([]);
    expect(await rootCodes({ ca: false })).toEqual(["svid-path"]);
    expect(await intermediateCodes({ ca: false })).toContain("svid-signer-not-ca");
    expect(await intermediateCodes({ ca: undefined })).toContain("svid-signer-not-ca");
  });

  test("row 6: the key usage is there and critical, in leaf and signer", async () => {
    expect(await leafCodes({ keyUsage: undefined })).toEqual(["svid-key-usage-missing"]);
    expect(await leafCodes({ keyUsageCritical: false })).toEqual(["svid-key-usage-missing"]);
    expect(await rootCodes({ keyUsage: undefined })).toEqual(["svid-key-usage-missing"]);
    expect(await intermediateCodes({ keyUsageCritical: false })).toEqual(["svid-key-usage-missing"]);
  });

  test("row 7: a leaf has digitalSignature, and neither keyCertSign nor cRLSign", async () => {
    expect(await leafCodes({ keyUsage: Usage.keyEncipherment })).toEqual(["svid-key-usage"]);
    expect(await leafCodes({ keyUsage: Usage.digitalSignature | Usage.keyCertSign })).toEqual(["svid-key-usage"]);
    expect(await leafCodes({ keyUsage: Usage.digitalSignature | Usage.cRLSign })).toEqual(["svid-key-usage"]);
    expect(await leafCodes({ keyUsage: Usage.digitalSignature | Usage.keyEncipherment | Usage.keyAgreement })).toEqual(
      [],
    );
  });

  test("row 8: a signer has keyCertSign", async () => {
    expect(await intermediateCodes({ keyUsage: Usage.cRLSign })).toEqual(["svid-signer-key-usage"]);
    expect(await rootCodes({ keyUsage: Usage.cRLSign })).toEqual(["svid-path"]);
  });

  test("row 9: an extended key usage names serverAuth and clientAuth, or is not there", async () => {
    expect(await leafCodes({ extendedKeyUsage: [SERVER_AUTH] })).toEqual(["svid-extended-key-usage"]);
    expect(await leafCodes({ extendedKeyUsage: [CLIENT_AUTH] })).toEqual(["svid-extended-key-usage"]);
    const plain = await testCertificate(
      { uris: ["spiffe://example.org/a"], ca: false, keyUsage: Usage.digitalSignature },
      root,
    );
    expect(plain.certificate.extendedKeyUsage).toBeUndefined();
    expect(await leafCodes({ extendedKeyUsage: [SERVER_AUTH, CLIENT_AUTH, "1.3.6.1.5.5.7.3.3"] })).toEqual([]);
    expect(codes(validate([plain.certificate]))).toEqual([]);
  });

  test("row 10: a signer's SPIFFE ID has no path and never authenticates", async () => {
    expect(await intermediateCodes({ uris: ["spiffe://example.org/ns/a/sa/b"] })).toEqual(["svid-signer-path"]);
    expect(await intermediateCodes({ uris: ["spiffe://example.org"] })).toEqual([]);
    expect(await rootCodes({ uris: ["spiffe://example.org/root"] })).toEqual(["svid-signer-path"]);
    expect(codes(validate([root.certificate]))).toEqual(
      expect.arrayContaining(["svid-leaf-is-ca", "svid-path-missing"]),
    );
  });

  test("row 11: the path must hold (see path-validation.test.ts)", async () => {
    const stranger = await testRoot();
    expect(codes(validate([(await testLeaf(stranger)).certificate]))).toEqual(["svid-path"]);
    expect(await leafCodes({ notAfterMs: NOW_MS - 1000 })).toEqual(["svid-path"]);
  });

  test("a leaf is checked against the bundle of its own trust domain and no other", async () => {
    const { certificate } = await testLeaf(root, { uris: ["spiffe://other.org/a"] });
    expect(codes(validate([certificate]))).toEqual(["svid-trust-domain"]);
    expect(codes(validate([]))).toEqual(["svid-missing"]);
  });

  test("all that is wrong is told at once, with the certificate's name", async () => {
    const { certificate } = await testLeaf(root, { keyUsage: undefined, extendedKeyUsage: [SERVER_AUTH] });
    const result = validate([certificate]);
    if (result.kind === "valid") throw new Error("accepted");
    expect(result.problems).toEqual([
      expect.objectContaining({
        code: "svid-key-usage-missing",
        object: 'certificate "spiffe://example.org/ns/default/sa/web"',
      }),
      expect.objectContaining({ code: "svid-extended-key-usage" }),
    ]);
  });
});
