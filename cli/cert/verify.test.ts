import { describe, expect, test } from "vitest";
import { NOW_MS, type TestCertificate, testIntermediate, testLeaf, testRoot, Usage } from "#certs/test-certificates.ts";
import { verdictsOf } from "./verify.ts";

const root = await testRoot();
const other = await testRoot({ subject: "O=other" });

async function failures(description: TestCertificate, trustDomain = "example.org", nowMs = NOW_MS, roots = [root]) {
  const { certificate } = await testLeaf(root, description);
  const bundle = { trustDomain, authorities: roots.map(({ certificate: authority }) => authority) };
  return verdictsOf([certificate], bundle, nowMs)
    .filter(({ failure }) => failure !== undefined)
    .map(({ rule, failure }) => `${rule}: ${failure}`);
}

describe("cert verify", () => {
  test("a good SVID breaks no rule", async () => {
    expect(await failures({})).toEqual([]);
  });

  test.each<[string, TestCertificate, RegExp]>([
    ["no URI name", { uris: [], subject: "CN=x" }, /^one URI name.*has no URI name/],
    ["two URI names", { uris: ["spiffe://example.org/a", "spiffe://example.org/b"] }, /^one URI name.*has 2 URI names/],
    ["no SPIFFE ID", { uris: ["https://example.org/a"] }, /^the SPIFFE ID is well formed/],
    ["no path", { uris: ["spiffe://example.org"] }, /^the SPIFFE ID names a workload/],
    ["names that are not critical", { sanCritical: false }, /^alternative names are critical/],
    ["a CA", { ca: true }, /^the leaf is no CA/],
    ["no key usage", { keyUsage: undefined }, /^key usage is there and critical/],
    ["key usage of signers", { keyUsage: Usage.digitalSignature | Usage.keyCertSign }, /^the leaf signs data/],
    ["one purpose", { extendedKeyUsage: ["1.3.6.1.5.5.7.3.1"] }, /^extended key usage/],
  ])("%s: the rule that it breaks is named", async (_, description, expected) => {
    expect((await failures(description)).filter((line) => expected.test(line))).toHaveLength(1);
  });

  test("what is outside of the certificate: trust domain, roots, time", async () => {
    expect(await failures({}, "else.org")).toEqual([
      'the trust domain is the expected one: it is "example.org", the roots are those of "else.org"',
    ]);
    expect(await failures({}, "example.org", NOW_MS, [other])).toMatchObject([
      expect.stringMatching(
        /^the chain leads to a root.*is not signed by a certificate of the chain or the trust bundle/,
      ),
    ]);
    expect(await failures({}, "example.org", NOW_MS + 86_400_000)).toMatchObject([
      expect.stringMatching(/^the chain leads to a root.*expired at/),
    ]);
  });

  test("a signer that may not sign, and one whose SPIFFE ID has a path", async () => {
    const signer = await testIntermediate(root, {
      uris: ["spiffe://example.org/ca"],
      keyUsage: Usage.digitalSignature,
    });
    const { certificate } = await testLeaf(signer);
    const bundle = { trustDomain: "example.org", authorities: [root.certificate] };
    const failed = verdictsOf([certificate, signer.certificate], bundle, NOW_MS).filter(({ failure }) => failure);
    expect(failed.map(({ rule }) => rule)).toEqual([
      "signers are CAs that may sign certificates",
      "signers' SPIFFE IDs have no path",
      "the chain leads to a root, valid now, within every constraint",
    ]);
  });
});
