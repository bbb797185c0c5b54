/** A JSON Web Token (RFC 7519) taken apart; nothing of it is believed yet. */
import { decodeBase64Url } from "./base64url.ts";
import { parseJsonObject } from "./json-object.ts";
import * as Status from "./status.ts";
import type { JwtStatus } from "./status.ts";

export type JwtObject = Readonly<Record<string, unknown>>;

export interface Jwt {
  readonly header: JwtObject;
  readonly payload: JwtObject;
  /** As it stands in the token. */
  readonly payloadText: string;
  readonly alg: string;
  /** "": none. */
  readonly kid: string;
  readonly issuer: string;
  readonly subject: string;
  readonly audiences: readonly string[];
  /** Seconds; 0: none. */
  readonly notBefore: number;
  readonly expires: number;
  readonly signed: Buffer;
  readonly signature: Buffer;
}

const ALGORITHMS: ReadonlySet<string> = new Set([
  ...["RS", "PS", "ES", "HS"].flatMap((family) => ["256", "384", "512"].map((size) => `${family}${size}`)),
  "EdDSA",
]);

/** The token, or why it is none. In the order in which Envoy looks. */
export function parseJwt(text: string): Jwt | JwtStatus {
  const parts = text.split(".");
  const [headerText = "", payloadText = "", signatureText = ""] = parts;
  if (parts.length !== 3 || headerText === "" || payloadText === "" || signatureText === "") return Status.BAD_FORMAT;
  const headerBytes = decodeBase64Url(headerText);
  if (headerBytes === undefined) return Status.HEADER_BAD_BASE64;
  const header = parseJsonObject(headerBytes);
  if (header === undefined) return Status.HEADER_BAD_JSON;
  const { alg, kid = "" } = header;
  if (typeof alg !== "string") return Status.HEADER_BAD_ALG;
  if (!ALGORITHMS.has(alg)) return Status.HEADER_UNKNOWN_ALG;
  if (typeof kid !== "string") return Status.HEADER_BAD_KID;
  const payloadBytes = decodeBase64Url(payloadText);
  if (payloadBytes === undefined) return Status.PAYLOAD_BAD_BASE64;
  const payload = parseJsonObject(payloadBytes);
  if (payload === undefined) return Status.PAYLOAD_BAD_JSON;
  const claims = readClaims(payload);
  if ("code" in claims) return claims;
  const signature = decodeBase64Url(signatureText);
  if (signature === undefined) return Status.SIGNATURE_BAD_BASE64;
  const signed = Buffer.from(`${headerText}.${payloadText}`, "latin1");
  return { header, payload, payloadText, alg, kid, ...claims, signed, signature };
}

type Claims = Pick<Jwt, "issuer" | "subject" | "audiences" | "notBefore" | "expires">;

function readClaims(payload: JwtObject): Claims | JwtStatus {
  const { iss = "", sub = "", jti = "", iat, nbf, exp } = payload;
  if (typeof iss !== "string") return Status.ISS_NOT_STRING;
  if (typeof sub !== "string") return Status.SUB_NOT_STRING;
  const issued = seconds(iat, Status.IAT_NOT_INTEGER, Status.IAT_OUT_OF_RANGE);
  if (typeof issued !== "number") return issued;
  const notBefore = seconds(nbf, Status.NBF_NOT_INTEGER, Status.NBF_OUT_OF_RANGE);
  if (typeof notBefore !== "number") return notBefore;
  const expires = seconds(exp, Status.EXP_NOT_INTEGER, Status.EXP_OUT_OF_RANGE);
  if (typeof expires !== "number") return expires;
  if (typeof jti !== "string") return Status.JTI_NOT_STRING;
  const audiences = audiencesOf(payload["aud"]);
  if (audiences === undefined) return Status.AUD_NOT_STRING;
  return { issuer: iss, subject: sub, audiences, notBefore, expires };
}

/** A fraction is cut off. */
function seconds(claim: unknown, noNumber: JwtStatus, outOfRange: JwtStatus): number | JwtStatus {
  if (claim === undefined) return 0;
  if (typeof claim !== "number") return noNumber;
  return claim < 0 || claim >= 2 ** 63 ? outOfRange : Math.trunc(claim);
}

function audiencesOf(claim: unknown): readonly string[] | undefined {
  if (claim === undefined) return [];
  if (typeof claim === "string") return [claim];
  return Array.isArray(claim) && claim.every((item) => typeof item === "string") ? claim : undefined;
}

/** At `nowSeconds`, with clocks that may differ by `skewSeconds`. */
export function timeStatus(jwt: Jwt, nowSeconds: number, skewSeconds: number): JwtStatus {
  if (nowSeconds + skewSeconds < jwt.notBefore) return Status.NOT_YET_VALID;
  if (jwt.expires !== 0 && nowSeconds > jwt.expires + skewSeconds) return Status.EXPIRED;
  return Status.OK;
}
