/** Where the key sets of JWT rules come from, and what stands for one that is not there. */
import type { MeshObject } from "./object.ts";
import { fieldsOf, listOf, stringOf } from "./read-fields.ts";

const KEY_TYPES: ReadonlySet<unknown> = new Set(["RSA", "EC", "oct", "OKP"]);

/** A set without such a key is refused by proxies, and with it everything else that the same listener has to say. */
export function hasUsableKey(text: string): boolean {
  try {
    return listOf(fieldsOf(JSON.parse(text))["keys"]).some((key) => KEY_TYPES.has(fieldsOf(key)["kty"]));
  } catch {
    return false;
  }
}

/** A key set that must be fetched. */
export interface KeySetSource {
  /** Undefined: OpenID discovery at the issuer says where. */
  readonly uri: string | undefined;
  readonly issuer: string;
  readonly timeoutMs: number;
}

/** What tells sources apart. */
export function keySetKey(uri: string | undefined, issuer: string): string {
  return uri === undefined || uri === "" ? `issuer ${issuer}` : uri;
}

/**
 * Takes the place of keys that could not be had: no token can match it. A token names an algorithm that exists, a key
 * with an `alg` verifies only tokens of exactly that one, and this one's exists nowhere; so nobody's private key matters.
 */
export const NO_KEYS: string = JSON.stringify({
  keys: [{ kty: "RSA", alg: "RS-unavailable", kid: "unavailable", e: "AQAB", n: modulus() }],
});

/** Any odd number of 2048 bits. */
function modulus(): string {
  return Buffer.alloc(256, 0xb5).toString("base64url");
}

const DEFAULT_TIMEOUT_MS = 5000;

/** Of all rules that don't have their keys with them; one each. */
export function keySetSources(
  requestAuthentications: readonly MeshObject[],
  durationMs: (text: string) => number | undefined,
): ReadonlyMap<string, KeySetSource> {
  const sources = new Map<string, KeySetSource>();
  for (const { spec } of requestAuthentications) {
    for (const rule of listOf(fieldsOf(spec)["jwtRules"]).map(fieldsOf)) {
      const uri = stringOf(rule["jwksUri"]) || undefined;
      const issuer = stringOf(rule["issuer"]) ?? "";
      if ((stringOf(rule["jwks"]) ?? "") !== "" || (uri === undefined && issuer === "")) continue;
      const timeoutMs = durationMs(stringOf(rule["timeout"]) ?? "") ?? DEFAULT_TIMEOUT_MS;
      sources.set(keySetKey(uri, issuer), { uri, issuer, timeoutMs });
    }
  }
  return sources;
}
