import { describe, expect, test } from "vitest";
import { createCsr, parseCsr } from "./csr.ts";
import { createKeyPair, type KeyType } from "./keys.ts";
import { decodePem, encodePem } from "./pem.ts";
import { P256, testCsr, testKeys, verifiesElsewhere } from "./test-certificates.ts";

const rsa = (modulusLength: number) => ({
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  modulusLength,
  publicExponent: new Uint8Array([1, 0, 1]),
});

describe("CSR", () => {
  test.each(["ECDSA_P256", "RSA_2048"] as const satisfies readonly KeyType[])(
    "one over %s is read back, and by another library",
    async (type) => {
      const keys = await createKeyPair(type);
      const pem = createCsr(keys, "spiffe://example.org/web");
      expect(await verifiesElsewhere(pem)).toBe(true);
      const csr = parseCsr(pem);
      expect(csr.publicKey.equals(keys.publicKey)).toBe(true);
      expect(csr.requestedUris).toEqual(["spiffe://example.org/web"]);
      expect(csr.subjectText).toBe("");
    },
  );

  test("one of another library is read", async () => {
    for (const algorithm of [P256, rsa(2048), rsa(4096)]) {
      const csr = parseCsr(await testCsr(await testKeys(algorithm), algorithm));
      expect(csr.subjectText).toBe("CN=test");
    }
  });

  test.each([
    ["EC P-384", { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" }],
    ["EC P-521", { name: "ECDSA", namedCurve: "P-521", hash: "SHA-512" }],
    ["RSA-1024", rsa(1024)],
    ["Ed25519", { name: "Ed25519" } as const],
  ])("a key of type %s is refused by name", async (name, algorithm) => {
    const pem = await testCsr(await testKeys(algorithm), algorithm);
    expect(() => parseCsr(pem)).toThrow(
      expect.objectContaining({
        code: "csr-key-unsupported",
        message: expect.stringContaining(`a key of type ${name};`),
      }),
    );
  });

  test("one that is signed by another key is refused", async () => {
    const [mine, other] = await Promise.all([createKeyPair("ECDSA_P256"), createKeyPair("ECDSA_P256")]);
    const pem = createCsr({ publicKey: mine.publicKey, privateKey: other.privateKey }, "spiffe://example.org/web");
    expect(() => parseCsr(pem)).toThrow(expect.objectContaining({ code: "csr-signature-invalid" }));
  });

  test("one with any byte changed is refused", async () => {
    const pem = createCsr(await createKeyPair("ECDSA_P256"), "spiffe://example.org/web");
    const [block] = decodePem(pem, "CSR");
    const der = block?.der ?? Buffer.alloc(0);
    for (let at = 0; at < der.length; at++) {
      const changed = Buffer.from(der);
      changed[at] = (changed[at] ?? 0) ^ 0x01;
      expect(() => parseCsr(encodePem("CERTIFICATE REQUEST", changed)), `byte ${at}`).toThrow(
        expect.objectContaining({ name: "MeshError" }),
      );
    }
  });

  test("two at once, or something else beside it, are refused", async () => {
    const pem = createCsr(await createKeyPair("ECDSA_P256"), "spiffe://example.org/web");
    for (const text of [pem + pem, "", pem.replaceAll("CERTIFICATE REQUEST", "CERTIFICATE")]) {
      expect(() => parseCsr(text)).toThrow(expect.objectContaining({ code: "csr-invalid" }));
    }
    expect(() => parseCsr(pem.slice(0, 100))).toThrow(/Was the text cut off/);
    expect(() => parseCsr(pem.replace("MI", "M!"))).toThrow(/is not base64/);
  });
});
