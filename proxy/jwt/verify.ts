/** Whether one of the keys has signed a token. Synchronous: requests with a known key set do not wait. */
import { constants, createHmac, timingSafeEqual, verify } from "node:crypto";
import type { VerifyingKey } from "./jwks.ts";
import * as Status from "./status.ts";
import type { JwtStatus } from "./status.ts";
import type { Jwt } from "./token.ts";

const ED25519_SIGNATURE_BYTES = 64;

/** Keys whose id or algorithm says otherwise are passed over; a key never verifies what is not of its type. */
export function verifySignature(jwt: Jwt, keys: readonly VerifyingKey[]): JwtStatus {
  let isMatched = false;
  for (const key of keys) {
    if (jwt.kid !== "" && key.kid !== "" && key.kid !== jwt.kid) continue;
    if (key.alg !== "" && key.alg !== jwt.alg) continue;
    isMatched = true;
    // As Envoy: the length is looked at whatever algorithm the token names.
    if (key.type === "OKP" && jwt.signature.length !== ED25519_SIGNATURE_BYTES) return Status.ED25519_WRONG_LENGTH;
    if (hasSigned(key, jwt)) return Status.OK;
  }
  return isMatched ? Status.VERIFICATION_FAILS : Status.JWKS_KID_ALG_MISMATCH;
}

const CURVE_OF: Readonly<Record<string, string>> = { ES256: "prime256v1", ES384: "secp384r1", ES512: "secp521r1" };

/**
 * Differs from Envoy: a token's algorithm must be one of its key's type (and curve). Envoy tries an EC or Ed25519 key on
 * any; what passes there and not here is a token whose header contradicts its signature.
 */
function hasSigned({ type, key }: VerifyingKey, { alg, signed, signature }: Jwt): boolean {
  const hash = `sha${alg.slice(2)}`;
  try {
    switch (type) {
      case "RSA":
        if (alg.startsWith("RS")) return verify(hash, signed, key, signature);
        return alg.startsWith("PS") && verify(hash, signed, { key, ...PSS }, signature);
      case "EC":
        if (CURVE_OF[alg] !== key.asymmetricKeyDetails?.namedCurve) return false;
        return verify(hash, signed, { key, dsaEncoding: "ieee-p1363" }, signature);
      case "OKP":
        return alg === "EdDSA" && verify(null, signed, key, signature);
      case "oct": {
        if (!alg.startsWith("HS")) return false;
        const wanted = createHmac(hash, key).update(signed).digest();
        return wanted.length === signature.length && timingSafeEqual(wanted, signature);
      }
    }
  } catch {
    return false;
  }
}

const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO };
