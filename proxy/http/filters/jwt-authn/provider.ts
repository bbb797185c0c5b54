/** `JwtProvider`: whose tokens are taken, where they are found, what is checked, and what is told of them. */
import type { Problem } from "#lib/problem.ts";
import type {
  JwtProvider as JwtProviderMessage,
  RemoteJwks as RemoteJwksMessage,
} from "#protos/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js";
import type { HttpUri } from "#protos/gen/envoy/config/core/v3/http_uri_pb.js";
import type { RetryPolicy } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { MessageReader } from "#protos/reader.ts";
import { byteString } from "#lib/xxhash64.ts";
import { durationMs } from "../../../config-values.ts";
import { parseJwks, type VerifyingKey } from "../../../jwt/jwks.ts";
import { RegexCache } from "../../../router/regex.ts";
import { parseStringMatcher, type StringMatcher } from "../../../router/string-matcher.ts";
import { parseDataSource, readText } from "../../../tls/data-source.ts";

export interface JwtProvider {
  readonly name: string;
  /** "": any. */
  readonly issuer: string;
  readonly audiences: AudienceCheck;
  /** Undefined: any subject. */
  readonly subjects: StringMatcher | undefined;
  /** Seconds that a token may still live, which must then expire; undefined: it need not. */
  readonly maxLifetime: number | undefined;
  readonly clockSkewSeconds: number;
  readonly keys: readonly VerifyingKey[] | RemoteJwks;
  readonly isForwarded: boolean;
  readonly locations: {
    readonly headers: readonly { readonly name: string; readonly prefix: string }[];
    readonly params: readonly string[];
    readonly cookies: readonly string[];
  };
  readonly forwardPayloadHeader: string;
  readonly padsPayload: boolean;
  readonly claimToHeaders: readonly { readonly header: string; readonly path: readonly string[] }[];
  readonly payloadInMetadata: string;
  readonly spaceDelimitedClaims: readonly string[];
  readonly headerInMetadata: string;
  readonly failedStatusInMetadata: string;
  readonly clearsRouteCache: boolean;
  /** Undefined: verified tokens are not kept. */
  readonly cache: { readonly size: number; readonly maxTokenBytes: number } | undefined;
}

export interface RemoteJwks {
  readonly clusterName: string;
  readonly authority: string;
  readonly scheme: string;
  readonly path: string;
  readonly timeoutMs: number;
  readonly cacheMs: number;
  readonly retries: { readonly count: number; readonly baseMs: number; readonly maxMs: number };
  /** Fetched before it is asked for, and again before it is stale. */
  readonly async: { readonly failedRefetchMs: number } | undefined;
}

/** True for the audiences of a token. */
export type AudienceCheck = (audiences: readonly string[]) => boolean;

const DEFAULT_SKEW_SECONDS = 60;
const DEFAULT_CACHE_MS = 600_000;
const DEFAULT_CACHE_SIZE = 100;
const DEFAULT_MAX_TOKEN_BYTES = 4096;

export function parseProvider(reader: MessageReader<JwtProviderMessage>, name: string): JwtProvider {
  const subjects = reader.child("subjects");
  const lifetimeMs = durationMs(reader.get("maxLifetime"));
  const requiresExpiration = reader.get("requireExpiration");
  const normalize = reader.child("normalizePayloadInMetadata");
  const cache = reader.child("jwtCacheConfig");
  const provider: JwtProvider = {
    name,
    issuer: reader.get("issuer"),
    audiences: audienceCheck(reader.get("audiences")),
    subjects: subjects && parseStringMatcher(subjects, new RegexCache()),
    maxLifetime: lifetimeMs === undefined ? (requiresExpiration ? Infinity : undefined) : lifetimeMs / 1000,
    clockSkewSeconds: reader.get("clockSkewSeconds") || DEFAULT_SKEW_SECONDS,
    keys: parseKeys(reader, name),
    isForwarded: reader.get("forward"),
    locations: parseLocations(reader),
    forwardPayloadHeader: reader.get("forwardPayloadHeader").toLowerCase(),
    padsPayload: reader.get("padForwardPayloadHeader"),
    claimToHeaders: reader.children("claimToHeaders").map((item) => {
      const header = { header: item.get("headerName").toLowerCase(), path: item.get("claimName").split(".") };
      item.finish();
      return header;
    }),
    payloadInMetadata: reader.get("payloadInMetadata"),
    spaceDelimitedClaims: normalize?.get("spaceDelimitedClaims") ?? [],
    headerInMetadata: reader.get("headerInMetadata"),
    failedStatusInMetadata: reader.get("failedStatusInMetadata"),
    clearsRouteCache: reader.get("clearRouteCache"),
    cache: cache && {
      size: cache.get("jwtCacheSize") || DEFAULT_CACHE_SIZE,
      maxTokenBytes: cache.get("jwtMaxTokenSize") || DEFAULT_MAX_TOKEN_BYTES,
    },
  };
  normalize?.finish();
  cache?.finish();
  reader.finish();
  return provider;
}

/** A scheme before it and a slash behind it don't count. No audiences: any. */
export function audienceCheck(allowed: readonly string[]): AudienceCheck {
  if (allowed.length === 0) return () => true;
  const wanted = new Set(allowed.map(bareAudience));
  return (audiences) => audiences.some((audience) => wanted.has(bareAudience(audience)));
}

function bareAudience(audience: string): string {
  return audience.replace(/^https?:\/\//, "").replace(/\/$/, "");
}

function parseLocations(reader: MessageReader<JwtProviderMessage>): JwtProvider["locations"] {
  const headers = reader.children("fromHeaders").map((header) => {
    const at = { name: header.get("name").toLowerCase(), prefix: byteString(header.get("valuePrefix")) };
    header.finish();
    return at;
  });
  const params = reader.get("fromParams").map(byteString);
  const cookies = reader.get("fromCookies").map(byteString);
  if (headers.length > 0 || params.length > 0 || cookies.length > 0) return { headers, params, cookies };
  return { headers: [{ name: "authorization", prefix: "Bearer " }], params: ["access_token"], cookies };
}

function parseKeys(reader: MessageReader<JwtProviderMessage>, name: string): JwtProvider["keys"] {
  const specifier = reader.get("jwksSourceSpecifier");
  switch (specifier.case) {
    case "localJwks": {
      const source = parseDataSource(reader.oneof("jwksSourceSpecifier", specifier.value));
      if (source === undefined) return [];
      return readLocalKeys(reader, name, () => readText(source));
    }
    case "remoteJwks":
      return parseRemote(reader.oneof("jwksSourceSpecifier", specifier.value), name);
    case undefined:
      reader.invalid("jwksSourceSpecifier", "one of remote_jwks and local_jwks must be set");
      return [];
  }
}

function readLocalKeys(
  reader: MessageReader<JwtProviderMessage>,
  name: string,
  read: () => string,
): readonly VerifyingKey[] {
  try {
    const text = read();
    if (text === "") return []; // every token finds no key
    const keys = parseJwks(text);
    if (!("code" in keys)) return keys;
    reader.invalid(
      "jwksSourceSpecifier",
      `Provider '${name}' in jwt_authn config has invalid local jwks: ${keys.message}`,
    );
  } catch (error) {
    reader.invalid("jwksSourceSpecifier", error instanceof Error ? error.message : String(error));
  }
  return [];
}

function parseRemote(reader: MessageReader<RemoteJwksMessage>, name: string): RemoteJwks {
  const uri = reader.child("httpUri");
  const retry = reader.child("retryPolicy");
  const fetching = reader.child("asyncFetch");
  fetching?.ignore("fastListener", "no listener waits for keys here: a request does, where they are not there yet");
  const target = uri === undefined ? undefined : parseHttpUri(uri, name);
  const remote: RemoteJwks = {
    clusterName: target?.clusterName ?? "",
    authority: target?.authority ?? "",
    scheme: target?.scheme ?? "http",
    path: target?.path ?? "/",
    timeoutMs: target?.timeoutMs ?? 0,
    cacheMs: durationMs(reader.get("cacheDuration")) ?? DEFAULT_CACHE_MS,
    retries: retry === undefined ? { count: 0, baseMs: 0, maxMs: 0 } : parseRetries(retry),
    async: fetching && { failedRefetchMs: durationMs(fetching.get("failedRefetchDuration")) ?? 1000 },
  };
  if (uri === undefined) reader.invalid("httpUri", "must be set");
  fetching?.finish();
  reader.finish();
  return remote;
}

type Target = Pick<RemoteJwks, "clusterName" | "authority" | "scheme" | "path" | "timeoutMs">;

function parseHttpUri(reader: MessageReader<HttpUri>, name: string): Target | undefined {
  const text = reader.get("uri");
  const upstream = reader.get("httpUpstreamType");
  const timeoutMs = durationMs(reader.get("timeout")) ?? 0;
  reader.finish();
  const url = /^https?:\/\//i.test(text) ? URL.parse(text) : null;
  if (url === null || upstream.case !== "cluster") {
    reader.invalid("uri", `Provider '${name}' has an invalid URI: '${text}', or names no cluster`);
    return undefined;
  }
  return {
    clusterName: upstream.value,
    authority: url.host,
    scheme: url.protocol.slice(0, -1),
    path: url.pathname + url.search,
    timeoutMs,
  };
}

function parseRetries(reader: MessageReader<RetryPolicy>): RemoteJwks["retries"] {
  const backOff = reader.child("retryBackOff");
  const baseMs = durationMs(backOff?.get("baseInterval")) ?? 1000;
  const maxMs = durationMs(backOff?.get("maxInterval")) ?? baseMs * 10;
  backOff?.finish();
  const count = reader.get("numRetries")?.valueOf() ?? 1;
  reader.finish();
  if (maxMs < baseMs) reader.invalid("retryBackOff", "max_interval must greater than or equal to base_interval");
  return { count, baseMs, maxMs };
}

/** What is wrong with a provider that is named and not there. */
export function unknownProvider(name: string, path: string): Problem {
  const message = `Required provider ['${name}'] is not configured.`;
  return { code: "invalid-value", level: "error", path, message };
}
