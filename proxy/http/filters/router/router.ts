/** `envoy.filters.http.router`: the last filter; sends the request to a host of the route's cluster. */
import type { Message } from "@bufbuild/protobuf";
import { MessageReader } from "#protos/reader.ts";
import type { Router } from "#protos/gen/envoy/extensions/filters/http/router/v3/router_pb.js";
import { typeNameOf } from "#protos/type-url.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { Counter, StatsScope } from "../../../observability/stats.ts";
import type { FilterFactoryContext, HttpFilterFactory } from "../../filter.ts";
import { RouterFilter } from "./router-filter.ts";
import { RequestStatsByName } from "./request-stats.ts";

export interface RouterConfig {
  readonly suppressEnvoyHeaders: boolean;
  readonly respectExpectedRqTimeout: boolean;
  /** Names of `x-envoy-…` headers whose values must be well-formed. */
  readonly strictCheckHeaders: readonly string[];
  /** `dynamic_stats`: statistics of status codes and times are kept. */
  readonly countsResponses: boolean;
  /** Of the answers to gRPC requests only that there was one is counted, not with which status. */
  readonly hidesGrpcStatusCodes: boolean;
}

/** What all requests of one router filter share. */
export interface RouterContext {
  readonly config: RouterConfig;
  readonly factory: FilterFactoryContext;
  readonly stats: RouterStats;
  readonly requestStats: RequestStatsByName;
}

export interface RouterStats {
  readonly noCluster: Counter;
  readonly noRoute: Counter;
  readonly rqDirectResponse: Counter;
  readonly rqResetAfterDownstreamResponseStarted: Counter;
  readonly rqTotal: Counter;
  readonly internalRedirect: (outcome: string) => Counter;
}

export const router: HttpFilterFactory<RouterConfig> = {
  name: "envoy.filters.http.router",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"],
  isTerminal: true,
  parse: parseRouter,
  create(config, factory) {
    const context: RouterContext = {
      config,
      factory,
      stats: routerStats(factory.scope),
      requestStats: new RequestStatsByName(factory.rootScope),
    };
    return (stream) => new RouterFilter(stream, context);
  },
};

const strictHeaders: ReadonlySet<string> = new Set([
  "x-envoy-upstream-rq-timeout-ms",
  "x-envoy-upstream-rq-per-try-timeout-ms",
  "x-envoy-max-retries",
  "x-envoy-retry-grpc-on",
  "x-envoy-retry-on",
]);

function parseRouter(message: Message, path: string): Parsed<RouterConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as Router, path, problems);
  parseUpstreamFilters(reader);
  const strictCheckHeaders = reader.get("strictCheckHeaders").map((name) => name.toLowerCase());
  for (const name of strictCheckHeaders)
    if (!strictHeaders.has(name)) reader.invalid("strictCheckHeaders", `${name} cannot be checked strictly`);
  const value: RouterConfig = {
    suppressEnvoyHeaders: reader.get("suppressEnvoyHeaders"),
    respectExpectedRqTimeout: reader.get("respectExpectedRqTimeout"),
    strictCheckHeaders,
    countsResponses: reader.get("dynamicStats") ?? true,
    hidesGrpcStatusCodes: reader.get("suppressGrpcRequestFailureCodeStats"),
  };
  if (reader.get("startChildSpan"))
    reader.unsupported("startChildSpan", "a request has one span in each proxy; leave start_child_span out");
  reader.finish();
  return problems.length > 0 ? { problems } : { value, problems };
}

const codecType = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec";

/** The codec alone is what there is without them. */
function parseUpstreamFilters(reader: MessageReader<Router>): void {
  for (const filter of reader.children("upstreamHttpFilters")) {
    const config = filter.get("configType");
    const name = filter.get("name");
    filter.finish();
    if (config.case === "typedConfig" && typeNameOf(config.value.typeUrl) === codecType) continue;
    filter.unsupported(
      "configType",
      `upstream HTTP filters are not supported by this proxy but for ${codecType}; put ${name} into http_filters`,
    );
  }
}

function routerStats(scope: StatsScope): RouterStats {
  for (const name of ["rq_overload_local_reply", "rq_redirect"]) scope.counter(name);
  return {
    noCluster: scope.counter("no_cluster"),
    noRoute: scope.counter("no_route"),
    rqDirectResponse: scope.counter("rq_direct_response"),
    rqResetAfterDownstreamResponseStarted: scope.counter("rq_reset_after_downstream_response_started"),
    rqTotal: scope.counter("rq_total"),
    internalRedirect: (outcome) => scope.counter(`passthrough_internal_redirect_${outcome}`),
  };
}
