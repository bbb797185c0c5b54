/** Signature algorithms of certificates and CSRs (RFC 5758, RFC 4055). SHA-1 and MD5 are not among them. */
import { sign, verify, type KeyObject } from "node:crypto";
import { der, DerError, DerReader, oid, oidText, sequence, Tag } from "./der.ts";
import { describeKey } from "./keys.ts";
import { MeshError } from "#lib/problem.ts";

export interface SignatureAlgorithm {
  readonly name: string;
  readonly hash: "sha256" | "sha384" | "sha512";
  readonly keyType: "ec" | "rsa";
  /** AlgorithmIdentifier, DER. */
  readonly identifier: Buffer;
}

const NULL = der(Tag.null);

function ecdsa(hash: SignatureAlgorithm["hash"], dotted: string): SignatureAlgorithm {
  return { name: `ecdsa-with-${hash}`, hash, keyType: "ec", identifier: sequence(oid(dotted)) };
}

function rsa(hash: SignatureAlgorithm["hash"], dotted: string): SignatureAlgorithm {
  return { name: `${hash}WithRSAEncryption`, hash, keyType: "rsa", identifier: sequence(oid(dotted), NULL) };
}

const ALGORITHMS: readonly SignatureAlgorithm[] = [
  ecdsa("sha256", "1.2.840.10045.4.3.2"),
  ecdsa("sha384", "1.2.840.10045.4.3.3"),
  ecdsa("sha512", "1.2.840.10045.4.3.4"),
  rsa("sha256", "1.2.840.113549.1.1.11"),
  rsa("sha384", "1.2.840.113549.1.1.12"),
  rsa("sha512", "1.2.840.113549.1.1.13"),
];

/** The algorithm a key signs with: SHA-2 of the size of its curve, SHA-256 for RSA. Throws `key-unsupported`. */
export function signatureAlgorithmFor(key: KeyObject): SignatureAlgorithm {
  const name = describeKey(key);
  const index = ["EC P-256", "EC P-384", "EC P-521"].indexOf(name);
  const found = ALGORITHMS[key.asymmetricKeyType === "rsa" ? 3 : index];
  if (found === undefined) {
    throw new MeshError("key-unsupported", `A ${name} key cannot sign here; use EC P-256, P-384, P-521 or RSA.`);
  }
  return found;
}

/** The algorithm of an AlgorithmIdentifier. Throws a `DerError` that names one which is not supported. */
export function parseSignatureAlgorithm(identifier: Uint8Array): SignatureAlgorithm {
  const found = ALGORITHMS.find((algorithm) => algorithm.identifier.equals(identifier));
  if (found !== undefined) return found;
  const dotted = oidText(new DerReader(identifier).enter().read(Tag.oid).content);
  throw new DerError(`signature algorithm ${NAMES[dotted] ?? dotted} is not supported`);
}

const NAMES: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
  "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
  "1.2.840.113549.1.1.10": "RSASSA-PSS",
  "1.2.840.10045.4.1": "ecdsa-with-sha1",
  "1.3.101.112": "Ed25519",
};

/** Signs with the algorithm of this key (ECDSA signatures in DER). */
export function signWith(key: KeyObject, algorithm: SignatureAlgorithm, data: Uint8Array): Buffer {
  return sign(algorithm.hash, data, key);
}

/** Whether the signature is by this key; a key of another kind is a no. */
export function isSignedBy(
  key: KeyObject,
  algorithm: SignatureAlgorithm,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  return key.asymmetricKeyType === algorithm.keyType && verify(algorithm.hash, data, key, signature);
}
