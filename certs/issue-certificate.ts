/** Makes certificates: the to-be-signed part from DER pieces, signed by an issuer's key. */
import { createHash, createPublicKey, type KeyObject, randomBytes } from "node:crypto";
import { type Certificate, parseCertificate } from "./certificate.ts";
import {
  bitString,
  constructedContextTag,
  der,
  readSingle,
  sequence,
  smallInteger,
  Tag,
  time,
  unsignedInteger,
} from "./der.ts";
import { EMPTY_NAME, encodeName } from "./distinguished-name.ts";
import {
  authorityKeyIdentifier,
  basicConstraints,
  CLIENT_AUTH,
  extendedKeyUsage,
  type GeneralNames,
  keyUsage,
  SERVER_AUTH,
  subjectAltName,
  subjectKeyIdentifier,
} from "./extensions.ts";
import { type SignatureAlgorithm, signatureAlgorithmFor, signWith } from "./signature.ts";

/** An issuer with everything that is the same in all its certificates prepared. */
export interface Issuer {
  readonly key: KeyObject;
  readonly algorithm: SignatureAlgorithm;
  /** Name, DER. */
  readonly name: Buffer;
  readonly keyId: Buffer;
}

export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

const VERSION_3 = der(constructedContextTag(0), smallInteger(2));
const NOT_A_CA = basicConstraints({ ca: false });
const BOTH_PURPOSES = extendedKeyUsage(SERVER_AUTH, CLIENT_AUTH);
const LEAF_USAGE = {
  ec: keyUsage("digitalSignature"),
  // RSA key exchange (the suites without ECDHE) encrypts with the key.
  rsa: keyUsage("digitalSignature", "keyEncipherment"),
};

/** An issuer from its certificate and key. */
export function issuerOf(certificate: Certificate, key: KeyObject): Issuer {
  return {
    key,
    algorithm: signatureAlgorithmFor(key),
    name: certificate.subject,
    keyId: certificate.subjectKeyId ?? keyIdOf(certificate.publicKeyDer),
  };
}

/** A leaf for TLS as server and client. Its subject is empty, so its names are critical (RFC 5280 §4.2.1.6). Returns DER. */
export function issueLeaf(
  issuer: Issuer,
  publicKeyDer: Buffer,
  keyType: "ec" | "rsa",
  names: Partial<GeneralNames>,
  validity: Validity,
): Buffer {
  return issue(issuer, EMPTY_NAME, publicKeyDer, validity, [
    NOT_A_CA,
    LEAF_USAGE[keyType],
    BOTH_PURPOSES,
    authorityKeyIdentifier(issuer.keyId),
    subjectAltName(names, true),
  ]);
}

export interface SignerRequest {
  /** `O` of the subject. */
  readonly organization: string;
  readonly commonName?: string | undefined;
  /** SPIFFE ID without a path. */
  readonly uri?: string | undefined;
  readonly pathLength?: number | undefined;
  readonly validity: Validity;
}

/** A self-signed root. */
export function issueRoot(key: KeyObject, request: SignerRequest): Certificate {
  const publicKeyDer = createPublicKey(key).export({ type: "spki", format: "der" });
  const issuer = {
    key,
    algorithm: signatureAlgorithmFor(key),
    name: signerName(request),
    keyId: keyIdOf(publicKeyDer),
  };
  return issueSigner(issuer, publicKeyDer, request);
}

/** A certificate for a signer below `issuer`. */
export function issueSigner(issuer: Issuer, publicKeyDer: Buffer, request: SignerRequest): Certificate {
  const extensions = [
    basicConstraints({ ca: true, pathLength: request.pathLength }),
    keyUsage("keyCertSign", "cRLSign"),
    subjectKeyIdentifier(keyIdOf(publicKeyDer)),
    authorityKeyIdentifier(issuer.keyId),
  ];
  if (request.uri !== undefined) extensions.push(subjectAltName({ uris: [request.uri] }, false));
  return parseCertificate(
    issue(issuer, signerName(request), publicKeyDer, request.validity, extensions),
    "new certificate",
  );
}

function signerName({ organization, commonName }: SignerRequest): Buffer {
  return encodeName(
    commonName === undefined
      ? [["O", organization]]
      : [
          ["O", organization],
          ["CN", commonName],
        ],
  );
}

/** RFC 5280 §4.2.1.2 method 1: SHA-1 of the key's bit string. An identifier, nothing is trusted by it. */
function keyIdOf(publicKeyDer: Buffer): Buffer {
  const reader = readSingle(publicKeyDer);
  reader.read(Tag.sequence);
  return createHash("sha1").update(reader.read(Tag.bitString).content.subarray(1)).digest();
}

function issue(
  issuer: Issuer,
  subject: Buffer,
  publicKeyDer: Buffer,
  validity: Validity,
  extensions: readonly Buffer[],
): Buffer {
  const tbs = sequence(
    VERSION_3,
    serialNumber(),
    issuer.algorithm.identifier,
    issuer.name,
    sequence(time(validity.notBeforeMs), time(validity.notAfterMs)),
    subject,
    publicKeyDer,
    der(constructedContextTag(3), sequence(...extensions)),
  );
  return sequence(tbs, issuer.algorithm.identifier, bitString(signWith(issuer.key, issuer.algorithm, tbs)));
}

/** 127 random bits: positive, unpredictable, unique for all practical purposes. From the system, not the Runtime: this is cryptography, not chance. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return unsignedInteger(bytes);
}
