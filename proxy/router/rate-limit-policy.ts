/** `rate_limits` of routes, virtual hosts and rate limit filters → descriptors of a request. */
import { MessageReader } from "#protos/reader.ts";
import { byteString } from "#lib/xxhash64.ts";
import type { MetadataKey } from "#protos/gen/envoy/type/metadata/v3/metadata_pb.js";
import type {
  RateLimit,
  RateLimit_Action,
  RateLimit_Action_MetaData,
} from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import type { HeaderMap } from "../http/header-map.ts";
import type { StreamInfo } from "../stream-info.ts";
import { clientAddress, maskedAddress } from "./client-address.ts";
import { parseHeaderMatchers } from "./header-matcher.ts";
import { parseQueryMatcher } from "./query-matcher.ts";
import type { RegexCache } from "./regex.ts";

/** What a rate limiter counts by: pairs in order. */
export interface RateLimitDescriptor {
  readonly entries: readonly DescriptorEntry[];
  /** Overrides the limit of the service. */
  readonly limit: { readonly requestsPerUnit: number; readonly unit: string } | undefined;
}

/** One byte a character. */
export interface DescriptorEntry {
  readonly key: string;
  readonly value: string;
}

/** One `RateLimit`. */
export interface RateLimitEntry {
  readonly stage: number;
  /** `ratelimit.<disable_key>.http_filter_enabled` may switch it off. */
  readonly disableKey: string;
  readonly appliesOnStreamDone: boolean;
  /** Undefined: one of its actions does not apply to this request. */
  describe(context: RateLimitContext): RateLimitDescriptor | undefined;
}

export interface RateLimitContext {
  readonly headers: HeaderMap;
  readonly info: StreamInfo;
  /** Undefined: no route, or one that does not forward. */
  readonly route:
    | { readonly clusterName: string; readonly metadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> }
    | undefined;
  /** `--service-cluster`. */
  readonly serviceCluster: string;
}

/** Gives the pair of one action: `skip` leaves it out, undefined drops the whole descriptor. */
type Action = (context: RateLimitContext) => DescriptorEntry | "skip" | undefined;

/** Reads a list; what can't be read is on the reader's list of problems. */
export function parseRateLimits(
  readers: readonly MessageReader<RateLimit>[],
  regexes: RegexCache,
): readonly RateLimitEntry[] {
  return readers.map((reader) => parseRateLimit(reader, regexes));
}

function parseRateLimit(reader: MessageReader<RateLimit>, regexes: RegexCache): RateLimitEntry {
  const actions = reader.children("actions").map((action) => parseAction(action, regexes));
  const limit = parseOverride(reader);
  const entry = {
    stage: reader.get("stage") ?? 0,
    disableKey: reader.get("disableKey"),
    appliesOnStreamDone: reader.get("applyOnStreamDone"),
  };
  reader.finish();
  return {
    ...entry,
    describe(context) {
      const entries: DescriptorEntry[] = [];
      for (const action of actions) {
        const found = action?.(context);
        if (found === undefined) return undefined;
        if (found !== "skip") entries.push(found);
      }
      return { entries, limit: limit?.(context.info) };
    },
  };
}

function parseAction(reader: MessageReader<RateLimit_Action>, regexes: RegexCache): Action | undefined {
  const specifier = reader.get("actionSpecifier");
  const at = reader.at("actionSpecifier");
  const { problems } = reader;
  reader.finish();
  switch (specifier.case) {
    case "sourceCluster":
      return ({ serviceCluster }) => ({ key: "source_cluster", value: serviceCluster });
    case "destinationCluster":
      return ({ route }) => route && { key: "destination_cluster", value: route.clusterName };
    case "requestHeaders": {
      const inner = new MessageReader(specifier.value, at, problems);
      const name = inner.get("headerName").toLowerCase();
      const key = byteString(inner.get("descriptorKey"));
      const absent = inner.get("skipIfAbsent") ? "skip" : undefined;
      inner.finish();
      return ({ headers }) => {
        const value = headers.get(name);
        return value === undefined ? absent : { key, value };
      };
    }
    case "remoteAddress":
      return ({ info }) => {
        const value = clientAddress(info);
        return value === undefined ? undefined : { key: "remote_address", value };
      };
    case "maskedRemoteAddress": {
      const inner = new MessageReader(specifier.value, at, problems);
      const v4 = inner.get("v4PrefixMaskLen") ?? 32;
      const v6 = inner.get("v6PrefixMaskLen") ?? 128;
      inner.finish();
      return ({ info }) => {
        const value = maskedAddress(clientAddress(info), v4, v6);
        return value === undefined ? undefined : { key: "masked_remote_address", value };
      };
    }
    case "genericKey": {
      const inner = new MessageReader(specifier.value, at, problems);
      const key = inner.get("descriptorKey");
      const value = parseValue(inner);
      inner.finish();
      return pair(key === "" ? "generic_key" : key, value);
    }
    case "headerValueMatch": {
      const inner = new MessageReader(specifier.value, at, problems);
      const matchers = parseHeaderMatchers(inner.children("headers"), regexes);
      const expected = inner.get("expectMatch") ?? true;
      const key = inner.get("descriptorKey");
      const found = pair(key === "" ? "header_match" : key, parseValue(inner));
      inner.finish();
      return (context) =>
        matchers.every((matches) => matches(context.headers)) === expected ? found(context) : undefined;
    }
    case "queryParameterValueMatch": {
      const inner = new MessageReader(specifier.value, at, problems);
      const matchers = inner.children("queryParameters").map((matcher) => parseQueryMatcher(matcher, regexes));
      const expected = inner.get("expectMatch") ?? true;
      const key = inner.get("descriptorKey");
      const found = pair(key === "" ? "query_match" : key, parseValue(inner));
      inner.finish();
      return (context) =>
        matchers.every((matches) => matches?.(context.headers.path) === true) === expected ? found(context) : undefined;
    }
    case "metadata":
      return parseMetadata(new MessageReader(specifier.value, at, problems));
    case "dynamicMetadata": {
      const inner = new MessageReader(specifier.value, at, problems);
      const key = byteString(inner.get("descriptorKey"));
      const fallback = byteString(inner.get("defaultValue"));
      const read = metadataReader(inner.get("metadataKey"));
      inner.finish();
      return ({ info }) => {
        const found = read((namespace) => info.dynamicMetadata?.get(namespace));
        const value = typeof found === "string" && found !== "" ? byteString(found) : fallback;
        return value === "" ? undefined : { key, value };
      };
    }
    case "extension":
      reader.unsupported("actionSpecifier", "rate limit descriptors by extensions are not supported by this proxy");
      return undefined;
    case undefined:
      problems.push({ code: "invalid-value", level: "error", path: reader.path, message: "an action is required" });
      return undefined;
  }
}

function parseMetadata(reader: MessageReader<RateLimit_Action_MetaData>): Action {
  const key = byteString(reader.get("descriptorKey"));
  const fallback = byteString(reader.get("defaultValue"));
  const absent = reader.get("skipIfAbsent") ? "skip" : undefined;
  const read = metadataReader(reader.get("metadataKey"));
  const source: number = reader.get("source");
  if (source > 1) reader.unsupported("source", "metadata of the cluster is not read here; use DYNAMIC or ROUTE_ENTRY");
  reader.finish();
  return ({ info, route }) => {
    const found =
      source === 0
        ? read((namespace) => info.dynamicMetadata?.get(namespace))
        : read((namespace) => route?.metadata[namespace]);
    const value = typeof found === "string" && found !== "" ? byteString(found) : fallback;
    return value === "" ? absent : { key, value };
  };
}

/** Taken literally: Envoy reads command operators in it only behind a feature flag that is off. */
function parseValue(
  reader: MessageReader<
    Extract<
      RateLimit_Action["actionSpecifier"],
      { case: "genericKey" | "headerValueMatch" | "queryParameterValueMatch" }
    >["value"]
  >,
): string {
  const values = reader as MessageReader<Extract<RateLimit_Action["actionSpecifier"], { case: "genericKey" }>["value"]>;
  values.ignore("defaultValue", "stands in for a value of operators that is empty; a literal one never is");
  return byteString(values.get("descriptorValue"));
}

function pair(key: string, value: string): Action {
  const entry = { key: byteString(key), value };
  return () => entry;
}

type MetadataReader = (lookup: (namespace: string) => unknown) => unknown;

function metadataReader(key: MetadataKey | undefined): MetadataReader {
  const namespace = key?.key ?? "";
  const path = key?.path.map(({ segment }) => segment.value ?? "") ?? [];
  return (lookup) => {
    let value = lookup(namespace);
    for (const name of path)
      value = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
    return value;
  };
}

function parseOverride(
  reader: MessageReader<RateLimit>,
): ((info: StreamInfo) => RateLimitDescriptor["limit"]) | undefined {
  const limit = reader.child("limit");
  if (limit === undefined) return undefined;
  const specifier = limit.get("overrideSpecifier");
  limit.finish();
  if (specifier.case === undefined) return undefined;
  const read = metadataReader(specifier.value.metadataKey);
  return (info) => {
    const found = read((namespace) => info.dynamicMetadata?.get(namespace));
    if (typeof found !== "object" || found === null) return undefined;
    const { requests_per_unit: requestsPerUnit, unit } = found as Record<string, unknown>;
    return typeof requestsPerUnit === "number" && typeof unit === "string" ? { requestsPerUnit, unit } : undefined;
  };
}

/** The rate limits of a route. */
export interface RouteRateLimits {
  readonly route: readonly RateLimitEntry[];
  readonly virtualHost: readonly RateLimitEntry[];
  /** `include_vh_rate_limits`. */
  readonly includesVirtualHost: boolean;
}

/** `vh_rate_limits` of a filter: whether the virtual host's stand beside the route's. */
export type VirtualHostOption = "override" | "include" | "ignore";

export const virtualHostOptions: readonly VirtualHostOption[] = ["override", "include", "ignore"];

/** Those that count for a request of a route. */
export function applicableRateLimits(
  limits: RouteRateLimits | undefined,
  option: VirtualHostOption,
): readonly RateLimitEntry[] {
  if (limits === undefined) return [];
  const { route, virtualHost } = limits;
  const chosen = limits.includesVirtualHost ? "include" : option;
  if (chosen === "include") return [...route, ...virtualHost];
  return chosen === "override" && route.length === 0 ? virtualHost : route;
}
