/** Keys of workloads and signers, as node:crypto key objects. */
import { createPrivateKey, generateKeyPair, generateKeyPairSync, type KeyObject } from "node:crypto";
import { MeshError } from "#lib/problem.ts";

/** What a workload's key may be; the names are those of the identity configuration. */
export type KeyType = "ECDSA_P256" | "RSA_2048";

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** A fresh key pair. A P-256 one is made at once; an RSA one takes some 100 ms, off the main thread. */
export function createKeyPair(type: KeyType): Promise<KeyPair> {
  if (type === "ECDSA_P256") return Promise.resolve(generateKeyPairSync("ec", { namedCurve: "P-256" }));
  return new Promise((resolve, reject) => {
    generateKeyPair("rsa", { modulusLength: 2048 }, (error, publicKey, privateKey) => {
      if (error === null) resolve({ publicKey, privateKey });
      else reject(error);
    });
  });
}

/** The key's name for people: `EC P-256`, `RSA-2048`, `Ed25519`. */
export function describeKey(key: KeyObject): string {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "ec") return `EC ${CURVES[details?.namedCurve ?? ""] ?? details?.namedCurve ?? "?"}`;
  if (type === "rsa") return `RSA-${details?.modulusLength ?? "?"}`;
  if (type === "ed25519") return "Ed25519";
  return type ?? "unknown";
}

const CURVES: Readonly<Record<string, string>> = {
  prime256v1: "P-256",
  secp384r1: "P-384",
  secp521r1: "P-521",
};

/** PKCS#8 PEM, unencrypted: for memory, or for a file that only its owner may read. */
export function privateKeyToPem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

/** Reads PKCS#8, SEC1 or PKCS#1 PEM. Throws `key-invalid`; `what` names the source. */
export function privateKeyFromPem(pem: string, what: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    const hint = /ENCRYPTED/.test(pem)
      ? "It is encrypted; decrypt it with `openssl pkey`."
      : "Expected is an unencrypted PEM private key (EC or RSA).";
    throw new MeshError("key-invalid", `${what}: there is no private key that can be read. ${hint}`, [
      { code: "key-invalid", level: "error", path: "", message: String(error) },
    ]);
  }
}
