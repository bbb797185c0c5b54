/** Checks the tokens of one request, one after the other, for one requirement (Envoy's `AuthenticatorImpl`). */
import { byteString } from "#lib/xxhash64.ts";
import type { VerifyingKey } from "../../../jwt/jwks.ts";
import * as Status from "../../../jwt/status.ts";
import type { JwtStatus } from "../../../jwt/status.ts";
import { type Jwt, parseJwt, timeStatus } from "../../../jwt/token.ts";
import { verifySignature } from "../../../jwt/verify.ts";
import type { Counter } from "../../../observability/stats.ts";
import type { HeaderMap } from "../../header-map.ts";
import { claimText, normalizedPayload } from "./claims.ts";
import type { KeySource } from "./key-source.ts";
import type { FoundToken } from "./locations.ts";
import type { AudienceCheck, JwtProvider } from "./provider.ts";
import type { TokenCache } from "./token-cache.ts";

/** A provider with what is kept for it. */
export interface KnownProvider {
  readonly provider: JwtProvider;
  readonly keys: KeySource;
  readonly cache: TokenCache | undefined;
}

export interface Leniency {
  readonly allowsFailed: boolean;
  readonly allowsMissing: boolean;
}

/** What the tokens of one request are checked against, and where results go. */
export interface AuthenticationContext {
  readonly headers: HeaderMap;
  readonly nowSeconds: () => number;
  readonly byIssuer: (issuer: string) => KnownProvider | undefined;
  readonly stats: { readonly cacheHit: Counter; readonly cacheMiss: Counter };
  /** Into the dynamic metadata, once the whole requirement is settled. */
  setMetadata(key: string, value: Readonly<Record<string, unknown>>): void;
  clearRouteCache(): void;
  /** Called when the stream is gone. */
  onCancel(cancel: () => void): void;
}

/** `known`: the one provider that counts; undefined: whichever has issued the token. */
export interface Expectation extends Leniency {
  readonly known: KnownProvider | undefined;
  readonly audiences: AudienceCheck | undefined;
}

/**
 * Differs from Envoy: where `allow_missing` stands alone, Envoy passes a request of which only the token that it looks at
 * last holds. Here each must.
 */
export function authenticate(
  tokens: FoundToken[],
  expected: Expectation,
  context: AuthenticationContext,
  onDone: (status: JwtStatus) => void,
): void {
  const next = (): void => {
    const found = tokens.pop(); // the last first, as Envoy
    if (found === undefined) settle(Status.MISSING);
    else checkToken(found, expected, context, settle);
  };
  const settle = (status: JwtStatus, provider = expected.known?.provider): void => {
    const { failedStatusInMetadata = "" } = provider ?? {};
    const isMissingAsAllowed = status === Status.MISSING && expected.allowsMissing;
    if (status !== Status.OK && failedStatusInMetadata !== "")
      context.setMetadata(failedStatusInMetadata, { code: status.code, message: status.message });
    const isEnd = tokens.length === 0 || (status !== Status.OK && !expected.allowsFailed);
    if (!isEnd) return next();
    onDone(expected.allowsFailed || isMissingAsAllowed ? Status.OK : status);
  };
  next();
}

function checkToken(
  found: FoundToken,
  expected: Expectation,
  context: AuthenticationContext,
  settle: (status: JwtStatus, provider?: JwtProvider) => void,
): void {
  const cached = cachedToken(found, expected.known, context);
  const jwt = cached ?? parseJwt(found.text);
  if ("code" in jwt) return settle(jwt);
  if (!found.mayBeFrom(jwt.issuer)) return settle(Status.UNKNOWN_ISSUER);
  const known = expected.known ?? context.byIssuer(jwt.issuer);
  if (known === undefined) return settle(Status.UNKNOWN_ISSUER);
  const { provider, keys, cache } = known;
  const status = claimsStatus(jwt, provider, expected.audiences, context.nowSeconds());
  if (status === Status.EXPIRED && cached !== undefined) cache?.forget(found.text);
  if (status !== Status.OK) return settle(status, provider);
  const accept = (): void => {
    tellOf(jwt, found, provider, context);
    settle(Status.OK, provider);
  };
  if (cached !== undefined) return accept();
  const verify = (set: readonly VerifyingKey[] | JwtStatus): void => {
    const verified = "code" in set ? set : verifySignature(jwt, set);
    if (verified !== Status.OK) return settle(verified, provider);
    if (expected.known !== undefined) cache?.add(found.text, jwt);
    accept();
  };
  const set = keys.current();
  if (set === undefined) context.onCancel(keys.fetch(verify));
  else verify(set);
}

function cachedToken(
  { text }: FoundToken,
  known: KnownProvider | undefined,
  { stats }: AuthenticationContext,
): Jwt | undefined {
  if (known === undefined) return undefined;
  const jwt = known.cache?.get(text);
  (jwt === undefined ? stats.cacheMiss : stats.cacheHit).inc();
  return jwt;
}

function claimsStatus(
  jwt: Jwt,
  provider: JwtProvider,
  audiences: AudienceCheck | undefined,
  nowSeconds: number,
): JwtStatus {
  const inTime = timeStatus(jwt, nowSeconds, provider.clockSkewSeconds);
  if (inTime !== Status.OK) return inTime;
  if (!(audiences ?? provider.audiences)(jwt.audiences)) return Status.AUDIENCE_NOT_ALLOWED;
  if (provider.subjects !== undefined && !provider.subjects(byteString(jwt.subject))) return Status.VERIFICATION_FAILS;
  const { maxLifetime } = provider;
  if (maxLifetime === undefined) return Status.OK;
  return jwt.expires !== 0 && jwt.expires - nowSeconds < maxLifetime ? Status.OK : Status.VERIFICATION_FAILS;
}

/** What the rest of the request learns of a token that holds. */
function tellOf(jwt: Jwt, found: FoundToken, provider: JwtProvider, context: AuthenticationContext): void {
  const { headers } = context;
  const { payloadText } = jwt;
  if (provider.forwardPayloadHeader !== "") {
    const padding = provider.padsPayload ? "=".repeat((4 - (payloadText.length % 4)) % 4) : "";
    headers.add(provider.forwardPayloadHeader, payloadText + padding);
  }
  for (const { header, path } of provider.claimToHeaders) {
    const text = claimText(jwt.payload, path);
    if (text !== "") headers.add(header, byteString(text));
  }
  if (!provider.isForwarded) found.remove(headers);
  if (provider.headerInMetadata !== "") context.setMetadata(provider.headerInMetadata, jwt.header);
  if (provider.payloadInMetadata !== "")
    context.setMetadata(provider.payloadInMetadata, normalizedPayload(jwt.payload, provider.spaceDelimitedClaims));
  if (provider.clearsRouteCache) context.clearRouteCache();
}
