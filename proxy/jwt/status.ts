/** Why a token is refused: Envoy's numbers and texts (`jwt_verify::Status`), which clients, logs and metadata show. */

export interface JwtStatus {
  readonly code: number;
  readonly message: string;
}

function status(code: number, message: string): JwtStatus {
  return { code, message };
}

export const OK: JwtStatus = status(0, "OK");
export const MISSING: JwtStatus = status(1, "Jwt is missing");
export const NOT_YET_VALID: JwtStatus = status(2, "Jwt not yet valid");
export const EXPIRED: JwtStatus = status(3, "Jwt is expired");
export const BAD_FORMAT: JwtStatus = status(
  4,
  "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
);
export const HEADER_BAD_BASE64: JwtStatus = status(5, "Jwt header is an invalid Base64url encoded");
export const HEADER_BAD_JSON: JwtStatus = status(6, "Jwt header is an invalid JSON");
export const HEADER_BAD_ALG: JwtStatus = status(7, "Jwt header [alg] field is required and must be a string");
export const HEADER_UNKNOWN_ALG: JwtStatus = status(8, "Jwt header [alg] is not supported");
export const HEADER_BAD_KID: JwtStatus = status(9, "Jwt header [kid] field is not a string");
export const PAYLOAD_BAD_BASE64: JwtStatus = status(10, "Jwt payload is an invalid Base64url encoded");
export const PAYLOAD_BAD_JSON: JwtStatus = status(11, "Jwt payload is an invalid JSON");
export const ISS_NOT_STRING: JwtStatus = status(12, "Jwt payload [iss] field is not a string");
export const SUB_NOT_STRING: JwtStatus = status(13, "Jwt payload [sub] field is not a string");
export const IAT_NOT_INTEGER: JwtStatus = status(14, "Jwt payload [iat] field is not an integer");
export const IAT_OUT_OF_RANGE: JwtStatus = status(15, "Jwt payload [iat] field is not a positive 64 bit integer");
export const NBF_NOT_INTEGER: JwtStatus = status(16, "Jwt payload [nbf] field is not an integer");
export const NBF_OUT_OF_RANGE: JwtStatus = status(17, "Jwt payload [nbf] field is not a positive 64 bit integer");
export const EXP_NOT_INTEGER: JwtStatus = status(18, "Jwt payload [exp] field is not an integer");
export const EXP_OUT_OF_RANGE: JwtStatus = status(19, "Jwt payload [exp] field is not a positive 64 bit integer");
export const JTI_NOT_STRING: JwtStatus = status(20, "Jwt payload [jti] field is not a string");
export const AUD_NOT_STRING: JwtStatus = status(21, "Jwt payload [aud] field is not a string or string list");
export const SIGNATURE_BAD_BASE64: JwtStatus = status(22, "Jwt signature is an invalid Base64url encoded");
export const ED25519_WRONG_LENGTH: JwtStatus = status(23, "Jwt ED25519 signature is wrong length");
export const UNKNOWN_ISSUER: JwtStatus = status(24, "Jwt issuer is not configured");
export const AUDIENCE_NOT_ALLOWED: JwtStatus = status(25, "Audiences in Jwt are not allowed");
export const VERIFICATION_FAILS: JwtStatus = status(26, "Jwt verification fails");
export const JWKS_BAD_JSON: JwtStatus = status(28, "Jwks is an invalid JSON");
export const JWKS_NO_KEYS: JwtStatus = status(29, "Jwks does not have [keys] field");
export const JWKS_BAD_KEYS: JwtStatus = status(30, "[keys] in Jwks is not an array");
export const JWKS_NO_VALID_KEYS: JwtStatus = status(31, "Jwks doesn't have any valid public key");
export const JWKS_KID_ALG_MISMATCH: JwtStatus = status(32, "Jwks doesn't have key to match kid or alg from Jwt");
export const JWKS_FETCH_FAILS: JwtStatus = status(40, "Jwks remote fetch is failed");
