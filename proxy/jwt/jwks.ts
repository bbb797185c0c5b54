/** A JSON Web Key Set (RFC 7517) → keys that verify. What Envoy makes no key of is none here either. */
import { createPublicKey, createSecretKey, X509Certificate, type JsonWebKeyInput, type KeyObject } from "node:crypto";
import { decodeBase64Url } from "./base64url.ts";
import { parseJsonObject } from "./json-object.ts";
import * as Status from "./status.ts";
import type { JwtStatus } from "./status.ts";

export interface VerifyingKey {
  readonly type: "RSA" | "EC" | "oct" | "OKP";
  /** "": matches any. */
  readonly kid: string;
  /** "": any of its type. */
  readonly alg: string;
  readonly key: KeyObject;
}

type Fields = Readonly<Record<string, unknown>>;

/** The keys, or what is wrong with the set. Single keys that are not understood are left out; at least one must be left. */
export function parseJwks(text: string): readonly VerifyingKey[] | JwtStatus {
  const set = parseJsonObject(Buffer.from(text, "utf8"));
  if (set === undefined) return Status.JWKS_BAD_JSON;
  const { keys } = set;
  if (keys === undefined) return keysOfCertificates(set);
  if (!Array.isArray(keys)) return Status.JWKS_BAD_KEYS;
  const read = keys.map(readKey).filter((key) => key !== undefined);
  return read.length === 0 ? Status.JWKS_NO_VALID_KEYS : read;
}

/** Google's other form: key id → certificate. */
function keysOfCertificates(set: Fields): readonly VerifyingKey[] | JwtStatus {
  const entries = Object.entries(set);
  if (entries.length === 0 || !entries.every(([kid, pem]) => kid !== "" && typeof pem === "string" && pem !== ""))
    return Status.JWKS_NO_KEYS;
  try {
    return entries.map(([kid, pem]) => ({
      type: "RSA",
      kid,
      alg: "",
      key: new X509Certificate(pem as string).publicKey,
    }));
  } catch {
    return Status.JWKS_NO_VALID_KEYS;
  }
}

function readKey(value: unknown): VerifyingKey | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const fields = value as Fields;
  const kid = typeof fields["kid"] === "string" ? fields["kid"] : "";
  const alg = typeof fields["alg"] === "string" ? fields["alg"] : "";
  try {
    const made = keyOf(fields, alg);
    return made && { kid, alg, ...made };
  } catch {
    return undefined; // no point of the curve, no number: no key
  }
}

type Made = Pick<VerifyingKey, "type" | "key">;

function keyOf(fields: Fields, alg: string): Made | undefined {
  switch (fields["kty"]) {
    case "RSA":
      return alg === "" || /^[RP]S/.test(alg) ? rsaKey(fields) : undefined;
    case "EC":
      return ecKey(fields, alg);
    case "oct":
      return alg === "" || /^HS(?:256|384|512)$/.test(alg) ? secretKey(fields["k"]) : undefined;
    case "OKP":
      return (alg === "" || alg === "EdDSA") && fields["crv"] === "Ed25519"
        ? { type: "OKP", key: publicKey({ kty: "OKP", crv: "Ed25519", x: text(fields["x"]) }) }
        : undefined;
    default:
      return undefined;
  }
}

/** Exponents other than 3 and 65537 are nobody's. */
function rsaKey(fields: Fields): Made | undefined {
  const e = text(fields["e"]);
  const exponent = decodeBase64Url(e)?.toString("hex").replace(/^0+/, "");
  if (exponent !== "3" && exponent !== "10001") return undefined;
  return { type: "RSA", key: publicKey({ kty: "RSA", n: text(fields["n"]), e }) };
}

const CURVES: Readonly<Record<string, string>> = { ES256: "P-256", ES384: "P-384", ES512: "P-521" };

function ecKey(fields: Fields, alg: string): Made | undefined {
  const { crv: written } = fields;
  if (written !== undefined && typeof written !== "string") return undefined;
  const crv = written ?? (alg === "" ? "P-256" : (CURVES[alg] ?? ""));
  if (!Object.values(CURVES).includes(crv) || (alg !== "" && CURVES[alg] !== crv)) return undefined;
  return { type: "EC", key: publicKey({ kty: "EC", crv, x: text(fields["x"]), y: text(fields["y"]) }) };
}

function secretKey(k: unknown): Made | undefined {
  const secret = decodeBase64Url(text(k));
  return secret === undefined || secret.length === 0 ? undefined : { type: "oct", key: createSecretKey(secret) };
}

function publicKey(jwk: JsonWebKeyInput["key"]): KeyObject {
  return createPublicKey({ format: "jwk", key: jwk });
}

/** Throws where it is missing: then there is no key. */
function text(value: unknown): string {
  if (typeof value !== "string" || value === "" || decodeBase64Url(value) === undefined) throw new TypeError("no key");
  return value;
}
