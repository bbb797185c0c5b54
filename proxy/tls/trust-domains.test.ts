import { describe, expect, test } from "vitest";
import { certificateToPem } from "#certs/certificate.ts";
import { NOW_MS, testIntermediate, testLeaf, testRoot } from "#certs/test-certificates.ts";
import { TrustDomainValidator } from "./trust-domains.ts";

const own = await testRoot();
const other = await testRoot({ subject: "O=other", uris: ["spiffe://other.test"] });
const pem = (...roots: readonly (typeof own)[]): string =>
  roots.map(({ certificate }) => certificateToPem(certificate)).join("");

const validator = new TrustDomainValidator(
  new Map([
    ["example.org", pem(own)],
    ["other.test", pem(other)],
    ["nobody.test", ""],
  ]),
);

async function failure(issuer: typeof own, uris: readonly string[], nowMs = NOW_MS): Promise<string | undefined> {
  const { certificate } = await testLeaf(issuer, { uris });
  return validator.failure([certificate, issuer.certificate, own.certificate, other.certificate], nowMs);
}

describe("envoy.tls.cert_validator.spiffe", () => {
  test("an ID whose own domain's root stands behind it is believed", async () => {
    expect(await failure(own, ["spiffe://example.org/a"])).toBeUndefined();
    expect(await failure(other, ["spiffe://other.test/a"])).toBeUndefined();
    expect(await failure(await testIntermediate(other), ["spiffe://other.test/a"])).toBeUndefined();
  });

  test.each([
    ["of another domain's root", own, ["spiffe://other.test/a"], /not signed by a root of trust domain other\.test/],
    [
      "of a domain without a bundle",
      own,
      ["spiffe://else.test/a"],
      /no trust bundle found for trust domain else\.test/,
    ],
    [
      "of a domain whose bundle is empty",
      own,
      ["spiffe://nobody.test/a"],
      /not signed by a root of trust domain nobody/,
    ],
    ["that is none", own, ["https://example.org/a"], /does not contain a SPIFFE ID/],
    ["beside a second", own, ["spiffe://example.org/a", "spiffe://other.test/a"], /does not contain a SPIFFE ID/],
    ["that is missing", own, [], /does not contain a SPIFFE ID/],
  ])("an ID %s is not", async (_, issuer, uris, message) => {
    expect(await failure(issuer, uris)).toMatch(message);
  });

  test("after its end nothing is believed; a chain of nothing is nobody", async () => {
    expect(await failure(own, ["spiffe://example.org/a"], NOW_MS + 86_400_000)).toMatch(/not signed/);
    expect(validator.failure([], NOW_MS)).toMatch(/does not contain a SPIFFE ID/);
  });
});
