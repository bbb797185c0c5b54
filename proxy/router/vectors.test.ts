import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";
import { messageFromJson } from "#protos/json.ts";
import { MessageReader } from "#protos/reader.ts";
import type { HeaderMatcher } from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import type { Problem } from "#lib/problem.ts";
import { HeaderMap } from "../http/header-map.ts";
import { StreamInfo } from "../stream-info.ts";
import { parseHeaderMatchers } from "./header-matcher.ts";
import { RetryOn } from "./retry-policy.ts";
import { parseRouteConfiguration } from "./parse-route-config.ts";
import { RegexCache } from "./regex.ts";
import type { ForwardRoute, RedirectRoute, ResolvedRoute, RouteTable } from "./types.ts";

const folder = join(import.meta.dirname, "../../../shared/vectors");
const isThere = existsSync(folder);
if (!isThere) console.log("skipped: the vectors folder is not beside the checkout");

interface RouterCase {
  readonly headers: [string, string][];
  readonly random_value: number;
  readonly keep_original?: boolean;
  readonly expect: Record<string, unknown>;
}
interface RouterSuite {
  readonly test: string;
  readonly needs: string[];
  readonly route_config_yaml: string;
  readonly cases: RouterCase[];
}

/** Suites that are left out, and why. */
const leftOut: Record<string, string> = {
  "RouteMatcherTest.TestMatchTree": "VirtualHost.matcher is refused by name",
  "RouteMatcherTest.TestMatchTreeDynamicCluster": "VirtualHost.matcher is refused by name",
  "RouteMatcherTest.TestRouteList": "VirtualHost.matcher is refused by name",
  "RouteMatcherTest.TestRouteListDynamicCluster": "VirtualHost.matcher is refused by name",
  "RouteMatcherTest.RetryVirtualHostLevel": "its plugins exist in that test only",
};

/** Cases that lean on state which the vectors do not hold (runtime keys, what a listener found), by their number. */
const leanOnMocks: Record<string, readonly number[]> = {
  // The port of a CONNECT request, which the connection manager would have put aside.
  "RouteMatcherTest.TestConnectRoutes": [5, 6],
  // The address in filter state.
  "RouteMatcherTest.TestRoutes": [70],
  "RouteMatcherTest.FractionalRuntime": [1],
  // A client certificate.
  "RouteMatcherTest.EnsureMatchingAllConditions": [0],
  // Weights of the runtime.
  "RouteMatcherTest.WeightedClusters": [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22],
};

/** Fields that a test sets in code before some of its cases. */
const setInCode: Record<string, (at: number) => object> = {
  "RouteMatcherTest.IgnorePathParametersInPathMatching": () => ({ ignore_path_parameters_in_path_matching: true }),
  "RouteMatcherTest.IgnorePortInHostMatching": (at) => ({ ignore_port_in_host_matching: at >= 4 }),
};

function load<T>(name: string): T {
  return JSON.parse(readFileSync(join(folder, name), "utf8")) as T;
}

/** The connection manager sees to it that a request has a scheme (R-81); the vectors leave that out. */
function headersOf(pairs: [string, string][]): HeaderMap {
  const headers = HeaderMap.of(pairs);
  if (headers.scheme === "") headers.scheme = headers.get("x-forwarded-proto") ?? "";
  return headers;
}

/** YAML as Envoy's loader takes it: 64-bit integers keep their digits, enum values may be in lower case. */
function fromYaml(text: string): unknown {
  const plain = (value: unknown): unknown => {
    if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();

    if (Array.isArray(value)) return value.map(plain);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
  };
  return plain(
    parseYaml(
      text
        .replaceAll(/\b(high|all|external_only)$/gm, (word) => word.toUpperCase())
        .replaceAll(/(strip_query|https_redirect): "(true|false)"/g, "$1: $2"),
      { intAsBigInt: true },
    ),
  );
}

/** One route of one suite matches an address in filter state, for which there is no field here: it is left out. */
function withoutAddressMatch(value: unknown): unknown {
  if (Array.isArray(value))
    return value
      .filter((item) => !/"address_match"/.test(JSON.stringify((item as { match?: object }).match ?? null)))
      .map(withoutAddressMatch);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withoutAddressMatch(inner)]));
}

describe.skipIf(!isThere)("RouteConfiguration vectors", () => {
  const suites = isThere ? load<{ suites: RouterSuite[] }>("router_config_vectors.json").suites : [];
  for (const suite of suites) {
    const name = suite.test;
    test.skipIf(name in leftOut)(`${name}${name in leftOut ? `: ${leftOut[name]}` : ""}`, () => {
      const json = withoutAddressMatch(fromYaml(suite.route_config_yaml)) as object;
      const tableFor = (at: number): RouteTable => {
        const fields = { ...json, ...setInCode[name]?.(at) };
        const message = messageFromJson("envoy.config.route.v3.RouteConfiguration", fields);
        expect(message.problems).toEqual([]);
        const { value, problems } = parseRouteConfiguration(message.value as never, { filters: [] });
        expect(problems.filter(({ level }) => level === "error")).toEqual([]);
        return value as RouteTable;
      };
      const table = tableFor(0);
      for (const [at, row] of suite.cases.entries()) {
        if (leanOnMocks[name]?.includes(at) === true) continue;
        const headers = headersOf(row.headers);
        const info = streamOf(row);
        const route = (name in setInCode ? tableFor(at) : table).match(headers, {
          streamRandom: BigInt(row.random_value),
          info,
        });
        const found = outcome(route, headers, info, row);
        expect({ at, ...found }).toEqual({ at, ...row.expect });
      }
    });
  }
});

/** What the mocked stream of those tests says of itself. */
function streamOf(row: RouterCase): StreamInfo {
  const info = new StreamInfo();
  info.downstreamRemoteAddress = "127.0.0.1:0";
  info.traceId = "trace-id";
  void row;
  return info;
}

function outcome(
  route: ResolvedRoute | undefined,
  headers: HeaderMap,
  info: StreamInfo,
  row: RouterCase,
): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  const forward = route?.kind === "forward" ? route : undefined;
  for (const key of Object.keys(row.expect)) {
    found[key] = answer(key, route, forward, headers, info, row);
  }
  return found;
}

function answer(
  key: string,
  route: ResolvedRoute | undefined,
  forward: ForwardRoute | undefined,
  headers: HeaderMap,
  info: StreamInfo,
  row: RouterCase,
): unknown {
  const finalized = (): HeaderMap => {
    const copy = headers.copy();
    forward?.finalizeRequest(copy, { info, requestHeaders: headers }, row.keep_original !== true);
    return copy;
  };
  switch (key) {
    case "cluster":
      return forward?.clusterName ?? "";
    case "no_route":
      return route === undefined;
    case "new_uri":
      if (route?.kind !== "redirect") return "";
      return locationOf(route, headers.copy(), info);
    case "route_name":
      return route?.name;
    case "virtual_host":
      return route?.virtualHostName;
    case "virtual_cluster":
      return forward?.virtualCluster(headers);
    case "request_header_after": {
      const after = finalized();
      return (row.expect[key] as [string, string][]).map(([name]) => [name, after.get(name) ?? ""]);
    }
    case "request_header_present_after": {
      const after = finalized();
      return (row.expect[key] as [string, boolean][]).map(([name]) => [name, after.has(name)]);
    }
    case "is_direct_response":
      return route !== undefined && route.kind !== "forward";
    case "direct_response_code":
      return codeText(route?.kind === "direct-response" || route?.kind === "redirect" ? route.status : 0);
    case "has_route_entry":
      return forward !== undefined;
    case "cluster_not_found_response_code":
      return { 503: "ServiceUnavailable", 404: "NotFound", 500: "InternalServerError" }[
        forward?.clusterNotFoundStatus ?? 503
      ];
    case "priority":
      return forward?.priority === "high" ? "High" : "Default";
    case "shadow_policies":
      return forward?.mirrors.length;
    case "ms:timeout":
      return forward?.timeoutMs;
    case "ms:idleTimeout":
      return forward?.idleTimeoutMs ?? null;
    case "ms:grpcTimeoutHeaderMax":
      return forward?.maxStreamDuration?.grpcTimeoutHeaderMaxMs;
    case "ms:retryPolicyperTryTimeout":
      return forward?.retryPolicy?.perTryTimeoutMs ?? 0;
    case "ms:retryPolicyperTryIdleTimeout":
      return forward?.retryPolicy?.perTryIdleTimeoutMs ?? 0;
    case "retryPolicy->numRetries":
      return String(forward?.retryPolicy?.numRetries ?? 1);
    case "retryPolicy->retryOn":
      return retryOnText(forward?.retryPolicy?.retryOn ?? 0, String(row.expect[key]));
    default:
      throw new Error(`the test knows no ${key}`);
  }
}

const bitNames: Record<string, number> = {
  RETRY_ON_5XX: RetryOn.serverError,
  RETRY_ON_GATEWAY_ERROR: RetryOn.gatewayError,
  RETRY_ON_CONNECT_FAILURE: RetryOn.connectFailure,
  RETRY_ON_RETRIABLE_4XX: RetryOn.retriable4xx,
  RETRY_ON_REFUSED_STREAM: RetryOn.refusedStream,
  RETRY_ON_GRPC_CANCELLED: RetryOn.grpcCancelled,
  RETRY_ON_GRPC_DEADLINE_EXCEEDED: RetryOn.grpcDeadlineExceeded,
  RETRY_ON_GRPC_RESOURCE_EXHAUSTED: RetryOn.grpcResourceExhausted,
  RETRY_ON_GRPC_UNAVAILABLE: RetryOn.grpcUnavailable,
  RETRY_ON_GRPC_INTERNAL: RetryOn.grpcInternal,
  RETRY_ON_RETRIABLE_STATUS_CODES: RetryOn.retriableStatusCodes,
  RETRY_ON_RESET: RetryOn.reset,
};

const codeNames: Record<number, string> = {
  200: "OK",
  301: "MovedPermanently",
  302: "Found",
  303: "SeeOther",
  307: "TemporaryRedirect",
  308: "PermanentRedirect",
};

function codeText(status: number): string {
  return `Http::Code::${codeNames[status] ?? status}`;
}

/** The expectation, if its names stand for exactly these bits; else the bits. */
function retryOnText(bits: number, expected: string): string {
  const names = expected.match(/RETRY_ON_\w+/g) ?? [];
  const wanted = names.reduce((sum, name) => sum | (bitNames[name] ?? Number.NaN), 0);
  return wanted === bits ? expected : `${bits}`;
}

function locationOf(route: RedirectRoute, headers: HeaderMap, info: StreamInfo): string {
  const context = { info, requestHeaders: headers };
  route.rewritePath(headers, context, true);
  return route.location(headers, context);
}

interface HeaderSuite {
  readonly test: string;
  readonly cases: { readonly matchers: string[]; readonly headers: [string, string][]; readonly match: boolean }[];
}

/** The vectors are of a time when several values were joined before they were matched (Envoy until 1.38). */
function isSuperseded({ headers }: HeaderSuite["cases"][number]): boolean {
  return new Set(headers.map(([name]) => name)).size < headers.length;
}

describe.skipIf(!isThere)("HeaderMatcher vectors", () => {
  const suites = isThere ? load<{ suites: HeaderSuite[] }>("header_matcher_vectors.json").suites : [];
  test.each(suites.map((suite) => [suite.test, suite] as const))("R-17 … R-22: %s", (_name, suite) => {
    for (const row of suite.cases) {
      const problems: Problem[] = [];
      const readers = row.matchers.map((yaml) => {
        const message = messageFromJson("envoy.config.route.v3.HeaderMatcher", fromYaml(yaml));
        return new MessageReader(message.value as HeaderMatcher, "", problems);
      });
      const predicates = parseHeaderMatchers(readers, new RegexCache());
      expect(problems).toEqual([]);
      const headers = headersOf(row.headers);
      if (isSuperseded(row)) continue;
      expect([row, predicates.every((matches) => matches(headers))]).toEqual([row, row.match]);
    }
  });
});
