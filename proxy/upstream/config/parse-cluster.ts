/** `envoy.config.cluster.v3.Cluster` → `ClusterConfig`. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import { unpackAny } from "#protos/any.ts";
import { typeNameOf } from "#protos/type-url.ts";
import type { TcpKeepAlive } from "#lib/runtime.ts";
import type {
  Cluster,
  Cluster_PreconnectPolicy,
  UpstreamConnectionOptions,
} from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import type { TcpKeepalive } from "#protos/gen/envoy/config/core/v3/address_pb.js";
import type { CaresDnsResolverConfig } from "#protos/gen/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver_pb.js";
import { durationMs, metadataOf } from "../../config-values.ts";
import { parseMetadataExchange, type MetadataExchangeConfig } from "../../network/metadata-exchange.ts";
import type { StatsScope } from "../../observability/stats.ts";
import { parseHealthChecks } from "../health/parse-health-checks.ts";
import { parseOutlierDetection } from "../outlier/outlier-config.ts";
import { parseTransports, type UpstreamTransportFactory } from "../transport-selector.ts";
import { parseCircuitBreakers } from "./parse-circuit-breakers.ts";
import { parseDiscovery } from "./parse-discovery.ts";
import { parseHttpOptions } from "./parse-http-options.ts";
import { parseSubsets } from "./parse-subsets.ts";
import { parseLbPolicy } from "./parse-lb-policy.ts";
import { defaultHappyEyeballs } from "../pool/happy-eyeballs.ts";
import { noPreconnect, type PreconnectConfig } from "../pool/preconnect.ts";
import type { TrackConfig } from "../tracked-stats.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import { parseBind } from "./parse-bind.ts";

export interface ClusterParseDeps {
  readonly transports: UpstreamTransportFactory;
  /** `cluster.<name>.`, for the statistics of transports. */
  readonly scope: StatsScope;
}

/** Name in statistics and logs: `alt_stat_name` without the `;` at its end, else the name. */
export function observabilityNameOf({ name, altStatName }: Pick<Cluster, "name" | "altStatName">): string {
  return altStatName.replace(/;$/, "") || name;
}

const defaultConnectTimeoutMs = 5000;
/** Types that choose their hosts themselves. */
const kindsWithBalancer: ReadonlySet<string> = new Set(["original-dst", "aggregate", "dynamic-forward"]);

/** Reads and checks a cluster. Its transports begin to ask for their secrets; with problems none stays open. */
export function parseCluster(message: Message, deps: ClusterParseDeps): Parsed<ClusterConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as Cluster, "", problems);
  const name = reader.get("name");
  const observabilityName = observabilityNameOf({ name, altStatName: reader.get("altStatName") });
  const balancing = parseLbPolicy(reader);
  const limits = parseCircuitBreakers(reader.child("circuitBreakers"));
  const outlier = reader.child("outlierDetection");
  const http = parseHttpOptions(reader);
  parseResolver(reader);
  const discovery = parseDiscovery(reader);
  const metadataExchange = parseFilters(reader);
  const bind = reader.child("upstreamBindConfig");
  const metadata = metadataOf(reader.child("metadata"));
  const base = {
    name,
    observabilityName,
    connectTimeoutMs: durationMs(reader.get("connectTimeout")) ?? defaultConnectTimeoutMs,
    metadata,
    policy: balancing.policy,
    balancing: balancing.balancing,
    subsets: parseSubsets(reader.child("lbSubsetConfig")) ?? balancing.subsets,
    thresholds: { default: limits.default, high: limits.high },
    maxConnectionsPerHost: limits.maxConnectionsPerHost,
    outlier: outlier === undefined ? undefined : parseOutlierDetection(outlier),
    http,
    bind: bind === undefined ? undefined : parseBind(bind),
    bufferBytes: reader.get("perConnectionBufferLimitBytes"),
    preconnect: parsePreconnect(reader.child("preconnectPolicy")),
    track: parseTracking(reader),
    hasPoolPerDownstream: reader.get("connectionPoolPerDownstreamConnection"),
    overrideHostStatus: balancing.overrideHostStatus,
    maxConnectionPools: limits.maxConnectionPools,
    ...parseConnectionOptions(reader.child("upstreamConnectionOptions")),
    closeConnectionsOnHostSetChange: balancing.closeConnectionsOnHostSetChange,
    health: {
      checks: parseHealthChecks(reader),
      closesConnectionsOfUnhealthy: reader.get("closeConnectionsOnHostHealthFailure"),
      ignoresHealthOnRemoval: reader.get("ignoreHealthOnHostRemoval"),
      excludesNewHosts: balancing.excludesNewHosts,
    },
    metadataExchange,
    waitsForWarming: reader.get("waitForWarmOnInit") ?? true,
  };
  if (name === "") reader.invalid("name", "a cluster needs a name");
  const bringsBalancer = discovery !== undefined && kindsWithBalancer.has(discovery.kind);
  if (base.policy.kind === "cluster-provided" && discovery !== undefined && !bringsBalancer)
    reader.invalid("lbPolicy", "CLUSTER_PROVIDED is for clusters of type ORIGINAL_DST and for aggregate clusters only");
  if (base.policy.kind !== "cluster-provided" && bringsBalancer)
    reader.invalid(
      "lbPolicy",
      "a cluster of type ORIGINAL_DST, and an aggregate cluster, needs lb_policy CLUSTER_PROVIDED",
    );
  const transports = parseTransports(reader, deps.transports, deps.scope);
  reader.finish();
  if (problems.some((problem) => problem.level === "error") || discovery === undefined || transports === undefined) {
    transports?.close();
    return { problems: problems.map((problem) => ({ ...problem, object: `cluster ${name}` })) };
  }
  // Where the client names the host, the certificate must be for that name.
  const isChecked = discovery.kind === "dynamic-forward" && !discovery.allowsInsecure;
  const checked = isChecked ? { http: { ...http, autoSni: true, autoSanValidation: true } } : {};
  return { value: { ...base, ...checked, discovery, transports }, problems };
}

function parsePreconnect(reader: MessageReader<Cluster_PreconnectPolicy> | undefined): PreconnectConfig {
  if (reader === undefined) return noPreconnect;
  const config = {
    perUpstreamRatio: reader.get("perUpstreamPreconnectRatio") ?? 1,
    predictiveRatio: reader.get("predictivePreconnectRatio") ?? 0,
  };
  reader.finish();
  return config;
}

/** `track_cluster_stats`, and the field from before it. */
function parseTracking(reader: MessageReader<Cluster>): TrackConfig {
  const track = reader.child("trackClusterStats");
  const deprecated = reader.get("trackTimeoutBudgets");
  const config = {
    timeoutBudgets: (track?.get("timeoutBudgets") ?? false) || deprecated,
    sizes: track?.get("requestResponseSizes") ?? false,
  };
  track?.finish();
  return config;
}

function parseConnectionOptions(
  reader: MessageReader<UpstreamConnectionOptions> | undefined,
): Pick<ClusterConfig, "keepAlive" | "happyEyeballs"> {
  const keepAlive = parseKeepAlive(reader?.child("tcpKeepalive"));
  reader?.ignore("setLocalInterfaceNameOnUpstreamConnections", "nothing here shows the name of an interface");
  const happy = reader?.child("happyEyeballsConfig");
  reader?.finish();
  if (happy === undefined) return { keepAlive, happyEyeballs: defaultHappyEyeballs };
  const families: readonly (4 | 6 | undefined)[] = [undefined, 4, 6];
  const happyEyeballs = {
    firstFamily: families[happy.get("firstAddressFamilyVersion")],
    firstFamilyCount: happy.get("firstAddressFamilyCount") ?? 1,
  };
  happy.finish();
  return { keepAlive, happyEyeballs };
}

function parseKeepAlive(keepAlive: MessageReader<TcpKeepalive> | undefined): TcpKeepAlive | undefined {
  if (keepAlive === undefined) return undefined;
  const inMs = (seconds: number | undefined): number | undefined =>
    seconds === undefined ? undefined : seconds * 1000;
  const parsed = {
    idleMs: inMs(keepAlive.get("keepaliveTime")),
    intervalMs: inMs(keepAlive.get("keepaliveInterval")),
    probes: keepAlive.get("keepaliveProbes"),
  };
  keepAlive.finish();
  return parsed;
}

const caresType = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";

/** c-ares with the system's servers, as istiod asks for, is what the system's resolver does. */
function parseResolver(reader: MessageReader<Cluster>): void {
  const resolver = reader.child("typedDnsResolverConfig");
  if (resolver === undefined) return;
  const name = resolver.get("name");
  const config = resolver.get("typedConfig");
  resolver.finish();
  if (config === undefined || typeNameOf(config.typeUrl) !== caresType) {
    resolver.unsupported("typedConfig", `the DNS resolver ${name} is not supported; names are resolved by the system`);
    return;
  }
  const opened = unpackAny(config, resolver.at("typedConfig"));
  reader.problems.push(...opened.problems);
  if (opened.value === undefined) return;
  const cares = new MessageReader(opened.value as CaresDnsResolverConfig, resolver.at("typedConfig"), reader.problems);
  cares.ignore("udpMaxQueries", "a measure against a leak in c-ares");
  cares.finish();
}

const exchangeType = "envoy.tcp.metadataexchange.config.MetadataExchange";

/** The configuration of `istio.metadata_exchange`; other network filters on clusters are refused. */
function parseFilters(reader: MessageReader<Cluster>): MetadataExchangeConfig | undefined {
  let exchange: MetadataExchangeConfig | undefined;
  for (const filter of reader.children("filters")) {
    const name = filter.get("name");
    const config = filter.get("typedConfig");
    filter.finish();
    const opened = config === undefined ? undefined : unpackAny(config, filter.at("typedConfig")).value;
    if (opened?.$typeName !== exchangeType) {
      filter.unsupported("name", `the network filter ${name} is not supported on clusters`);
      continue;
    }
    const parsed = parseMetadataExchange(opened, filter.at("typedConfig"));
    reader.problems.push(...parsed.problems);
    exchange = parsed.value;
  }
  return exchange;
}
