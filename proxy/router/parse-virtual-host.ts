/** `envoy.config.route.v3.VirtualHost` → its routes, prepared (R-06 … R-09). */
import type { MessageReader } from "#protos/reader.ts";
import type { VirtualHost } from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import type { HeaderMap } from "../http/header-map.ts";
import { parseHeaderMatchers } from "./header-matcher.ts";
import { parseMirrorPolicy } from "./mirror-policy.ts";
import type { RouteParseContext, VirtualHostContext } from "./parse-context.ts";
import { bufferLimit, parseRoute, type CompiledRoute } from "./parse-route.ts";
import { parseHedgePolicy } from "./parse-route-action.ts";
import { parseRateLimits } from "./rate-limit-policy.ts";
import { sslLocation } from "./redirect.ts";
import { parseRetryPolicy } from "./retry-policy.ts";
import { composeLevels, parseLevel } from "./route-level.ts";
import { matchesRoute } from "./route-match.ts";
import { parseRouteTree, type RouteTree } from "./route-tree.ts";
import type { MatchContext, RedirectRoute, ResolvedRoute } from "./types.ts";

export interface CompiledVirtualHost {
  readonly name: string;
  readonly domains: readonly string[];
  /** `path` is what routes are matched against. */
  match(headers: HeaderMap, path: string, context: MatchContext): ResolvedRoute | undefined;
}

type TlsRequirement = "none" | "external-only" | "all";
const tlsRequirements: readonly TlsRequirement[] = ["none", "external-only", "all"];

/** Reads a virtual host; routes with problems are left out, the problems are on the reader's list. */
export function parseVirtualHost(reader: MessageReader<VirtualHost>, shared: RouteParseContext): CompiledVirtualHost {
  const name = reader.get("name");
  const domains = reader.get("domains");
  const retry = reader.child("retryPolicy");
  const hedge = reader.child("hedgePolicy");
  const mirrors = reader.children("requestMirrorPolicies").map(parseMirrorPolicy);
  const context: VirtualHostContext = {
    ...shared,
    virtualHostName: name,
    virtualHostLevel: parseLevel(
      {
        requestHeadersToAdd: reader.children("requestHeadersToAdd"),
        requestHeadersToRemove: reader.get("requestHeadersToRemove"),
        responseHeadersToAdd: reader.children("responseHeadersToAdd"),
        responseHeadersToRemove: reader.get("responseHeadersToRemove"),
        typedPerFilterConfig: reader.get("typedPerFilterConfig"),
      },
      reader.path,
      reader.problems,
      shared.filters,
    ),
    retryPolicy: retry === undefined ? undefined : parseRetryPolicy(retry, shared.regexes),
    hedgePolicy: hedge === undefined ? undefined : parseHedgePolicy(hedge),
    virtualHostMirrors: mirrors.length > 0 ? mirrors : shared.mirrors,
    includeAttemptCountInRequest: reader.get("includeRequestAttemptCount"),
    includeAttemptCountInResponse: reader.get("includeAttemptCountInResponse"),
    includeIsTimeoutRetryHeader: reader.get("includeIsTimeoutRetryHeader"),
    perRequestBufferLimitBytes: bufferLimit(reader),
    rateLimits: parseRateLimits(reader.children("rateLimits"), shared.regexes),
    virtualCluster: parseVirtualClusters(reader, shared),
  };
  reader.ignore("metadata", "nothing but access-log operators of other proxies reads it");
  const requirement = tlsRequirements[reader.get("requireTls")] ?? "none";
  const routes = reader.children("routes").map((route) => parseRoute(route, context));
  const matcher = reader.child("matcher");
  const tree = matcher === undefined ? undefined : parseRouteTree(matcher, context);
  if (tree !== undefined && routes.length > 0)
    reader.invalid("matcher", "cannot set both matcher and routes on virtual host");
  reader.finish();
  return new VirtualHostEntry(
    name,
    domains,
    tree ?? routes.filter((route) => route !== undefined),
    requirement,
    sslRedirect(context),
  );
}

class VirtualHostEntry implements CompiledVirtualHost {
  readonly name: string;
  readonly domains: readonly string[];
  readonly #routes: readonly CompiledRoute[] | RouteTree;
  readonly #requirement: TlsRequirement;
  readonly #sslRedirect: RedirectRoute;

  constructor(
    name: string,
    domains: readonly string[],
    routes: readonly CompiledRoute[] | RouteTree,
    requirement: TlsRequirement,
    redirect: RedirectRoute,
  ) {
    this.name = name;
    this.domains = domains;
    this.#routes = routes;
    this.#requirement = requirement;
    this.#sslRedirect = redirect;
  }

  match(headers: HeaderMap, path: string, context: MatchContext): ResolvedRoute | undefined {
    const protocol = headers.get("x-forwarded-proto");
    if (protocol === undefined || protocol === "") return undefined;
    if (this.#requirement !== "none" && protocol !== "https") {
      if (this.#requirement === "all" || headers.get("x-envoy-internal") !== "true") return this.#sslRedirect;
    }
    const routes = typeof this.#routes === "function" ? this.#routes({ headers, context }) : this.#routes;
    if (routes === undefined) return undefined;
    for (let i = 0; i < routes.length; i++) {
      const route = routes[i] as CompiledRoute;
      if (matchesRoute(route.matcher, path, headers, context)) return route.select(headers, context);
    }
    return undefined;
  }
}

function sslRedirect(context: VirtualHostContext): RedirectRoute {
  const { filters } = composeLevels([context.virtualHostLevel, context.level], context.mostSpecificWins);
  return {
    kind: "redirect",
    name: "",
    virtualHostName: context.virtualHostName,
    metadata: {},
    perFilter: (name) => filters.perFilter(name),
    perFilterLevels: (name) => filters.perFilterLevels(name),
    isFilterEnabled: (name) => filters.isFilterEnabled(name),
    requestMutations: undefined,
    responseMutations: undefined,
    decoratorOperation: undefined,
    decoratorPropagate: true,
    tracing: undefined,
    status: 301,
    rewritePath() {},
    location: sslLocation,
  };
}

function parseVirtualClusters(
  reader: MessageReader<VirtualHost>,
  { regexes }: RouteParseContext,
): ((headers: HeaderMap) => string) | undefined {
  const clusters = reader.children("virtualClusters").map((cluster) => {
    const name = cluster.get("name");
    const conditions = parseHeaderMatchers(cluster.children("headers"), regexes);
    cluster.finish();
    if (conditions.length === 0) cluster.invalid("headers", "virtual clusters must define 'headers'");
    return { name, conditions };
  });
  if (clusters.length === 0) return undefined;
  return (headers) =>
    clusters.find(({ conditions }) => conditions.every((matches) => matches(headers)))?.name ?? "other";
}
