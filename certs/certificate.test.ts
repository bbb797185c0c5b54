import { X509Certificate } from "node:crypto";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { certificatesFromPem, certificateToPem, isIssuedBy, isSelfSigned, parseCertificate } from "./certificate.ts";
import { checkServerAddress } from "./server-identity.ts";
import { issueLeaf, issueRoot, issuerOf } from "./issue-certificate.ts";
import { createKeyPair } from "./keys.ts";
import {
  NOW_MS,
  testCertificate,
  type TestIssuer,
  testLeaf,
  testRoot,
  unknownExtension,
  Usage,
} from "./test-certificates.ts";

let root: TestIssuer;
let leaf: TestIssuer;

beforeAll(async () => {
  root = await testRoot({ subject: 'CN=a\\, b+OU="q", O=example.org' });
  leaf = await testLeaf(root, { dnsNames: ["web.default.svc"], extra: [unknownExtension(false)] });
});

describe("certificate", () => {
  test("is read as node:crypto reads it", () => {
    const { certificate } = leaf;
    const other = new X509Certificate(certificate.der);
    expect(other.serialNumber.toLowerCase()).toBe(certificate.serialNumber);
    expect(other.subjectAltName).toBe("URI:spiffe://example.org/ns/default/sa/web, DNS:web.default.svc");
    expect(certificate.subjectAltName).toMatchObject({
      uris: ["spiffe://example.org/ns/default/sa/web"],
      dnsNames: ["web.default.svc"],
    });
    expect(other.validFromDate.getTime()).toBe(certificate.notBeforeMs);
    expect(other.validToDate.getTime()).toBe(certificate.notAfterMs);
    expect(other.fingerprint256.replaceAll(":", "").toLowerCase()).toBe(certificate.sha256);
    expect(other.keyUsage).toEqual(certificate.extendedKeyUsage);
    expect(certificate.keyUsage).toEqual(new Set(["digitalSignature"]));
    expect(certificate.basicConstraints).toEqual({ ca: false });
    expect(certificate.extensions.find((extension) => extension.oid === "1.2.3.4.5")?.critical).toBe(false);
  });

  test("its names are told in the form of RFC 2253", () => {
    expect(root.certificate.subjectText).toBe("O=example.org,CN=a\\, b+OU=q");
    expect(leaf.certificate.issuerText).toBe(root.certificate.subjectText);
    expect(leaf.certificate.subjectText).toBe("");
  });

  test("knows who made it", async () => {
    const imposter = await testRoot({ subject: 'CN=a\\, b+OU="q", O=example.org' });
    expect(isIssuedBy(leaf.certificate, root.certificate)).toBe(true);
    expect(isIssuedBy(leaf.certificate, imposter.certificate)).toBe(false);
    expect(isSelfSigned(root.certificate)).toBe(true);
    expect(isSelfSigned(leaf.certificate)).toBe(false);
  });

  test("goes to PEM and back", () => {
    const pem = certificateToPem(leaf.certificate) + certificateToPem(root.certificate);
    expect(pem.startsWith(new X509Certificate(leaf.certificate.der).toString())).toBe(true);
    expect(certificatesFromPem(`# comment\n${pem}`, "test").map(({ sha256 }) => sha256)).toEqual([
      leaf.certificate.sha256,
      root.certificate.sha256,
    ]);
    expect(() => certificatesFromPem("", "bundle.pem")).toThrow(
      /bundle\.pem: there is no "-----BEGIN CERTIFICATE-----" block/,
    );
  });

  test("with any bytes changed is read or refused by name, and never takes the signature along", () => {
    const { der } = leaf.certificate;
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
        const changed = Buffer.from(der);
        changed[at] = (changed[at] ?? 0) ^ bits;
        let parsed;
        try {
          parsed = parseCertificate(changed, "changed");
        } catch (error) {
          expect(error).toMatchObject({ name: "MeshError", code: "certificate-invalid" });
          return;
        }
        expect(isIssuedBy(parsed, root.certificate)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  test("our own issuing gives what another library reads the same", async () => {
    const { privateKey } = await createKeyPair("ECDSA_P256");
    const signer = issueRoot(privateKey, {
      organization: "example.org",
      uri: "spiffe://example.org",
      pathLength: 0,
      validity: { notBeforeMs: NOW_MS, notAfterMs: Date.parse("2051-01-01T00:00:00Z") },
    });
    for (const type of ["ECDSA_P256", "RSA_2048"] as const) {
      const { publicKey } = await createKeyPair(type);
      const spki = publicKey.export({ type: "spki", format: "der" });
      const keyType = type === "RSA_2048" ? "rsa" : "ec";
      const names = { uris: ["spiffe://example.org/a"], dnsNames: ["a.b"], ipAddresses: ["127.0.0.1", "::1"] };
      const der = issueLeaf(issuerOf(signer, privateKey), spki, keyType, names, {
        notBeforeMs: NOW_MS,
        notAfterMs: NOW_MS + 60_000,
      });
      const other = new X509Certificate(der);
      expect(other.verify(new X509Certificate(signer.der).publicKey)).toBe(true);
      expect(other.checkIssued(new X509Certificate(signer.der))).toBe(true);
      expect(other.ca).toBe(false);
      expect(other.subjectAltName).toBe(
        "URI:spiffe://example.org/a, DNS:a.b, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
      );
      expect(other.publicKey.equals(publicKey)).toBe(true);
      expect(parseCertificate(der, "leaf").keyUsage?.has("keyEncipherment")).toBe(type === "RSA_2048");
    }
    expect(new X509Certificate(signer.der).validToDate.toISOString()).toBe("2051-01-01T00:00:00.000Z");
    expect(signer.basicConstraints).toEqual({ ca: true, pathLength: 0 });
  });

  test("an extension that occurs twice is refused", async () => {
    const double = testCertificate({
      subject: "CN=x",
      keyUsage: Usage.digitalSignature,
      extra: [unknownExtension(false), unknownExtension(true)],
    });
    await expect(double).rejects.toThrow(/extension 1\.2\.3\.4\.5 occurs twice/);
  });
});

describe("server identity by address", () => {
  test("an address among the IP names is accepted in any spelling, another is not", async () => {
    const { privateKey, publicKey } = await createKeyPair("ECDSA_P256");
    const validity = { notBeforeMs: NOW_MS, notAfterMs: NOW_MS + 60_000 };
    const signer = issueRoot(privateKey, { organization: "x", validity });
    const der = issueLeaf(
      issuerOf(signer, privateKey),
      publicKey.export({ type: "spki", format: "der" }),
      "ec",
      { ipAddresses: ["::1", "10.0.0.1"] },
      validity,
    );
    expect(checkServerAddress("0:0::1", der)).toBeUndefined();
    expect(checkServerAddress("10.0.0.1", der)).toBeUndefined();
    expect(checkServerAddress("10.0.0.2", der)?.message).toBe(
      "the certificate of the server at 10.0.0.2 is for other names: ::1, 10.0.0.1",
    );
  });
});
