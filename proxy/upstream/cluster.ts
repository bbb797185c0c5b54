/** One cluster at work: its hosts, balancer, circuit breakers, outlier detection and pools. */
import type { Connection, ConnectionHandler } from "#lib/connection.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { Fraction } from "../config-values.ts";
import type { Protocol } from "../http/codec.ts";
import type { StatsScope } from "../observability/stats.ts";
import type { SharedCells } from "../workers/shared-cells.ts";
import type { XdsClient } from "../xds/types.ts";
import { AggregateHosts, type ClusterDirectory } from "./aggregate.ts";
import { MembershipStats, TrafficStats } from "./cluster-stats.ts";
import type { Assignment } from "./config/assignment.ts";
import type { ClusterConfig } from "./config/cluster-config.ts";
import { staticDiscovery, type Discovery } from "./discovery/discovery.ts";
import { dnsDiscovery } from "./discovery/dns.ts";
import { edsDiscovery } from "./discovery/eds.ts";
import { HostHealth } from "./health/host-health.ts";
import { DynamicForwardHosts } from "./dynamic-forward.ts";
import { HealthFlag, type UpstreamHost } from "./host.ts";
import { hostSetsOf, mergeHosts } from "./host-registry.ts";
import type { HostSet, LocalityWeights } from "./host-set.ts";
import { createLoadBalancer } from "./load-balancing/create-load-balancer.ts";
import type { LoadBalancer, LoadBalancerOptions } from "./load-balancing/load-balancer.ts";
import type { LocalCluster } from "./load-balancing/zone-aware.ts";
import { SubsetLoadBalancer } from "./load-balancing/subset.ts";
import { OriginalDstHosts } from "./original-dst.ts";
import { outlierEventLine } from "./outlier/outlier-events.ts";
import { OutlierDetector } from "./outlier/outlier-detector.ts";
import type { CodecFactory } from "./pool/create-codec.ts";
import { HttpConnectionPool } from "./pool/http-pool.ts";
import type { PoolEnvironment } from "./pool/pool-environment.ts";
import { PredictivePreconnect } from "./pool/preconnect.ts";
import { connectTcp } from "./pool/tcp-upstream.ts";
import { createResourceManager, type Thresholds } from "./resource-manager.ts";
import { trackedStats } from "./tracked-stats.ts";
import type {
  Cluster,
  Host,
  HttpPool,
  LbContext,
  Metadata,
  PoolOptions,
  ResourceManager,
  RoutingPriority,
  UpstreamHttpOptions,
} from "./types.ts";

export interface ClusterDeps {
  readonly runtime: Runtime;
  /** `cluster.<name>.` */
  readonly scope: StatsScope;
  readonly xds: XdsClient | undefined;
  readonly codecs: CodecFactory;
  /** Above all clusters: `dns_cache.` is there. */
  readonly rootScope?: StatsScope | undefined;
  /** All clusters, for aggregates. */
  readonly directory?: ClusterDirectory | undefined;
  /** Host sets were built anew. */
  readonly onHosts?: (() => void) | undefined;
  /** Appends a line to a file: event logs. */
  /** The cluster that the proxy belongs to, where the bootstrap names one. */
  readonly local?: LocalCluster | undefined;
  /** Takes a line for each ejection and return. */
  readonly outlierLog?: ((line: string) => void) | undefined;
  readonly writeLine?: ((path: string, line: string) => void) | undefined;
  /** The other threads of the process are to eject it as well. */
  readonly onEjected?: ((ejected: EjectedHost) => void) | undefined;
  /** Circuit breakers count for the whole process; absent: this thread serves alone. */
  readonly sharedCells?: SharedCells | undefined;
}

/** A host that outlier detection has ejected, as threads tell each other. */
export interface EjectedHost {
  readonly cluster: string;
  /** `ip:port`. */
  readonly address: string;
  readonly jitterMs: number;
}

export class ClusterEntry implements Cluster {
  readonly config: ClusterConfig;
  readonly name: string;
  readonly observabilityName: string;
  readonly metadata: Metadata;
  readonly scope: StatsScope;
  readonly connectTimeoutMs: number;
  readonly httpOptions: UpstreamHttpOptions;
  readonly outlier: OutlierDetector | undefined;
  readonly membership: MembershipStats;
  /** Set by a runtime override in Envoy; there is none here. */
  readonly isMaintenance = false;
  readonly metadataExchange: Cluster["metadataExchange"];
  hostSets: readonly HostSet[] = [];
  #hosts: ReadonlyMap<string, UpstreamHost> = new Map();
  #weights: readonly LocalityWeights[] = [];
  #assignment: Assignment | undefined = undefined;
  #stats: TrafficStats | undefined = undefined;
  #defaultResources: ResourceManager | undefined = undefined;
  #highResources: ResourceManager | undefined = undefined;
  #isInitialized = false;
  #onInitialized: (() => void) | undefined = undefined;
  readonly #deps: ClusterDeps;
  readonly #health: HostHealth | undefined;
  readonly #balancer: LoadBalancer | undefined;
  readonly #predictive: PredictivePreconnect | undefined;
  readonly #originalDst: OriginalDstHosts | undefined;
  readonly #aggregate: AggregateHosts | undefined;
  readonly dynamicHosts: DynamicForwardHosts | undefined;
  readonly #discovery: Discovery | undefined;
  readonly #pools: PoolEnvironment;

  constructor(config: ClusterConfig, deps: ClusterDeps) {
    this.config = config;
    this.name = config.name;
    this.observabilityName = config.observabilityName;
    this.metadata = config.metadata;
    this.scope = deps.scope;
    this.connectTimeoutMs = config.connectTimeoutMs;
    this.metadataExchange = config.metadataExchange;
    this.httpOptions = {
      maxStreamDurationMs: config.http.maxStreamDurationMs,
      maxResponseHeadersKb: config.http.maxResponseHeadersKb,
      maxResponseHeadersCount: config.http.maxResponseHeadersCount,
      autoSni: config.http.autoSni,
      autoSniHeader: config.http.autoSniHeader,
      isErrorResponse: config.http.isErrorResponse,
      autoSanValidation: config.http.autoSanValidation,
    };
    this.#deps = deps;
    this.membership = new MembershipStats(deps.scope);
    this.#pools = this.#poolEnvironment();
    const { clock, random } = deps.runtime;
    if (config.outlier !== undefined)
      this.outlier = new OutlierDetector(config.outlier, {
        clock,
        random,
        scope: deps.scope,
        log:
          deps.outlierLog === undefined
            ? undefined
            : (event) => deps.outlierLog?.(outlierEventLine(event, config.name, deps.runtime.clock.now())),
        onChange: (host) => {
          this.#rebuild();
          this.#closeUnhealthy(host);
        },
        onEjected: (host, jitterMs) => deps.onEjected?.({ cluster: config.name, address: host.addressText, jitterMs }),
      });
    if (config.health.checks.length > 0)
      this.#health = new HostHealth(config.health.checks, {
        runtime: deps.runtime,
        clusterName: config.name,
        scope: deps.scope,
        transports: config.transports,
        createCodec: deps.codecs,
        bind: config.bind,
        hasTraffic: () => (this.#stats?.cxTotal.value ?? 0) > 0,
        writeLine: (path, line) => deps.writeLine?.(path, line),
        onChange: (host) => this.#onHealthChange(host),
        onGood: (host) => this.outlier?.onHealthCheckPassed(host),
      });
    this.#balancer = this.#createBalancer();
    const { predictiveRatio } = config.preconnect;
    // A hash knows nothing of the requests to come.
    const isHashed = config.policy.kind === "ring-hash" || config.policy.kind === "maglev";
    if (predictiveRatio > 1 && this.#balancer !== undefined && !isHashed)
      this.#predictive = new PredictivePreconnect(
        predictiveRatio,
        this.#balancer,
        () => this.hosts(),
        (host, options) => this.#poolOf(host, options),
      );
    if (config.discovery.kind === "original-dst")
      this.#originalDst = new OriginalDstHosts(config.discovery, {
        clock,
        countInvalid: () => deps.scope.counter("original_dst_host_invalid"),
        onChange: (added, removed) => this.#onOriginalDst(added, removed),
      });
    if (config.discovery.kind === "aggregate" && deps.directory !== undefined) {
      const { panicThreshold } = config.balancing;
      const options = { panicThreshold, usesWeightedPriorityHealth: () => false };
      this.#aggregate = new AggregateHosts(config.discovery.clusters, deps.directory, options, random);
    }
    if (config.discovery.kind === "dynamic-forward") {
      const { cache } = config.discovery;
      this.dynamicHosts = new DynamicForwardHosts({
        runtime: deps.runtime,
        config: cache,
        defaultPort: config.transports.all.some(({ isSecure }) => isSecure) ? 443 : 80,
        scope: (deps.rootScope ?? deps.scope).scope("dns_cache").scope(cache.cacheName),
        onChange: (added, removed) => this.#onDynamic(added, removed),
      });
    }
    this.#discovery = this.#createDiscovery();
  }

  /** Begins to warm: `onReady` is called once, when there is an answer from discovery and the secrets are there. */
  start(onReady: () => void): void {
    this.#onInitialized = onReady;
    if (this.#discovery === undefined) {
      this.#initialized();
      return;
    }
    this.#discovery.start({
      onAssignment: (assignment) => this.#onAssignment(assignment),
      onInitialized: () => this.#initialized(),
    });
  }

  /** Ends it: streams under way finish, nothing new begins. */
  close(): void {
    this.#onInitialized = undefined;
    this.#discovery?.close();
    this.#originalDst?.close();
    this.dynamicHosts?.close();
    this.outlier?.close();
    this.#health?.close();
    this.config.transports.close();
    this.scope.dispose();
    for (const host of this.hosts()) {
      host.isRemoved = true;
      drainPools(host);
    }
  }

  hosts(): Iterable<UpstreamHost> {
    return this.#hosts.values();
  }

  get dropOverload(): Fraction | undefined {
    return this.#assignment?.dropOverload;
  }

  /** Percent, as the assignment in force says it. */
  get overprovisioningFactor(): number {
    return this.#assignment?.overprovisioningFactor ?? 140;
  }

  /** Made on first use: many clusters never see a request. */
  get stats(): TrafficStats {
    return (this.#stats ??= new TrafficStats(this.scope, trackedStats(this.config.track, this.scope)));
  }

  resources(priority: RoutingPriority): ResourceManager {
    const { thresholds } = this.config;
    if (priority === "high") return (this.#highResources ??= this.#createResources(thresholds.high, "high"));
    return (this.#defaultResources ??= this.#createResources(thresholds.default, "default"));
  }

  /** Shared counts go by the name: what is still under way through an older version of the cluster counts as well. */
  #createResources(thresholds: Thresholds, priority: RoutingPriority): ResourceManager {
    const cells = this.#deps.sharedCells?.of(`circuit breakers of ${this.name}, ${priority}`);
    return createResourceManager(thresholds, priority, this.scope, cells);
  }

  /** Another thread has ejected a host. */
  adoptEjection({ address, jitterMs }: EjectedHost): void {
    for (const host of this.hosts()) if (host.addressText === address) this.outlier?.adopt(host, jitterMs);
  }

  chooseHost(context: LbContext): Host | undefined {
    if (context.overrideHost !== undefined) {
      const host = this.#override(context.overrideHost.address);
      if (host !== undefined || context.overrideHost.isStrict) return host;
    }
    if (this.#predictive !== undefined) return this.#predictive.choose(context);
    if (this.dynamicHosts !== undefined) return this.dynamicHosts.choose(context);
    if (this.#aggregate !== undefined) return this.#aggregate.choose(context);
    return this.#originalDst === undefined ? this.#balancer?.choose(context) : this.#originalDst.choose(context);
  }

  /** The host that a request asks for, if there is such a one and its health is among those that are allowed. */
  #override(address: string): UpstreamHost | undefined {
    const host = this.#hosts.get(address);
    return host !== undefined && this.config.overrideHostStatus.has(host.health) ? host : undefined;
  }

  httpPool(host: Host, options: PoolOptions): HttpPool {
    const owner = this.#aggregate?.ownerOf(host as UpstreamHost);
    if (owner !== undefined) return owner.httpPool(host, owner.#own(options));
    this.#predictive?.onStream(options);
    return this.#poolOf(host as UpstreamHost, options) ?? this.#noPool(host);
  }

  /** Options that an aggregate cluster asks with: the protocol is this one's affair. */
  #own(options: PoolOptions): PoolOptions {
    const { protocol } = this.config.http;
    return protocol === "downstream" || protocol === options.protocol ? options : { ...options, protocol };
  }

  /** Differs from Envoy: a request beyond `max_connection_pools` fails by overflow (UO), not as if there were no host. */
  #noPool(host: Host): HttpPool {
    return {
      newStream: (_decoder, callbacks) => {
        this.scope.counter("upstream_cx_pool_overflow").inc();
        callbacks.onPoolFailure("overflow", "", host);
        return undefined;
      },
    };
  }

  /** undefined: `max_connection_pools` is reached, and none is without connections. */
  #poolOf(host: UpstreamHost, options: PoolOptions): HttpConnectionPool | undefined {
    const { pools } = host;
    for (let i = 0; i < pools.length; i++) {
      const pool = pools[i] as HttpConnectionPool;
      if (isSame(pool.options, options)) return pool;
    }
    // Those of downstream connections that are gone.
    if (options.downstream !== undefined)
      for (let i = pools.length - 1; i >= 0; i--) {
        const pool = pools[i] as HttpConnectionPool;
        if (pool.options.downstream !== undefined && pool.isEmpty) pools.splice(i, 1);
      }
    const { maxConnectionPools } = this.config;
    if (maxConnectionPools !== Infinity && !this.#hasRoomForPool(maxConnectionPools)) return undefined;
    const pool = new HttpConnectionPool(host, options, this.#pools);
    // A retry may still ask for a host that has left: its connection serves this request only.
    if (host.isRemoved) pool.drain();
    else pools.push(pool);
    return pool;
  }

  #hasRoomForPool(max: number): boolean {
    let count = 0;
    for (const { pools } of this.#hosts.values()) count += pools.length;
    if (count < max) return true;
    for (const { pools } of this.#hosts.values()) {
      const empty = pools.findIndex((pool) => pool.isEmpty);
      if (empty < 0) continue;
      pools.splice(empty, 1);
      return true;
    }
    return false;
  }

  tcpConnect(host: Host, options: PoolOptions, handler: ConnectionHandler): Connection | "overflow" {
    const owner = this.#aggregate?.ownerOf(host as UpstreamHost);
    if (owner !== undefined) return owner.tcpConnect(host, options, handler);
    return connectTcp(host as UpstreamHost, options, handler, this.#pools);
  }

  get wantsDownstream(): boolean {
    return this.config.transports.wantsDownstream || this.config.hasPoolPerDownstream;
  }

  upstreamProtocol(downstream: Protocol | undefined): "http1" | "http2" | "auto" {
    const { protocol } = this.config.http;
    // What the clusters of an aggregate speak is asked of the one that is chosen.
    if (protocol !== "downstream" && this.#aggregate === undefined) return protocol;
    return downstream === "HTTP/2" ? "http2" : "http1";
  }

  #createBalancer(): LoadBalancer | undefined {
    const { policy, balancing, subsets } = this.config;
    const { random, clock } = this.#deps.runtime;
    if (policy.kind === "cluster-provided") return undefined;
    const options: LoadBalancerOptions = {
      random,
      now: () => clock.monotonic(),
      ...balancing,
      usesWeightedPriorityHealth: () => this.#assignment?.weightedPriorityHealth ?? false,
      countPanic: () => this.scope.counter("lb_healthy_panic"),
      local: this.#deps.local,
      countZone: (name) => this.scope.counter(name).inc(),
    };
    const create = (): LoadBalancer => createLoadBalancer(policy, options, this.scope);
    return subsets === undefined ? create() : new SubsetLoadBalancer(subsets, create, this.scope);
  }

  #createDiscovery(): Discovery | undefined {
    const { discovery } = this.config;
    const { runtime, xds } = this.#deps;
    switch (discovery.kind) {
      case "static":
        return staticDiscovery(discovery.assignment);
      case "eds":
        if (xds === undefined) return undefined;
        return edsDiscovery(xds, discovery.serviceName, discovery.initialFetchTimeoutMs, this.membership, this.scope);
      case "strict-dns":
        return dnsDiscovery(runtime, discovery.assignment, discovery, "all", this.membership);
      case "logical-dns":
        return dnsDiscovery(runtime, discovery.assignment, discovery, "first", this.membership);
      case "original-dst":
      case "aggregate":
      case "dynamic-forward":
        return undefined;
    }
  }

  /** Discovery has answered: the first round of health checks follows, then secrets are waited for. */
  #initialized(): void {
    if (this.#isInitialized) return;
    this.#isInitialized = true;
    if (this.#health === undefined) this.#checked();
    else this.#health.onceChecked(() => this.#checked());
  }

  #checked(): void {
    this.#whenSecretsAreThere(this.config.transports.all.filter((transport) => !transport.isReady).length);
  }

  #whenSecretsAreThere(missing: number): void {
    if (missing === 0) {
      this.#onInitialized?.();
      return;
    }
    let left = missing;
    for (const transport of this.config.transports.all) {
      if (transport.isReady) continue;
      transport.onReady(() => {
        if (--left === 0) this.#onInitialized?.();
      });
    }
  }

  #onAssignment(assignment: Assignment): void {
    const now = this.#deps.runtime.clock.monotonic();
    const old = this.#assignment;
    const update = mergeHosts(this.#hosts, assignment, this.#weights, now, {
      isChecked: this.#health !== undefined,
      excludesNew: this.config.health.excludesNewHosts && this.config.discovery.kind !== "static",
      keepsHealthy: this.#health !== undefined && !this.config.health.ignoresHealthOnRemoval,
    });
    this.#assignment = assignment;
    const isSame =
      old?.overprovisioningFactor === assignment.overprovisioningFactor &&
      old.weightedPriorityHealth === assignment.weightedPriorityHealth &&
      old.dropOverload?.numerator === assignment.dropOverload?.numerator &&
      old.dropOverload?.denominator === assignment.dropOverload?.denominator;
    if (!update.isChanged && isSame) {
      this.membership.updateNoRebuild.inc();
      return;
    }
    this.#hosts = update.hosts;
    this.#weights = update.weights;
    for (const host of update.relabelled) drainPools(host);
    for (const host of update.recheck) this.#health?.restart(host);
    this.#membersChanged(update.added, update.removed);
  }

  #onDynamic(added: readonly UpstreamHost[], removed: readonly UpstreamHost[]): void {
    const hosts = new Map(this.#hosts);
    for (const host of removed) hosts.delete(`${host.hostname} ${host.addressText}`);
    for (const host of added) hosts.set(`${host.hostname} ${host.addressText}`, host);
    this.#hosts = hosts;
    this.#membersChanged(added, removed);
  }

  #onOriginalDst(added: readonly UpstreamHost[], removed: readonly UpstreamHost[]): void {
    this.#hosts = this.#originalDst?.hosts ?? this.#hosts;
    this.#membersChanged(added, removed);
  }

  #membersChanged(added: readonly UpstreamHost[], removed: readonly UpstreamHost[]): void {
    if (added.length > 0 || removed.length > 0) this.membership.change.inc();
    for (const host of added) this.config.transports.transportOf(host);
    this.outlier?.updateHosts(this.#hosts.values());
    this.#rebuild();
    for (const host of removed) {
      host.isRemoved = true;
      drainPools(host);
    }
    this.#health?.update(this.#hosts.values());
    if (!this.config.closeConnectionsOnHostSetChange || (added.length === 0 && removed.length === 0)) return;
    for (const host of this.#hosts.values()) drainPools(host);
  }

  #onHealthChange(host: UpstreamHost): void {
    const gone = HealthFlag.failedActiveHc | HealthFlag.pendingDynamicRemoval;
    if ((host.flags & gone) === gone) {
      // Discovery has not named it for a while; its health was all that kept it.
      const hosts = new Map(this.#hosts);
      hosts.delete(host.addressText);
      this.#hosts = hosts;
      this.#membersChanged([], [host]);
      return;
    }
    this.#rebuild();
    this.#closeUnhealthy(host);
  }

  #closeUnhealthy(host: UpstreamHost): void {
    if (this.config.health.closesConnectionsOfUnhealthy && host.health === "unhealthy") {
      drainPools(host);
      for (const connection of host.tcpConnections ?? []) connection.destroy();
    }
  }

  /** Host sets and balancer from the hosts as they are now. */
  #rebuild(): void {
    const sets = hostSetsOf(this.#hosts.values(), this.#weights);
    this.hostSets = sets;
    this.#deps.onHosts?.();
    this.#predictive?.forget();
    this.#balancer?.update(sets, this.#assignment?.overprovisioningFactor ?? 140);
    const count = (of: (set: HostSet) => number): number => sets.reduce((sum, set) => sum + of(set), 0);
    this.membership.total.set(this.#hosts.size);
    this.membership.healthy.set(count((set) => set.healthy.length));
    this.membership.degraded.set(count((set) => set.degraded.length));
    this.membership.excluded.set(count((set) => set.excluded.length));
    if (this.config.discovery.kind !== "static") this.membership.maxHostWeight.set(maxWeight(this.#hosts.values()));
  }

  #poolEnvironment(): PoolEnvironment {
    const { config } = this;
    return {
      clock: this.#deps.runtime.clock,
      connectTimeoutMs: config.connectTimeoutMs,
      bind: config.bind,
      bufferBytes: config.bufferBytes,
      preconnect: config.preconnect,
      happyEyeballs: config.happyEyeballs,
      random: () => this.#deps.runtime.random.float(),
      keepAlive: config.keepAlive,
      metadata: config.metadata,
      http: config.http,
      transports: config.transports,
      maxConnectionsPerHost: config.maxConnectionsPerHost,
      stats: () => this.stats,
      resources: (priority) => this.resources(priority),
      createCodec: this.#deps.codecs,
    };
  }
}

/** What is under way finishes; the next request gets a new pool. */
function drainPools(host: UpstreamHost): void {
  for (const pool of host.pools.splice(0)) pool.drain();
}

function maxWeight(hosts: Iterable<UpstreamHost>): number {
  let max = 0;
  for (const host of hosts) max = Math.max(max, host.weight);
  return max;
}

function isSame(a: PoolOptions, b: PoolOptions): boolean {
  return (
    a.protocol === b.protocol &&
    a.priority === b.priority &&
    a.serverNameOverride === b.serverNameOverride &&
    a.downstream?.key === b.downstream?.key &&
    isSameList(a.alpnOverride, b.alpnOverride) &&
    isSameList(a.subjectAltNamesOverride, b.subjectAltNamesOverride)
  );
}

function isSameList(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  if (a === b) return true;
  return a !== undefined && b !== undefined && a.length === b.length && a.every((item, index) => item === b[index]);
}
