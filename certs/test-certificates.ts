/** For tests: keys, CSRs and certificates of any shape, good and bad, made by another library than the one under test. */
import "reflect-metadata";
import { type KeyObject, sign, type webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { bitString, oid, sequence, smallInteger, time, unsignedInteger } from "./der.ts";
import { type Certificate, parseCertificate } from "./certificate.ts";

export interface TestIssuer {
  readonly certificate: Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly subject: string;
}

export interface TestCertificate {
  readonly subject?: string;
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly sanCritical?: boolean;
  /** Undefined: no extension. */
  readonly ca?: boolean | undefined;
  readonly pathLength?: number;
  /** Undefined: no extension. */
  readonly keyUsage?: number | undefined;
  readonly keyUsageCritical?: boolean;
  readonly extendedKeyUsage?: readonly string[];
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  readonly extra?: readonly x509.Extension[];
  readonly keys?: webcrypto.CryptoKeyPair;
}

/** Where test time begins: 2026-01-01. */
export const NOW_MS = 1_767_225_600_000;
export const P256: webcrypto.EcKeyGenParams & { hash: string } = {
  name: "ECDSA",
  namedCurve: "P-256",
  hash: "SHA-256",
};
export const Usage: typeof x509.KeyUsageFlags = x509.KeyUsageFlags;

export function testKeys(
  algorithm: webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams | { name: "Ed25519" } = P256,
): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as Promise<webcrypto.CryptoKeyPair>;
}

/** A certificate as described; signed by `issuer`, or by itself. */
export async function testCertificate(description: TestCertificate, issuer?: TestIssuer): Promise<TestIssuer> {
  const keys = description.keys ?? (await testKeys());
  const subject = description.subject ?? "";
  const extensions: x509.Extension[] = [...(description.extra ?? [])];
  if (description.ca !== undefined) {
    extensions.push(new x509.BasicConstraintsExtension(description.ca, description.pathLength, true));
  }
  if (description.keyUsage !== undefined) {
    extensions.push(new x509.KeyUsagesExtension(description.keyUsage, description.keyUsageCritical ?? true));
  }
  if (description.extendedKeyUsage !== undefined) {
    extensions.push(new x509.ExtendedKeyUsageExtension([...description.extendedKeyUsage], false));
  }
  const names: x509.JsonGeneralName[] = [
    ...(description.uris ?? []).map((value) => ({ type: "url", value }) as const),
    ...(description.dnsNames ?? []).map((value) => ({ type: "dns", value }) as const),
  ];
  if (names.length > 0)
    extensions.push(new x509.SubjectAlternativeNameExtension(names, description.sanCritical ?? subject === ""));
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString("hex"),
    subject,
    issuer: issuer?.subject ?? subject,
    notBefore: new Date(description.notBeforeMs ?? NOW_MS - 60_000),
    notAfter: new Date(description.notAfterMs ?? NOW_MS + 3_600_000),
    signingAlgorithm: P256,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    extensions,
  });
  return { certificate: parseCertificate(new Uint8Array(made.rawData), "test certificate"), keys, subject };
}

/** A self-signed root that may sign SVIDs. */
export function testRoot(description: TestCertificate = {}): Promise<TestIssuer> {
  return testCertificate({
    subject: "O=example.org",
    uris: ["spiffe://example.org"],
    ca: true,
    keyUsage: Usage.keyCertSign | Usage.cRLSign,
    ...description,
  });
}

/** A signer below another. */
export function testIntermediate(issuer: TestIssuer, description: TestCertificate = {}): Promise<TestIssuer> {
  return testCertificate(
    { subject: "O=example.org, CN=intermediate", ca: true, keyUsage: Usage.keyCertSign, ...description },
    issuer,
  );
}

/** A good leaf SVID, changed by the description. */
export function testLeaf(issuer: TestIssuer, description: TestCertificate = {}): Promise<TestIssuer> {
  return testCertificate(
    {
      uris: ["spiffe://example.org/ns/default/sa/web"],
      ca: false,
      keyUsage: Usage.digitalSignature,
      extendedKeyUsage: [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth],
      ...description,
    },
    issuer,
  );
}

/** A revocation list of a signer, PEM, made without the code under test but for DER. */
export function testCrl(
  issuer: { readonly certificate: Certificate; readonly key: KeyObject },
  revoked: readonly string[],
  period: { readonly thisUpdateMs?: number; readonly nextUpdateMs?: number } = {},
): string {
  const { thisUpdateMs = NOW_MS - 60_000, nextUpdateMs = NOW_MS + 3_600_000 } = period;
  const algorithm = sequence(oid("1.2.840.10045.4.3.2"));
  const entries = revoked.map((serial) =>
    sequence(
      unsignedInteger(Buffer.from(serial.padStart(serial.length + (serial.length % 2), "0"), "hex")),
      time(thisUpdateMs),
    ),
  );
  const tbs = sequence(
    smallInteger(1),
    algorithm,
    issuer.certificate.subject,
    time(thisUpdateMs),
    time(nextUpdateMs),
    ...(entries.length === 0 ? [] : [sequence(...entries)]),
  );
  const body = sequence(tbs, algorithm, bitString(sign("sha256", tbs, issuer.key)));
  return `-----BEGIN X509 CRL-----\n${body.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END X509 CRL-----\n`;
}

/** A CSR over these keys, PEM. */
export async function testCsr(
  keys: webcrypto.CryptoKeyPair,
  algorithm: webcrypto.Algorithm | webcrypto.EcdsaParams = P256,
): Promise<string> {
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: "CN=test",
    keys,
    signingAlgorithm: algorithm,
  });
  return `${csr.toString("pem")}\n`;
}

/** What the other library makes of a CSR: whether its signature holds. */
export function verifiesElsewhere(csr: string): Promise<boolean> {
  return new x509.Pkcs10CertificateRequest(csr).verify();
}

/** The extension of this id with a value of nothing. */
export function unknownExtension(critical: boolean): x509.Extension {
  return new x509.Extension("1.2.3.4.5", critical, new Uint8Array([5, 0]));
}

/** Name constraints from their DER. */
export function nameConstraints(value: Uint8Array): x509.Extension {
  return new x509.Extension("2.5.29.30", true, new Uint8Array(value));
}
