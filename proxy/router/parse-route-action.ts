/** `RouteAction` → the selector of forwarding routes, with every object prepared. */
import { MessageReader } from "#protos/reader.ts";
import { byteString } from "#lib/xxhash64.ts";
import type {
  HedgePolicy as HedgePolicyMessage,
  InternalRedirectPolicy as InternalRedirectPolicyMessage,
  RouteAction,
  RouteAction_UpgradeConfig,
  RouteAction_UpgradeConfig_ConnectConfig,
  WeightedCluster,
  WeightedCluster_ClusterWeight,
} from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import { durationMs, metadataOf } from "../config-values.ts";
import type { HeaderMap } from "../http/header-map.ts";
import { ForwardRouteEntry, type ForwardRouteParts } from "./forward-route.ts";
import { parseHashPolicies, type HashPolicy } from "./hash-policy.ts";
import { parseMirrorPolicy } from "./mirror-policy.ts";
import type { VirtualHostContext } from "./parse-context.ts";
import { parseHostRewrite, parsePathRewrite } from "./parse-rewrites.ts";
import { parseRateLimits } from "./rate-limit-policy.ts";
import { parseRedirectPredicate } from "./redirect-predicate.ts";
import { parseRetryPolicy } from "./retry-policy.ts";
import { composeLevels, parseLevel, type RouteLevel } from "./route-level.ts";
import type { RouteMatcher } from "./route-match.ts";
import type { RouteTracing } from "./route-tracing.ts";
import { timeouts } from "./timeouts.ts";
import type { ConnectConfig, ForwardRoute, HedgePolicy, InternalRedirectPolicy, MaxStreamDuration } from "./types.ts";
import { numberIn, weightedSelector, type RouteSelector, type WeightedChoice } from "./weighted-clusters.ts";

const defaultTimeoutMs = 15_000;
const notFoundStatuses = [503, 404, 500] as const;

/** What the route around the action gives. */
export interface RouteAround {
  readonly name: string;
  readonly statPrefix: string;
  readonly metadata: ForwardRoute["metadata"];
  readonly level: RouteLevel;
  readonly decoratorOperation: string | undefined;
  readonly decoratorPropagate: boolean;
  readonly tracing: RouteTracing | undefined;
  readonly perRequestBufferLimitBytes: number | undefined;
  readonly matcher: RouteMatcher;
}

type SharedParts = Omit<
  ForwardRouteParts,
  "clusterName" | "requestMutations" | "responseMutations" | "filters" | "metadataMatch"
>;

/** Reads the action; undefined when it has problems, which are on the reader's list. */
export function parseRouteAction(
  reader: MessageReader<RouteAction>,
  around: RouteAround,
  context: VirtualHostContext,
): RouteSelector | undefined {
  const parts = sharedParts(reader, around, context);
  const metadataMatch = lbMetadata(reader.child("metadataMatch"));
  const specifier = reader.get("clusterSpecifier");
  const at = reader.at("clusterSpecifier");
  reader.finish();
  const one = (clusterName: string, extra: Partial<ForwardRouteParts> = {}, level?: RouteLevel): ForwardRouteEntry => {
    const levels = [around.level, context.virtualHostLevel, context.level];
    const composed = composeLevels(level === undefined ? levels : [level, ...levels], context.mostSpecificWins);
    return new ForwardRouteEntry({ ...parts, ...composed, metadataMatch, clusterName, ...extra });
  };
  const named = (name: string, path: string): void => {
    if (!context.clusterNames.has(name)) context.clusterNames.set(name, path);
  };
  switch (specifier.case) {
    case "cluster": {
      const route = one(specifier.value);
      named(specifier.value, at);
      return () => route;
    }
    case "clusterHeader":
      return headerSelector(one(""), specifier.value);
    case "weightedClusters": {
      const weighted = new MessageReader(specifier.value, at, reader.problems);
      return parseWeighted(weighted, parts.hashPolicy, (cluster) => {
        const level = weightLevel(cluster, context);
        const own = lbMetadata(cluster.child("metadataMatch"));
        const rewrite = cluster.get("hostRewriteSpecifier");
        const host = rewrite.case === undefined ? undefined : byteString(rewrite.value);
        const name = cluster.get("name");
        const header = cluster.get("clusterHeader");
        cluster.finish();
        if ((name === "") === (header === ""))
          cluster.invalid("name", "exactly one of name and cluster_header must be set");
        const extra: Partial<ForwardRouteParts> = {
          ...(own === undefined ? {} : { metadataMatch: { ...metadataMatch, ...own } }),
          ...(host === undefined ? {} : { hostRewrite: () => host, autoHostRewrite: false, keepsOriginalHost: false }),
        };
        const route = one(name, extra, level);
        if (name === "") return headerSelector(route, header);
        named(name, cluster.at("name"));
        return () => route;
      });
    }
    case "clusterSpecifierPlugin":
    case "inlineClusterSpecifierPlugin":
      reader.unsupported(
        "clusterSpecifier",
        "cluster specifier plugins are not supported by this proxy; name the cluster, or let a header name it (cluster_header)",
      );
      return undefined;
    case undefined:
      reader.problems.push({
        code: "invalid-value",
        level: "error",
        path: reader.path,
        message: "one of cluster, cluster_header or weighted_clusters must be set",
      });
      return undefined;
  }
}

function headerSelector(route: ForwardRouteEntry, headerName: string): RouteSelector {
  const name = headerName.toLowerCase();
  return (headers: HeaderMap) => route.withCluster(headers.get(name) ?? "");
}

function sharedParts(
  reader: MessageReader<RouteAction>,
  around: RouteAround,
  context: VirtualHostContext,
): SharedParts {
  const { regexes } = context;
  const retry = reader.child("retryPolicy");
  const retryPolicy = retry === undefined ? context.retryPolicy : parseRetryPolicy(retry, regexes);
  const mirrors = reader.children("requestMirrorPolicies").map(parseMirrorPolicy);
  const duration = maxStreamDuration(reader);
  const timeoutMs = durationMs(reader.get("timeout")) ?? defaultTimeoutMs;
  const hedge = reader.child("hedgePolicy");
  const redirect = reader.child("internalRedirectPolicy");
  if (reader.get("internalRedirectAction") !== 0)
    reader.unsupported("internalRedirectAction", "use internal_redirect_policy in its place");
  const rateLimits = {
    route: parseRateLimits(reader.children("rateLimits"), regexes),
    virtualHost: context.rateLimits,
    includesVirtualHost: reader.get("includeVhRateLimits") ?? false,
  };
  for (const mirror of mirrors)
    if (mirror.clusterName !== "" && !context.clusterNames.has(mirror.clusterName))
      context.clusterNames.set(mirror.clusterName, reader.at("requestMirrorPolicies"));
  const host = parseHostRewrite(reader, regexes);
  return {
    ...around,
    virtualHostName: context.virtualHostName,
    clusterNotFoundStatus: notFoundStatuses[reader.get("clusterNotFoundResponseCode")] ?? 503,
    hostRewrite: host.rewrite,
    keepsOriginalHost: true,
    autoHostRewrite: host.isAuto,
    appendXForwardedHost: reader.get("appendXForwardedHost"),
    pathRewrite: parsePathRewrite(reader, around.matcher, regexes),
    timeouts: timeouts(
      duration === undefined ? timeoutMs : 0,
      retryPolicy?.perTryTimeoutMs ?? 0,
      retryPolicy?.perTryIdleTimeoutMs ?? 0,
    ),
    idleTimeoutMs: durationMs(reader.get("idleTimeout")),
    maxStreamDuration: duration,
    maxGrpcTimeoutMs: durationMs(reader.get("maxGrpcTimeout")),
    grpcTimeoutOffsetMs: durationMs(reader.get("grpcTimeoutOffset")),
    retryPolicy,
    hedgePolicy: hedge === undefined ? context.hedgePolicy : parseHedgePolicy(hedge),
    mirrors: mirrors.length > 0 ? mirrors : context.virtualHostMirrors,
    hashPolicy: parseHashPolicies(reader.children("hashPolicy"), regexes),
    priority: reader.get("priority") === 1 ? "high" : "default",
    ...upgradesOf(reader.children("upgradeConfigs")),
    includeAttemptCountInRequest: context.includeAttemptCountInRequest,
    includeAttemptCountInResponse: context.includeAttemptCountInResponse,
    includeIsTimeoutRetryHeader: context.includeIsTimeoutRetryHeader,
    internalRedirect: redirect === undefined ? undefined : parseInternalRedirect(redirect, reader),
    perRequestBufferLimitBytes: around.perRequestBufferLimitBytes ?? context.perRequestBufferLimitBytes,
    rateLimits: rateLimits.route.length + rateLimits.virtualHost.length === 0 ? undefined : rateLimits,
    virtualCluster: context.virtualCluster,
  };
}

function parseWeighted(
  reader: MessageReader<WeightedCluster>,
  hashPolicy: HashPolicy | undefined,
  parse: (cluster: MessageReader<WeightedCluster_ClusterWeight>) => RouteSelector,
): RouteSelector | undefined {
  const choices: WeightedChoice[] = [];
  const prefix = reader.get("runtimeKeyPrefix");
  let total = 0;
  for (const cluster of reader.children("clusters")) {
    const weight = cluster.get("weight") ?? 0;
    total += weight;
    const runtimeKey = prefix === "" ? undefined : `${prefix}.${cluster.message.name}`;
    choices.push({ weight, runtimeKey, select: parse(cluster) });
  }
  reader.ignore("totalWeight", "deprecated; the sum of the weights is the total, as in Envoy");
  const random = reader.get("randomValueSpecifier");
  reader.finish();
  if (total === 0) {
    reader.invalid("clusters", "Sum of weights in the weighted_cluster must be greater than 0.");
    return undefined;
  }
  if (total > 0xffffffff) {
    reader.invalid("clusters", `The sum of weights of all weighted clusters of route exceeds 4294967295`);
    return undefined;
  }
  if (random.case === "headerName") {
    const name = random.value.toLowerCase();
    return weightedSelector(choices, (headers) => numberIn(headers, name));
  }
  if (random.case === "useHashPolicy" && random.value.value && hashPolicy !== undefined)
    // A cookie that the policy makes is set when the request is forwarded, by the same policy.
    return weightedSelector(choices, (headers, { info }) => hashPolicy(headers, info, []));
  return weightedSelector(choices, () => undefined);
}

function weightLevel(cluster: MessageReader<WeightedCluster_ClusterWeight>, context: VirtualHostContext): RouteLevel {
  const fields = {
    requestHeadersToAdd: cluster.children("requestHeadersToAdd"),
    requestHeadersToRemove: cluster.get("requestHeadersToRemove"),
    responseHeadersToAdd: cluster.children("responseHeadersToAdd"),
    responseHeadersToRemove: cluster.get("responseHeadersToRemove"),
    typedPerFilterConfig: cluster.get("typedPerFilterConfig"),
  };
  return parseLevel(fields, cluster.path, cluster.problems, context.filters);
}

/** `filter_metadata["envoy.lb"]`, which picks a subset of hosts. */
function lbMetadata(reader: Parameters<typeof metadataOf>[0]): Readonly<Record<string, unknown>> | undefined {
  return reader === undefined ? undefined : metadataOf(reader)["envoy.lb"];
}

function maxStreamDuration(reader: MessageReader<RouteAction>): MaxStreamDuration | undefined {
  const duration = reader.child("maxStreamDuration");
  if (duration === undefined) return undefined;
  const value = {
    maxStreamDurationMs: durationMs(duration.get("maxStreamDuration")),
    grpcTimeoutHeaderMaxMs: durationMs(duration.get("grpcTimeoutHeaderMax")),
    grpcTimeoutHeaderOffsetMs: durationMs(duration.get("grpcTimeoutHeaderOffset")),
  };
  duration.finish();
  return value;
}

/** `initial_requests` and `additional_request_chance` are refused, as nothing in Envoy reads them either. */
export function parseHedgePolicy(reader: MessageReader<HedgePolicyMessage>): HedgePolicy {
  const hedgeOnPerTryTimeout = reader.get("hedgeOnPerTryTimeout");
  if ((reader.get("initialRequests") ?? 1) !== 1) reader.unsupported("initialRequests");
  reader.finish();
  return { hedgeOnPerTryTimeout };
}

function upgradesOf(
  readers: readonly MessageReader<RouteAction_UpgradeConfig>[],
): Pick<SharedParts, "upgrades" | "connectConfig"> {
  const upgrades = new Map<string, boolean>();
  let connectConfig: ConnectConfig | undefined;
  for (const reader of readers) {
    const given = reader.get("upgradeType");
    const type = given.toLowerCase();
    const enabled = reader.get("enabled") ?? true;
    const connect = reader.child("connectConfig");
    reader.finish();
    if (upgrades.has(type)) reader.invalid("upgradeType", `Duplicate upgrade ${type}`);
    if (type === "connect-udp") reader.unsupported("upgradeType", `upgrade_type ${given}: UDP is not supported`);
    else if (connect !== undefined && type !== "connect")
      reader.invalid("connectConfig", `Non-CONNECT upgrade type ${given} has ConnectConfig`);
    if (connect !== undefined) connectConfig = parseConnectConfig(connect);
    upgrades.set(type, enabled);
  }
  return { upgrades, connectConfig };
}

function parseConnectConfig(reader: MessageReader<RouteAction_UpgradeConfig_ConnectConfig>): ConnectConfig {
  const proxy = reader.child("proxyProtocolConfig");
  const version = proxy?.get("version");
  proxy?.ignore("passThroughTlvs", "Envoy's header of a terminated CONNECT has no TLVs");
  proxy?.finish();
  const config: ConnectConfig = {
    allowsPost: reader.get("allowPost"),
    proxyProtocol: version === undefined ? undefined : version === 0 ? 1 : 2,
  };
  reader.finish();
  return config;
}

const redirectCodes: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

function parseInternalRedirect(
  reader: MessageReader<InternalRedirectPolicyMessage>,
  action: MessageReader<RouteAction>,
): InternalRedirectPolicy {
  const codes = reader.get("redirectResponseCodes").filter((code) => redirectCodes.has(code));
  const policy = {
    maxInternalRedirects: reader.get("maxInternalRedirects") ?? action.get("maxInternalRedirects") ?? 1,
    statusCodes: new Set(reader.get("redirectResponseCodes").length === 0 ? [302] : codes),
    allowCrossSchemeRedirect: reader.get("allowCrossSchemeRedirect"),
    responseHeadersToCopy: reader.get("responseHeadersToCopy").map((name) => name.toLowerCase()),
    predicates: reader
      .children("predicates")
      .map(parseRedirectPredicate)
      .filter((one) => one !== undefined),
  };
  reader.finish();
  return policy;
}
