/** `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy` → what the TCP proxy runs on. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type {
  TcpProxy,
  TcpProxy_WeightedCluster_ClusterWeight,
} from "#protos/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js";
import { durationMs, metadataOf } from "../config-values.ts";
import { parseTunnelingConfig, type TunnelingConfig } from "./tunnel-config.ts";
import { parseAccessLogs } from "../observability/access-log/parse.ts";
import type { AccessLogConfig } from "../observability/access-log/types.ts";

export interface TcpProxyConfig {
  readonly statPrefix: string;
  /** One for `cluster`; more for `weighted_clusters`. */
  readonly clusters: readonly WeightedTcpCluster[];
  readonly totalWeight: number;
  /** Without a byte either way for this long the connection is closed; 0: never. */
  readonly idleTimeoutMs: number;
  readonly maxConnectAttempts: number;
  /** Between attempts; undefined: at once. */
  readonly backOff: { readonly baseMs: number; readonly maxMs: number } | undefined;
  /** 0: no limit. */
  readonly maxConnectionDurationMs: number;
  /** Percent of the duration that chance may add. */
  readonly durationJitter: number;
  readonly hash: TcpHashPolicy | undefined;
  readonly tunneling: TunnelingConfig | undefined;
  /** What may be read before the upstream connection stands; 0: nothing is. */
  readonly maxEarlyDataBytes: number;
  /** The connection ends when its listener drains. */
  readonly checksDrainClose: boolean;
  readonly accessLogs: readonly AccessLogConfig[];
  readonly logOnConnected: boolean;
  /** 0: only at the end. */
  readonly logIntervalMs: number;
}

/** What connections are spread by. */
export type TcpHashPolicy = { readonly kind: "source-ip" } | { readonly kind: "filter-state"; readonly key: string };

export interface WeightedTcpCluster {
  readonly name: string;
  readonly weight: number;
  readonly metadataMatch: Readonly<Record<string, unknown>> | undefined;
}

const DEFAULT_IDLE_TIMEOUT_MS = 3_600_000;

export function parseTcpProxy(message: Message, path: string): Parsed<TcpProxyConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as TcpProxy, path, problems);
  const accessLogs = parseAccessLogs(reader.get("accessLog"), reader.at("accessLog"));
  problems.push(...accessLogs.problems);
  const clusters = clustersOf(reader);
  const options = reader.child("accessLogOptions");
  const tunneling = reader.child("tunnelingConfig");
  const config: TcpProxyConfig = {
    statPrefix: reader.get("statPrefix"),
    clusters,
    totalWeight: clusters.reduce((sum, { weight }) => sum + weight, 0),
    idleTimeoutMs: durationMs(reader.get("idleTimeout")) ?? DEFAULT_IDLE_TIMEOUT_MS,
    maxConnectAttempts: reader.get("maxConnectAttempts") ?? 1,
    maxConnectionDurationMs: durationMs(reader.get("maxDownstreamConnectionDuration")) ?? 0,
    durationJitter: jitterOf(reader),
    backOff: backOffOf(reader),
    hash: hashPolicyOf(reader),
    tunneling: tunneling === undefined ? undefined : parseTunnelingConfig(tunneling),
    maxEarlyDataBytes: reader.get("maxEarlyDataBytes") ?? 0,
    checksDrainClose: reader.get("checkDrainClose") ?? false,
    accessLogs: accessLogs.value ?? [],
    logOnConnected: reader.get("flushAccessLogOnConnected") || (options?.get("flushAccessLogOnConnected") ?? false),
    logIntervalMs:
      durationMs(options?.get("accessLogFlushInterval")) ?? durationMs(reader.get("accessLogFlushInterval")) ?? 0,
  };
  options?.finish();
  if (reader.get("onDemand") !== undefined)
    reader.unsupported("onDemand", "on-demand CDS is not supported by this proxy; configure the cluster");
  for (const field of ["downstreamIdleTimeout", "upstreamIdleTimeout"] as const)
    if (reader.get(field) !== undefined)
      reader.unsupported(field, "Envoy does not implement it either; use idle_timeout");
  reader.finish();
  return problems.length > 0 ? { problems } : { value: config, problems };
}

function clustersOf(reader: MessageReader<TcpProxy>): readonly WeightedTcpCluster[] {
  const specifier = reader.get("clusterSpecifier");
  const base = loadBalancerMetadata(metadataOf(reader.child("metadataMatch")));
  switch (specifier.case) {
    case "cluster":
      return [{ name: specifier.value, weight: 1, metadataMatch: base }];
    case "weightedClusters": {
      const weighted = reader.oneof("clusterSpecifier", specifier.value);
      const clusters = weighted.children("clusters").map((entry) => weightedCluster(entry, base));
      weighted.finish();
      return clusters;
    }
    case undefined:
      reader.invalid("clusterSpecifier", "names no cluster; set cluster or weighted_clusters");
      return [];
  }
}

function weightedCluster(
  reader: MessageReader<TcpProxy_WeightedCluster_ClusterWeight>,
  base: WeightedTcpCluster["metadataMatch"],
): WeightedTcpCluster {
  const own = loadBalancerMetadata(metadataOf(reader.child("metadataMatch")));
  const cluster = { name: reader.get("name"), weight: reader.get("weight"), metadataMatch: own ?? base };
  reader.finish();
  return cluster;
}

function loadBalancerMetadata(metadata: ReturnType<typeof metadataOf>): WeightedTcpCluster["metadataMatch"] {
  return metadata["envoy.lb"];
}

/** The first one holds, as in Envoy. */
function hashPolicyOf(reader: MessageReader<TcpProxy>): TcpHashPolicy | undefined {
  const policies = reader.children("hashPolicy").map((policy): TcpHashPolicy | undefined => {
    const specifier = policy.get("policySpecifier");
    policy.finish();
    if (specifier.case === "sourceIp") return { kind: "source-ip" };
    if (specifier.case === "filterState") return { kind: "filter-state", key: specifier.value.key };
    policy.invalid("policySpecifier", "one of source_ip, filter_state must be set");
    return undefined;
  });
  return policies[0];
}

function jitterOf(reader: MessageReader<TcpProxy>): number {
  const percent = reader.child("maxDownstreamConnectionDurationJitterPercentage");
  const value = percent?.get("value") ?? 0;
  percent?.finish();
  return value;
}

function backOffOf(reader: MessageReader<TcpProxy>): TcpProxyConfig["backOff"] {
  const options = reader.child("backoffOptions");
  if (options === undefined) return undefined;
  const baseMs = durationMs(options.get("baseInterval")) ?? 0;
  const maxMs = durationMs(options.get("maxInterval")) ?? 10 * baseMs;
  if (maxMs < baseMs) options.invalid("maxInterval", "max_backoff must be greater or equal to base_backoff");
  options.finish();
  return { baseMs, maxMs };
}
