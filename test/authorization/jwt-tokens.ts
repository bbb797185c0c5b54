/** Keys and tokens for tests, made anew for each run. */
import { createHmac, constants, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

type KeyName = "rsa" | "other" | "p256" | "p384" | "p521" | "ed25519";

export const keys: Readonly<Record<KeyName, KeyPair>> = {
  rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  other: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  p256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  p384: generateKeyPairSync("ec", { namedCurve: "P-384" }),
  p521: generateKeyPairSync("ec", { namedCurve: "P-521" }),
  ed25519: generateKeyPairSync("ed25519"),
};

export const secret: Buffer = randomBytes(64);

export function jwk(name: KeyName, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { ...keys[name].publicKey.export({ format: "jwk" }), ...more };
}

export const secretJwk: Readonly<Record<string, unknown>> = { kty: "oct", k: secret.toString("base64url") };

export function base64url(value: unknown): string {
  return Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
}

export interface TokenOptions {
  readonly alg?: string;
  readonly kid?: string;
  readonly header?: unknown;
  readonly key?: KeyObject;
}

const KEY_OF: Readonly<Record<string, KeyName>> = {
  ES256: "p256",
  ES384: "p384",
  ES512: "p521",
  EdDSA: "ed25519",
};

/** Signed as `alg` says, whatever the header says. */
export function token(payload: unknown, options: TokenOptions = {}): string {
  const { alg = "RS256", kid, header = { alg, typ: "JWT", ...(kid !== undefined && { kid }) } } = options;
  const signed = `${base64url(header)}.${base64url(payload)}`;
  return `${signed}.${signature(signed, alg, options.key ?? keys[KEY_OF[alg] ?? "rsa"].privateKey).toString("base64url")}`;
}

export function signature(text: string, alg: string, key: KeyObject): Buffer {
  const data = Buffer.from(text);
  const hash = `sha${alg.slice(2)}`;
  if (alg === "EdDSA") return sign(null, data, key);
  if (alg.startsWith("HS")) return createHmac(hash, secret).update(data).digest();
  if (alg.startsWith("ES")) return sign(hash, data, { key, dsaEncoding: "ieee-p1363" });
  if (alg.startsWith("RS")) return sign(hash, data, key);
  const saltLength = Number(alg.slice(2)) / 8;
  return sign(hash, data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
}
