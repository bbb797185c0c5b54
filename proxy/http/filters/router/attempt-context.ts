/** What the load balancer and the retry decisions may ask of a request; nothing of it is computed unless asked. */
import { encodeProxyV1, encodeProxyV2 } from "#lib/proxy-protocol.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { RetryContext, RetryState } from "../../../router/retry-state.ts";
import type { ForwardRoute } from "../../../router/types.ts";
import type {
  Cluster,
  ClusterTrafficStats,
  Host,
  HttpPool,
  LbContext,
  PoolOptions,
  Resource,
} from "../../../upstream/types.ts";
import { downstreamFacts } from "../../../upstream/downstream-facts.ts";
import type { FilterStream } from "../../filter.ts";
import type { HeaderMap } from "../../header-map.ts";
import { endsTunnel, tcpTunnelPool } from "./tcp-tunnel.ts";
import type { RequestStats } from "./request-stats.ts";

/** What the statistics of the cluster hear of an answer. */
export type ResponseCounting = "status" | "completion" | "nothing";

export class AttemptContext implements LbContext, RetryContext {
  readonly route: ForwardRoute;
  readonly headers: HeaderMap;
  /** May be another object of the same name when a retry finds the configuration changed. */
  cluster: Cluster;
  retry: RetryState | undefined = undefined;
  /** Of the request's virtual cluster and route. */
  readonly requestStats: readonly RequestStats[];
  /** `set-cookie` that the hash policy asks for. */
  cookies: readonly string[] | undefined = undefined;
  #hash: bigint | undefined = undefined;
  #isHashed = false;
  readonly #counting: ResponseCounting;
  readonly #stream: FilterStream;
  readonly #runtime: Runtime;

  constructor(
    stream: FilterStream,
    runtime: Runtime,
    route: ForwardRoute,
    cluster: Cluster,
    headers: HeaderMap,
    requestStats: readonly RequestStats[],
    counting: ResponseCounting = "status",
  ) {
    this.#counting = counting;
    this.requestStats = requestStats;
    this.#stream = stream;
    this.#runtime = runtime;
    this.route = route;
    this.cluster = cluster;
    this.headers = headers;
  }

  /** Where the stream of an attempt comes from. */
  pool(host: Host): HttpPool {
    const { connectConfig } = this.route;
    if (!endsTunnel(connectConfig, this.headers)) return this.cluster.httpPool(host, this.poolOptions());
    const { info } = this.#stream;
    return tcpTunnelPool(this.cluster, host, this.poolOptions(), () => {
      if (connectConfig.proxyProtocol === undefined) return undefined;
      const { source, destination } = downstreamFacts(info, undefined).proxied;
      return connectConfig.proxyProtocol === 1
        ? encodeProxyV1(source, destination)
        : encodeProxyV2(source, destination, []);
    });
  }

  /** Counts an answer of the upstream, or one in its place. */
  countResponse(cluster: Cluster, status: number, isCanary = false): void {
    const counting = this.#counting;
    if (counting === "nothing" || this.#stream.info.isHealthCheck) return; // not part of what a cluster serves
    const isInternal = this.headers.get("x-envoy-internal") === "true";
    cluster.stats.countResponse(status, isInternal, isCanary, counting === "completion");
    for (const stats of this.requestStats) stats.countResponse(status);
  }

  poolOptions(): PoolOptions {
    const { cluster, route } = this;
    const stream = this.#stream;
    const { autoSni, autoSanValidation, autoSniHeader = "" } = cluster.httpOptions;
    const options = {
      priority: route.priority,
      protocol: cluster.upstreamProtocol(stream.info.protocol),
      alpnOverride: stream.upstreamAlpnOverride,
      downstream: cluster.wantsDownstream === true ? downstreamFacts(stream.info, route.metadata) : undefined,
    };
    if (!autoSni) return options;
    const named = autoSniHeader === "" ? undefined : stream.requestHeaders.get(autoSniHeader);
    const name = hostOnly(named ?? stream.requestHeaders.authority);
    return { ...options, serverNameOverride: name, subjectAltNamesOverride: autoSanValidation ? [name] : undefined };
  }

  // LbContext

  get hash(): bigint | undefined {
    if (!this.#isHashed) {
      this.#isHashed = true;
      if (this.route.hasHashPolicy) {
        const cookies: string[] = [];
        this.#hash = this.route.hash(this.headers, this.#stream.info, cookies);
        if (cookies.length > 0) this.cookies = cookies;
      }
    }
    return this.#hash;
  }

  /** Only the first attempt goes to the host of a session. */
  get overrideHost(): LbContext["overrideHost"] {
    const stream = this.#stream;
    return stream.info.attemptCount <= 1 ? stream.upstreamOverrideHost : undefined;
  }

  get metadataMatch(): Readonly<Record<string, unknown>> | undefined {
    return this.route.metadataMatch;
  }

  get originalDestination(): LbContext["originalDestination"] {
    return this.#stream.originalDestination;
  }

  get authority(): string {
    return this.headers.authority;
  }

  header(name: string): string | undefined {
    return this.headers.get(name);
  }

  get dynamicMetadata(): ReadonlyMap<string, unknown> | undefined {
    return this.#stream.info.dynamicMetadata;
  }

  /** Only a retry avoids hosts. */
  shouldSelectAnotherHost(host: Host): boolean {
    if (this.#stream.info.attemptCount <= 1) return false;
    return this.retry?.shouldSelectAnotherHost(host) ?? false;
  }

  get hostSelectionRetryMaxAttempts(): number {
    return this.retry?.hostSelectionMaxAttempts ?? 1;
  }

  get triedPriorities(): readonly number[] | undefined {
    return this.retry?.triedPriorities;
  }

  // RetryContext

  get retries(): Resource {
    return this.cluster.resources(this.route.priority).retries;
  }

  get stats(): ClusterTrafficStats {
    return this.cluster.stats;
  }

  random(): number {
    return this.#runtime.random.uint32();
  }

  now(): number {
    return this.#runtime.clock.now();
  }
}

/** A server name has no port. */
function hostOnly(authority: string): string {
  const colon = authority.lastIndexOf(":");
  return colon > 0 && !authority.endsWith("]") ? authority.slice(0, colon) : authority;
}
