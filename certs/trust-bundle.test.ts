import { beforeAll, describe, expect, test } from "vitest";
import { certificateToPem } from "./certificate.ts";
import { type TestIssuer, testRoot } from "./test-certificates.ts";
import { bundleFromJwks, bundleFromPem, bundleToJwks, bundleToPem, type TrustBundle } from "./trust-bundle.ts";

let old: TestIssuer;
let next: TestIssuer;

beforeAll(async () => {
  old = await testRoot();
  next = await testRoot();
});

const fingerprints = (bundle: TrustBundle | undefined) => bundle?.authorities.map(({ sha256 }) => sha256);

describe("trust bundle, PEM", () => {
  test("holds several roots at once, each once, in order", () => {
    const pem = [old, next, old].map(({ certificate }) => certificateToPem(certificate)).join("");
    const bundle = bundleFromPem("example.org", pem, "roots.pem");
    expect(fingerprints(bundle)).toEqual([old.certificate.sha256, next.certificate.sha256]);
    expect(bundleFromPem("example.org", bundleToPem(bundle), "again")).toEqual(bundle);
  });
});

describe("trust bundle, SPIFFE (row 12)", () => {
  test("an authority is a JWK with use x509-svid, no kid, and one x5c", () => {
    const bundle = {
      trustDomain: "example.org",
      authorities: [old.certificate, next.certificate],
      sequence: 7,
      refreshHintSeconds: 300,
    };
    const json = bundleToJwks(bundle);
    expect(json).toMatchObject({ spiffe_sequence: 7, spiffe_refresh_hint: 300 });
    for (const key of json.keys) {
      expect(Object.keys(key).sort()).toEqual(["crv", "kty", "use", "x", "x5c", "y"]);
      expect(key.use).toBe("x509-svid");
      expect(key.x5c).toHaveLength(1);
    }
    const back = bundleFromJwks("example.org", JSON.stringify(json));
    expect(back.problems).toEqual([]);
    expect(fingerprints(back.value)).toEqual(fingerprints(bundle));
    expect(back.value).toMatchObject({ sequence: 7, refreshHintSeconds: 300 });
  });

  test("a consumer passes over keys of other uses and unknown fields", () => {
    const [good] = bundleToJwks({ trustDomain: "example.org", authorities: [old.certificate] }).keys;
    const text = JSON.stringify({
      keys: [{ kty: "EC", use: "jwt-svid", kid: "1" }, { kty: "XX" }, { ...good, unknown: 1 }],
      spiffe_unknown: true,
    });
    const { value, problems } = bundleFromJwks("example.org", text);
    expect(problems).toEqual([]);
    expect(fingerprints(value)).toEqual([old.certificate.sha256]);
    expect(value?.sequence).toBeUndefined();
  });

  test.each([
    ["with a kid", { kid: "a" }, 'must not have a "kid"'],
    ["without x5c", { x5c: undefined }, "exactly one certificate"],
    ["with two in x5c", { x5c: ["AA==", "AA=="] }, "exactly one certificate"],
    ["with something else in x5c", { x5c: [7] }, "base64 text"],
    ["with garbage in x5c", { x5c: ["AAAA"] }, "no certificate that can be used"],
    ["whose key is another", { x: "AAAA" }, 'not that of the certificate in "x5c"'],
  ])("a key %s is left out with a warning", (_, change, reason) => {
    const [good] = bundleToJwks({ trustDomain: "example.org", authorities: [old.certificate] }).keys;
    const { value, problems } = bundleFromJwks("example.org", JSON.stringify({ keys: [{ ...good, ...change }] }));
    expect(value?.authorities).toEqual([]);
    expect(problems).toEqual([
      expect.objectContaining({ level: "warning", path: "keys[0]", message: expect.stringContaining(reason) }),
    ]);
  });

  test.each(["", "[]", "{}", '{"keys": 1}', "null"])("%j is no bundle", (text) => {
    const { value, problems } = bundleFromJwks("example.org", text);
    expect(value).toBeUndefined();
    expect(problems).toEqual([expect.objectContaining({ level: "error", code: "spiffe-bundle-invalid" })]);
  });
});
