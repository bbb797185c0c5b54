/** `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy` → what the TCP proxy runs on. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type {
  TcpProxy,
  TcpProxy_WeightedCluster_ClusterWeight,
} from "#protos/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js";
import { durationMs, metadataOf } from "../config-values.ts";
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
  /** 0: no limit. */
  readonly maxConnectionDurationMs: number;
  readonly hashSourceIp: boolean;
  readonly accessLogs: readonly AccessLogConfig[];
  readonly logOnConnected: boolean;
  /** 0: only at the end. */
  readonly logIntervalMs: number;
}

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
  const config: TcpProxyConfig = {
    statPrefix: reader.get("statPrefix"),
    clusters,
    totalWeight: clusters.reduce((sum, { weight }) => sum + weight, 0),
    idleTimeoutMs: durationMs(reader.get("idleTimeout")) ?? DEFAULT_IDLE_TIMEOUT_MS,
    maxConnectAttempts: reader.get("maxConnectAttempts") ?? 1,
    maxConnectionDurationMs: durationMs(reader.get("maxDownstreamConnectionDuration")) ?? 0,
    hashSourceIp: hashesSourceIp(reader),
    accessLogs: accessLogs.value ?? [],
    logOnConnected: reader.get("flushAccessLogOnConnected") || (options?.get("flushAccessLogOnConnected") ?? false),
    logIntervalMs:
      durationMs(options?.get("accessLogFlushInterval")) ?? durationMs(reader.get("accessLogFlushInterval")) ?? 0,
  };
  options?.finish();
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

/** The one hash policy of TCP that there is here: the source address. */
function hashesSourceIp(reader: MessageReader<TcpProxy>): boolean {
  let usesSourceIp = false;
  for (const policy of reader.children("hashPolicy")) {
    const specifier = policy.get("policySpecifier");
    if (specifier.case === "sourceIp") usesSourceIp = true;
    else policy.unsupported("policySpecifier");
    policy.finish();
  }
  return usesSourceIp;
}
