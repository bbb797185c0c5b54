/** An X.509 v3 certificate, read once into values (RFC 5280 §4). */
import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { MeshError } from "#lib/problem.ts";
import {
  constructedContextTag,
  contextTag,
  DerError,
  type DerReader,
  readSingle,
  Tag,
  timeOf,
  wholeBytesOf,
} from "./der.ts";
import { nameText } from "./distinguished-name.ts";
import {
  type BasicConstraints,
  type Extension,
  ExtensionOid,
  type GeneralNames,
  type KeyUsage,
  parseAuthorityKeyIdentifier,
  parseBasicConstraints,
  parseExtendedKeyUsage,
  parseExtensions,
  parseKeyUsage,
  parseSubjectAltName,
  parseSubjectKeyIdentifier,
} from "./extensions.ts";
import { decodePemOf, encodePem } from "./pem.ts";
import { isSignedBy, parseSignatureAlgorithm, type SignatureAlgorithm } from "./signature.ts";

export interface Certificate {
  readonly der: Buffer;
  /** What is signed. */
  readonly tbs: Buffer;
  /** Hex, lower case, without leading zero bytes. */
  readonly serialNumber: string;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly signature: Buffer;
  /** Names as DER: two names are the same when their bytes are. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  /** RFC 2253. */
  readonly issuerText: string;
  readonly subjectText: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Buffer;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Extension[];
  readonly basicConstraints?: BasicConstraints | undefined;
  readonly keyUsage?: ReadonlySet<KeyUsage> | undefined;
  readonly extendedKeyUsage?: readonly string[] | undefined;
  readonly subjectAltName?: GeneralNames | undefined;
  readonly subjectKeyId?: Buffer | undefined;
  readonly authorityKeyId?: Buffer | undefined;
  /** SHA-256 of the DER form, hex, lower case. */
  readonly sha256: string;
}

/** Reads DER. Throws `certificate-invalid`; `what` names the source. */
export function parseCertificate(bytes: Uint8Array, what: string): Certificate {
  try {
    return parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw new MeshError("certificate-invalid", `${what}: this is no certificate that can be used: ${error.message}.`);
  }
}

/** All certificates of a PEM text in order, at least one. Throws `pem-invalid`, `certificate-invalid`. */
export function certificatesFromPem(text: string, what: string): readonly Certificate[] {
  return decodePemOf("CERTIFICATE", text, what).map((bytes) => parseCertificate(bytes, what));
}

export function certificateToPem(certificate: Certificate): string {
  return encodePem("CERTIFICATE", certificate.der);
}

/** Whether `issuer` made this certificate: names chain and the signature is by its key. */
export function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  return (
    certificate.issuer.equals(issuer.subject) &&
    isSignedBy(issuer.publicKey, certificate.signatureAlgorithm, certificate.tbs, certificate.signature)
  );
}

export function isSelfSigned(certificate: Certificate): boolean {
  return isIssuedBy(certificate, certificate);
}

function parse(bytes: Buffer): Certificate {
  const outer = readSingle(bytes);
  const tbs = outer.read(Tag.sequence);
  const outerAlgorithm = outer.read(Tag.sequence).bytes;
  const signature = wholeBytesOf(outer.read(Tag.bitString));
  outer.end();

  const reader = readSingle(tbs.bytes);
  const version = reader.optional(constructedContextTag(0));
  const isV3 = version !== undefined && version.content.equals(Buffer.from([Tag.integer, 1, 2]));
  const serial = reader.read(Tag.integer).content;
  if (serial.length > 21) throw new DerError("the serial number is longer than 20 bytes");
  const innerAlgorithm = reader.read(Tag.sequence).bytes;
  if (!innerAlgorithm.equals(outerAlgorithm)) throw new DerError("the two signature algorithms differ");
  const issuer = reader.read(Tag.sequence).bytes;
  const validity = reader.enter();
  const notBeforeMs = timeOf(validity.read());
  const notAfterMs = timeOf(validity.read());
  validity.end();
  const subject = reader.read(Tag.sequence).bytes;
  const publicKeyDer = reader.read(Tag.sequence).bytes;
  reader.optional(contextTag(1));
  reader.optional(contextTag(2));
  const extensions = extensionsOf(reader);
  reader.end();
  if (!isV3) throw new DerError("it is not an X.509 version 3 certificate");

  const decoded = <T>(dotted: string, decode: (value: Buffer) => T): T | undefined => {
    const found = extensions.find((extension) => extension.oid === dotted);
    return found === undefined ? undefined : decode(found.value);
  };
  return {
    der: bytes,
    tbs: tbs.bytes,
    serialNumber: serial.toString("hex").replace(/^(00)+(?=..)/, ""),
    signatureAlgorithm: parseSignatureAlgorithm(outerAlgorithm),
    signature,
    issuer,
    subject,
    issuerText: nameText(issuer),
    subjectText: nameText(subject),
    notBeforeMs,
    notAfterMs,
    publicKeyDer,
    publicKey: publicKeyFromDer(publicKeyDer),
    extensions,
    basicConstraints: decoded(ExtensionOid.basicConstraints, parseBasicConstraints),
    keyUsage: decoded(ExtensionOid.keyUsage, parseKeyUsage),
    extendedKeyUsage: decoded(ExtensionOid.extendedKeyUsage, parseExtendedKeyUsage),
    subjectAltName: decoded(ExtensionOid.subjectAltName, parseSubjectAltName),
    subjectKeyId: decoded(ExtensionOid.subjectKeyIdentifier, parseSubjectKeyIdentifier),
    authorityKeyId: decoded(ExtensionOid.authorityKeyIdentifier, parseAuthorityKeyIdentifier),
    sha256: createHash("sha256").update(bytes).digest("hex"),
  };
}

function extensionsOf(reader: DerReader): readonly Extension[] {
  const explicit = reader.optional(constructedContextTag(3));
  return explicit === undefined ? [] : parseExtensions(readSingle(explicit.content));
}

/** A key object from SubjectPublicKeyInfo. Throws `DerError` when it is no key that this program knows. */
export function publicKeyFromDer(spki: Buffer): KeyObject {
  try {
    return createPublicKey({ key: spki, format: "der", type: "spki" });
  } catch {
    throw new DerError("the public key cannot be read");
  }
}
