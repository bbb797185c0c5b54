/** The type of a cluster, and where its endpoints come from. */
import { MessageReader } from "#protos/reader.ts";
import { unpackAny } from "#protos/any.ts";
import type { MetadataKey } from "#protos/gen/envoy/type/metadata/v3/metadata_pb.js";
import type { ClusterConfig as AggregateConfig } from "#protos/gen/envoy/extensions/clusters/aggregate/v3/cluster_pb.js";
import type { Cluster, Cluster_CustomClusterType } from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import { durationMs } from "../../config-values.ts";
import type { ClusterConfig as DynamicForwardMessage } from "#protos/gen/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster_pb.js";
import { families } from "./dns-families.ts";
import { parseDnsCache } from "./parse-dns-cache.ts";
import { emptyAssignment, parseAssignment, type Assignment } from "./assignment.ts";
import type { DiscoveryConfig, DnsConfig, OriginalDstConfig } from "./cluster-config.ts";

const defaultRefreshMs = 5000;
const defaultInitialFetchTimeoutMs = 15_000;
const originalDstHeader = "x-envoy-original-dst-host";

/** Reads the type with all its settings; undefined when it is not supported. */
export function parseDiscovery(reader: MessageReader<Cluster>): DiscoveryConfig | undefined {
  const type = reader.get("clusterDiscoveryType");
  const assignmentReader = reader.child("loadAssignment");
  if (type.case === "clusterType") {
    if (assignmentReader !== undefined)
      reader.invalid("loadAssignment", `clusters of type ${type.value.name} have no endpoints of their own`);
    return parseCustomType(reader.oneof("clusterDiscoveryType", type.value));
  }
  // An absent type is STATIC.
  const kind = type.value ?? 0;
  const assignment = (allowsNames: boolean): Assignment =>
    assignmentReader === undefined
      ? emptyAssignment(reader.get("name"))
      : parseAssignment(assignmentReader, allowsNames);
  switch (kind) {
    case 0:
      return { kind: "static", assignment: assignment(false) };
    case 1:
      return { kind: "strict-dns", assignment: assignment(true), ...parseDns(reader) };
    case 2: {
      const one = assignment(true);
      if (one.localities.flatMap((locality) => locality.endpoints).length !== 1)
        reader.invalid(
          "loadAssignment",
          "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint",
        );
      return { kind: "logical-dns", assignment: one, ...parseDns(reader) };
    }
    case 3:
      if (assignmentReader !== undefined)
        reader.invalid("loadAssignment", "an EDS cluster gets its endpoints by EDS, not by load_assignment");
      return parseEds(reader);
    case 4:
      if (assignmentReader !== undefined)
        reader.invalid("loadAssignment", "ORIGINAL_DST clusters must have no load assignment configured");
      return { kind: "original-dst", ...parseOriginalDst(reader) };
    default:
      reader.unsupported("clusterDiscoveryType");
      return undefined;
  }
}

const dynamicForwardType = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig";
const aggregateType = "envoy.extensions.clusters.aggregate.v3.ClusterConfig";

function parseCustomType(reader: MessageReader<Cluster_CustomClusterType>): DiscoveryConfig | undefined {
  const name = reader.get("name");
  const config = reader.get("typedConfig");
  reader.finish();
  const opened = config === undefined ? undefined : unpackAny(config, reader.at("typedConfig"));
  reader.problems.push(...(opened?.problems ?? []));
  if (opened?.value?.$typeName === aggregateType) {
    const aggregate = new MessageReader(opened.value as AggregateConfig, reader.at("typedConfig"), reader.problems);
    const clusters = aggregate.get("clusters");
    aggregate.finish();
    return { kind: "aggregate", clusters };
  }
  if (opened?.value?.$typeName === dynamicForwardType) {
    const forward = new MessageReader(opened.value as DynamicForwardMessage, reader.at("typedConfig"), reader.problems);
    const specifier = forward.get("clusterImplementationSpecifier");
    const allowsInsecure = forward.get("allowInsecureClusterOptions");
    const at = forward.at("clusterImplementationSpecifier");
    forward.finish();
    if (specifier.case === "dnsCacheConfig") {
      const cache = parseDnsCache(new MessageReader(specifier.value, at, reader.problems));
      return { kind: "dynamic-forward", allowsInsecure, cache };
    }
    forward.unsupported("clusterImplementationSpecifier", "a dynamic forward proxy needs a dns_cache_config");
    return undefined;
  }
  if (opened === undefined || opened.value !== undefined)
    reader.unsupported(
      "name",
      `clusters of type ${name} are not supported; of the custom ones, envoy.clusters.aggregate and envoy.clusters.dynamic_forward_proxy are`,
    );
  return undefined;
}

function parseDns(reader: MessageReader<Cluster>): DnsConfig {
  const refreshRateMs = durationMs(reader.get("dnsRefreshRate")) ?? defaultRefreshMs;
  const failure = reader.child("dnsFailureRefreshRate");
  const base = durationMs(failure?.get("baseInterval"));
  const max = durationMs(failure?.get("maxInterval"));
  failure?.finish();
  const failureRefreshRateMs = base ?? refreshRateMs;
  return {
    refreshRateMs,
    failureRefreshRateMs,
    failureRefreshRateMaxMs: max ?? (base === undefined ? failureRefreshRateMs : base * 10),
    respectTtl: reader.get("respectDnsTtl"),
    jitterMs: durationMs(reader.get("dnsJitter")) ?? 0,
    family: families[reader.get("dnsLookupFamily")] ?? "auto",
  };
}

function parseEds(reader: MessageReader<Cluster>): DiscoveryConfig | undefined {
  const eds = reader.child("edsClusterConfig");
  if (eds === undefined) {
    reader.invalid("edsClusterConfig", "cannot create an EDS cluster without an EDS config");
    return undefined;
  }
  const serviceName = eds.get("serviceName");
  const source = eds.child("edsConfig");
  eds.finish();
  if (source === undefined) {
    eds.invalid("edsConfig", "an EDS cluster needs an EDS config source");
    return undefined;
  }
  const timeout = durationMs(source.get("initialFetchTimeout")) ?? defaultInitialFetchTimeoutMs;
  const specifier = source.get("configSourceSpecifier");
  source.ignore("resourceApiVersion", "v3 is the only version");
  source.finish();
  if (specifier.case !== "ads")
    source.unsupported("configSourceSpecifier", "endpoints come over ADS only; set eds_config: {ads: {}}");
  return {
    kind: "eds",
    serviceName: serviceName === "" ? reader.get("name") : serviceName,
    initialFetchTimeoutMs: timeout,
  };
}

function parseOriginalDst(reader: MessageReader<Cluster>): OriginalDstConfig {
  const cleanupIntervalMs = durationMs(reader.get("cleanupInterval")) ?? 5000;
  const specifier = reader.get("lbConfig");
  if (specifier.case !== "originalDstLbConfig") {
    return { cleanupIntervalMs, headerName: undefined, metadataPath: undefined, portOverride: 0 };
  }
  const config = new MessageReader(specifier.value, reader.at("lbConfig"), reader.problems);
  const usesHeader = config.get("useHttpHeader");
  const named = config.get("httpHeaderName").toLowerCase();
  const portOverride = config.get("upstreamPortOverride") ?? 0;
  const key = config.child("metadataKey");
  const metadataPath = key === undefined ? undefined : parseMetadataKey(key);
  config.finish();
  if (named !== "" && !usesHeader) config.invalid("httpHeaderName", "needs use_http_header");
  const headerName = usesHeader ? named || originalDstHeader : undefined;
  return { cleanupIntervalMs, headerName, metadataPath, portOverride };
}

function parseMetadataKey(reader: MessageReader<MetadataKey>): string[] {
  const path = [reader.get("key")];
  for (const child of reader.children("path")) {
    const { segment } = child.message;
    child.get("segment");
    child.finish();
    if (segment.case === "key") path.push(segment.value);
    else child.unsupported("segment", "only keys can be followed");
  }
  reader.finish();
  return path;
}
