/** `envoy.filters.http.cors`: answers preflights, and tells browsers what the route's policy allows. */
import type { Message } from "@bufbuild/protobuf";
import { MessageReader } from "#protos/reader.ts";
import type {
  Cors,
  CorsPolicy as CorsPolicyMessage,
} from "#protos/gen/envoy/extensions/filters/http/cors/v3/cors_pb.js";
import { byteString } from "#lib/xxhash64.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import { fixedFraction, isRuntimeFraction, runtimeFractionOf, type RuntimeFraction } from "../../config-values.ts";
import type { Counter } from "../../observability/stats.ts";
import { RegexCache } from "../../router/regex.ts";
import { parseStringMatcher, type StringMatcher } from "../../router/string-matcher.ts";
import type { FilterStatus, FilterStream, HttpFilter, HttpFilterFactory } from "../filter.ts";
import { HeaderMap } from "../header-map.ts";

export interface CorsPolicy {
  readonly allowOrigin: readonly StringMatcher[];
  readonly allowMethods: string;
  readonly allowHeaders: string;
  readonly exposeHeaders: string;
  readonly maxAge: string;
  readonly allowCredentials: boolean;
  readonly allowPrivateNetworkAccess: boolean;
  readonly forwardNotMatchingPreflights: boolean;
  readonly enabled: RuntimeFraction;
  readonly shadowEnabled: RuntimeFraction;
}

export const cors: HttpFilterFactory<null, CorsPolicy> = {
  name: "envoy.filters.http.cors",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"],
  routeTypeUrls: ["type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy"],
  parse(message, path) {
    const problems: Problem[] = [];
    new MessageReader(message as Cors, path, problems).finish();
    return { value: null, problems };
  },
  parseRoute: parsePolicy,
  create(_config, { scope, runtime, runtimeSnapshot }, name) {
    const stats: CorsStats = {
      originValid: scope.counter("cors.origin_valid"),
      originInvalid: scope.counter("cors.origin_invalid"),
    };
    return (stream) => {
      const origin = stream.requestHeaders.get("origin");
      if (origin === undefined || origin === "") return undefined;
      const policy = stream.routeConfig<CorsPolicy>(name);
      if (policy === undefined) return undefined;
      const random = BigInt(runtime.random.uint32());
      const isEnabled = isRuntimeFraction(policy.enabled, random, runtimeSnapshot);
      if (!isEnabled && !isRuntimeFraction(policy.shadowEnabled, random, runtimeSnapshot)) return undefined;
      return new CorsFilter(policy, origin, isEnabled, stream, stats);
    };
  },
};

interface CorsStats {
  readonly originValid: Counter;
  readonly originInvalid: Counter;
}

class CorsFilter implements HttpFilter {
  #isAllowed = false;
  readonly #policy: CorsPolicy;
  readonly #origin: string;
  readonly #isEnabled: boolean;
  readonly #stream: FilterStream;
  readonly #stats: CorsStats;

  constructor(policy: CorsPolicy, origin: string, isEnabled: boolean, stream: FilterStream, stats: CorsStats) {
    this.#policy = policy;
    this.#origin = origin;
    this.#isEnabled = isEnabled;
    this.#stream = stream;
    this.#stats = stats;
  }

  decodeHeaders(headers: HeaderMap): FilterStatus {
    const policy = this.#policy;
    const isPreflight = headers.method === "OPTIONS" && (headers.get("access-control-request-method") ?? "") !== "";
    const isAllowed = policy.allowOrigin.some((matches) => matches("*") || matches(this.#origin));
    (isAllowed ? this.#stats.originValid : this.#stats.originInvalid).inc();
    if (!this.#isEnabled) return "continue";
    if (!isAllowed) {
      if (!isPreflight || policy.forwardNotMatchingPreflights) return "continue";
      this.#answer(new HeaderMap());
      return "stop";
    }
    this.#isAllowed = true;
    if (!isPreflight) return "continue";
    this.#answer(this.#preflightHeaders(headers));
    return "stop";
  }

  encodeHeaders(headers: HeaderMap): FilterStatus {
    if (!this.#isAllowed) return "continue";
    headers.set("access-control-allow-origin", this.#origin);
    if (this.#policy.allowCredentials) headers.set("access-control-allow-credentials", "true");
    if (this.#policy.exposeHeaders !== "") headers.set("access-control-expose-headers", this.#policy.exposeHeaders);
    return "continue";
  }

  #preflightHeaders(request: HeaderMap): HeaderMap {
    const { allowMethods, allowHeaders, maxAge, allowPrivateNetworkAccess } = this.#policy;
    const headers = new HeaderMap();
    if (allowMethods !== "") headers.add("access-control-allow-methods", allowMethods);
    if (allowHeaders !== "") headers.add("access-control-allow-headers", allowHeaders);
    if (maxAge !== "") headers.add("access-control-max-age", maxAge);
    if (allowPrivateNetworkAccess && request.get("access-control-request-private-network") === "true")
      headers.add("access-control-allow-private-network", "true");
    return headers;
  }

  #answer(headers: HeaderMap): void {
    headers.status = 200;
    this.#stream.info.responseCodeDetails = "cors_response";
    this.#stream.encodeHeaders(headers, true);
  }
}

const always = fixedFraction(100);
const never = fixedFraction(0);

function parsePolicy(message: Message, path: string): Parsed<CorsPolicy> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as CorsPolicyMessage, path, problems);
  const regexes = new RegexCache();
  const enabled = reader.child("filterEnabled");
  const shadowEnabled = reader.child("shadowEnabled");
  const value: CorsPolicy = {
    allowOrigin: reader
      .children("allowOriginStringMatch")
      .map((matcher) => parseStringMatcher(matcher, regexes))
      .filter((matcher) => matcher !== undefined),
    allowMethods: byteString(reader.get("allowMethods")),
    allowHeaders: byteString(reader.get("allowHeaders")),
    exposeHeaders: byteString(reader.get("exposeHeaders")),
    maxAge: byteString(reader.get("maxAge")),
    allowCredentials: reader.get("allowCredentials") ?? false,
    allowPrivateNetworkAccess: reader.get("allowPrivateNetworkAccess") ?? false,
    forwardNotMatchingPreflights: reader.get("forwardNotMatchingPreflights") ?? true,
    enabled: enabled === undefined ? always : runtimeFractionOf(enabled),
    shadowEnabled: shadowEnabled === undefined ? never : runtimeFractionOf(shadowEnabled),
  };
  reader.finish();
  return problems.length > 0 ? { problems } : { value, problems };
}
