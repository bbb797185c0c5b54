/** Shell: issues service account tokens for a mesh without Kubernetes. Its key is a file that only its owner may read. */
import { createPublicKey, randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { calculateJwkThumbprint, type JSONWebKeySet, SignJWT } from "jose";
import { createKeyPair, privateKeyFromPem, privateKeyToPem } from "#certs/keys.ts";
import { fileExists, makePrivateDirectory, readTextFile, replaceFile, writeNewFile } from "#certs/private-files.ts";
import { MeshError } from "#lib/problem.ts";
import type { Clock } from "#lib/runtime.ts";

/** `iss` of tokens that `glassmesh up` mints. */
export const LOCAL_TOKEN_ISSUER = "https://glassmesh.local";
/** The audience that Istio's agents ask for. */
export const CA_AUDIENCE = "istio-ca";

export interface TokenRequest {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Default 24 h. May be negative, to make an expired one. */
  readonly ttlMs?: number | undefined;
  /** Default `istio-ca`. */
  readonly audience?: string | undefined;
}

export interface TokenIssuer {
  readonly issuer: string;
  /** Public keys, for verifiers; also in `token-jwks.json` beside the key. */
  readonly keys: JSONWebKeySet;
  /** A token with the claims of a Kubernetes service account token. */
  mintToken(request: TokenRequest): Promise<string>;
}

/**
 * The issuer whose key is in a directory (`token-key.pem`, 0600), made when it is not there; writes `token-jwks.json`.
 * Throws `ca-directory-unusable`, `ca-file-unreadable`, `key-invalid`.
 */
export async function openTokenIssuer(
  directory: string,
  clock: Clock,
  issuer: string = LOCAL_TOKEN_ISSUER,
): Promise<TokenIssuer> {
  const keyFile = join(directory, "token-key.pem");
  makePrivateDirectory(directory);
  if (!fileExists(keyFile)) {
    const { privateKey: fresh } = await createKeyPair("ECDSA_P256");
    writeNewFile(keyFile, privateKeyToPem(fresh), 0o600);
  }
  const privateKey = privateKeyFromPem(readTextFile(keyFile), keyFile);
  const { kty, crv, x, y } = createPublicKey(privateKey).export({ format: "jwk" });
  if (kty !== "EC" || crv !== "P-256" || x === undefined || y === undefined) {
    throw new MeshError(
      "key-invalid",
      `${keyFile} holds no P-256 key. Remove it, then a new one is made and old tokens end.`,
    );
  }
  const kid = await calculateJwkThumbprint({ kty, crv, x, y });
  const keys: JSONWebKeySet = { keys: [{ kty, crv, x, y, kid, alg: "ES256", use: "sig" }] };
  const keysFile = join(directory, "token-jwks.json");
  const keysText = `${JSON.stringify(keys, undefined, 2)}\n`;
  if (!fileExists(keysFile) || readTextFile(keysFile) !== keysText) replaceFile(keysFile, keysText, 0o644);
  return {
    issuer,
    keys,
    mintToken: ({ namespace, serviceAccount, ttlMs = 24 * 3_600_000, audience = CA_AUDIENCE }) => {
      const nowSeconds = Math.floor(clock.now() / 1000);
      return new SignJWT({ "kubernetes.io": { namespace, serviceaccount: { name: serviceAccount } } })
        .setProtectedHeader({ alg: "ES256", kid })
        .setIssuer(issuer)
        .setSubject(`system:serviceaccount:${namespace}:${serviceAccount}`)
        .setAudience([audience])
        .setIssuedAt(nowSeconds)
        .setNotBefore(nowSeconds + Math.min(0, Math.floor(ttlMs / 1000) - 1))
        .setExpirationTime(nowSeconds + Math.floor(ttlMs / 1000))
        .setJti(randomUUID())
        .sign(privateKey);
    },
  };
}

/** Keys that are somewhere else. */
export interface RemoteKeys {
  /** The newest that came. */
  readonly keys: () => JSONWebKeySet;
  /** Why the last fetch failed. */
  readonly failure: () => string | undefined;
  /** Fetches unless that was done just now; false: nothing new came. */
  fetchNow(): Promise<boolean>;
}

/** The keys in a JWKS file, read again whenever the file has changed. Throws `ca-file-*`, `jwks-invalid`. */
export function keysFromFile(file: string): () => JSONWebKeySet {
  let readAt: number | undefined;
  let keys: JSONWebKeySet = { keys: [] };
  const read = (): JSONWebKeySet => {
    const text = readTextFile(file);
    const changedAt = statSync(file).mtimeMs;
    if (changedAt === readAt) return keys;
    keys = parseKeys(text, file);
    readAt = changedAt;
    return keys;
  };
  read();
  return read;
}

/** A JWK set of a text. Throws `jwks-invalid` that names the source. */
export function parseKeys(text: string, file: string): JSONWebKeySet {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  if (!isKeySet(json)) {
    throw new MeshError("jwks-invalid", `${file} is no JWK set: expected is {"keys": [{"kty": …}, …]}.`);
  }
  return json;
}

function isKeySet(value: unknown): value is JSONWebKeySet {
  if (typeof value !== "object" || value === null || !("keys" in value) || !Array.isArray(value.keys)) return false;
  return value.keys.every((key: unknown) => typeof key === "object" && key !== null && "kty" in key);
}
