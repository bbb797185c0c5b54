/** `envoy.clusters.dynamic_forward_proxy`: the host is whom the request names; names are resolved on demand and kept. */
import type { SocketAddress } from "#lib/connection.ts";
import type { Runtime, Timer } from "#lib/runtime.ts";
import type { Counter, Gauge, StatsScope } from "../observability/stats.ts";
import type { DnsConfig } from "./config/cluster-config.ts";
import { isIpAddress } from "./config/ip-address.ts";
import { resolveName } from "./discovery/dns.ts";
import { UpstreamHost } from "./host.ts";
import type { DynamicHosts, LbContext } from "./types.ts";

export interface DynamicForwardConfig {
  /** Of the cache, in statistics. */
  readonly cacheName: string;
  readonly family: DnsConfig["family"];
  readonly refreshRateMs: number;
  readonly minRefreshRateMs: number;
  readonly failureRefreshRateMs: number;
  readonly failureRefreshRateMaxMs: number;
  /** A name that nobody asked for in this time is forgotten. */
  readonly hostTtlMs: number;
  readonly maxHosts: number;
  readonly queryTimeoutMs: number;
  /** Requests that may wait for an answer. */
  readonly maxPending: number;
  readonly preresolve: readonly { readonly host: string; readonly port: number }[];
}

export interface DynamicForwardDeps {
  readonly runtime: Runtime;
  readonly config: DynamicForwardConfig;
  /** Port of a request that names none: 443 where the cluster speaks TLS, else 80. */
  readonly defaultPort: number;
  /** `dns_cache.<name>.` */
  readonly scope: StatsScope;
  readonly onChange: (added: readonly UpstreamHost[], removed: readonly UpstreamHost[]) => void;
}

interface Entry {
  readonly name: string;
  readonly port: number;
  host: UpstreamHost | undefined;
  isAnswered: boolean;
  failures: number;
  lastUsedMs: number;
  timer: Timer | undefined;
  readonly waiting: Set<(isThere: boolean) => void>;
}

export class DynamicForwardHosts implements DynamicHosts {
  /** Resolved hosts by `name:port`. */
  readonly hosts: Map<string, UpstreamHost> = new Map();
  readonly #deps: DynamicForwardDeps;
  readonly #stats: DnsCacheStats;
  readonly #entries = new Map<string, Entry>();
  #pending = 0;
  #isClosed = false;

  constructor(deps: DynamicForwardDeps) {
    this.#deps = deps;
    this.#stats = new DnsCacheStats(deps.scope);
    for (const { host, port } of deps.config.preresolve) this.#add(`${host}:${port}`, host, port);
  }

  /** The host of a name that `prepare` has resolved. */
  choose({ authority }: LbContext): UpstreamHost | undefined {
    const target = authority === undefined ? undefined : this.#targetOf(authority);
    const entry = target && this.#entries.get(target.key);
    if (entry === undefined) return undefined;
    entry.lastUsedMs = this.#deps.runtime.clock.monotonic();
    return entry.host;
  }

  prepare(authority: string, onDone: (isThere: boolean) => void): ReturnType<DynamicHosts["prepare"]> {
    const target = this.#targetOf(authority);
    if (target === undefined) return "failed";
    const { config, runtime } = this.#deps;
    let entry = this.#entries.get(target.key);
    if (entry === undefined) {
      if (this.#entries.size >= config.maxHosts) {
        this.#stats.hostOverflow.inc();
        return "overflow";
      }
      entry = this.#add(target.key, target.name, target.port);
    }
    entry.lastUsedMs = runtime.clock.monotonic();
    if (entry.isAnswered) return entry.host === undefined ? "failed" : "ready";
    if (this.#pending >= config.maxPending) {
      this.#stats.pendingOverflow.inc();
      return "pending-overflow";
    }
    this.#pending++;
    const { waiting } = entry;
    const finish = (isThere: boolean): void => {
      this.#pending--;
      onDone(isThere);
    };
    waiting.add(finish);
    return {
      cancel: () => {
        if (waiting.delete(finish)) this.#pending--;
      },
    };
  }

  close(): void {
    this.#isClosed = true;
    for (const entry of this.#entries.values()) entry.timer?.cancel();
  }

  #targetOf(authority: string): { readonly key: string; readonly name: string; readonly port: number } | undefined {
    const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::(\d{1,5}))?$/i.exec(authority);
    const name = match?.[1] ?? match?.[2];
    const port = match?.[3] === undefined ? this.#deps.defaultPort : Number(match[3]);
    if (name === undefined || port < 1 || port > 65_535) return undefined;
    return { key: `${name}:${port}`, name, port };
  }

  #add(key: string, name: string, port: number): Entry {
    const { clock } = this.#deps.runtime;
    const entry: Entry = {
      name,
      port,
      host: undefined,
      isAnswered: false,
      failures: 0,
      lastUsedMs: clock.monotonic(),
      timer: undefined,
      waiting: new Set(),
    };
    this.#entries.set(key, entry);
    this.#stats.hostAdded.inc();
    this.#stats.hosts.set(this.#entries.size);
    if (isIpAddress(name)) this.#found(key, entry, name);
    else void this.#resolve(key, entry);
    return entry;
  }

  async #resolve(key: string, entry: Entry): Promise<void> {
    const { runtime, config } = this.#deps;
    this.#stats.queryAttempt.inc();
    let timer: Timer | undefined;
    const timeout = new Promise<"timeout">((resolve) => {
      timer = runtime.clock.setTimer(config.queryTimeoutMs, () => resolve("timeout"));
    });
    const found = await Promise.race([resolveName(runtime, entry.name, config.family), timeout]);
    timer?.cancel();
    if (this.#isClosed || this.#entries.get(key) !== entry) return;
    if (found === "timeout") this.#stats.queryTimeout.inc();
    const first = found === "timeout" ? undefined : found?.[0];
    if (first === undefined) {
      entry.failures++;
      this.#stats.queryFailure.inc();
      this.#answered(entry);
    } else {
      entry.failures = 0;
      this.#stats.querySuccess.inc();
      this.#found(key, entry, first.address);
    }
    entry.timer = runtime.clock.setTimer(this.#delayMs(entry, first?.ttlSeconds), () => this.#refresh(key, entry));
  }

  /** Asked again, or forgotten when nobody wants it any more. */
  #refresh(key: string, entry: Entry): void {
    const { runtime, config } = this.#deps;
    if (runtime.clock.monotonic() - entry.lastUsedMs <= config.hostTtlMs) {
      void this.#resolve(key, entry);
      return;
    }
    this.#entries.delete(key);
    this.hosts.delete(key);
    this.#stats.hostRemoved.inc();
    this.#stats.hosts.set(this.#entries.size);
    if (entry.host !== undefined) this.#deps.onChange([], [entry.host]);
  }

  #delayMs({ failures }: Entry, ttlSeconds: number | undefined): number {
    const { config } = this.#deps;
    if (failures > 0)
      return Math.min(config.failureRefreshRateMs * 2 ** (failures - 1), config.failureRefreshRateMaxMs);
    return ttlSeconds === undefined ? config.refreshRateMs : Math.max(ttlSeconds * 1000, config.minRefreshRateMs);
  }

  #found(key: string, entry: Entry, ip: string): void {
    const old = entry.host;
    if (old?.address.kind === "ip" && old.address.address === ip) {
      this.#answered(entry);
      return;
    }
    const address: SocketAddress = { kind: "ip", address: ip, port: entry.port };
    const attributes = { hostname: entry.name, ...bare };
    entry.host = new UpstreamHost(address, attributes, this.#deps.runtime.clock.monotonic());
    this.hosts.set(key, entry.host);
    this.#stats.addressChanged.inc();
    this.#deps.onChange([entry.host], old === undefined ? [] : [old]);
    this.#answered(entry);
  }

  #answered(entry: Entry): void {
    entry.isAnswered = true;
    const waiting = [...entry.waiting];
    entry.waiting.clear();
    for (const finish of waiting) finish(entry.host !== undefined);
  }
}

const bare = {
  weight: 1,
  locality: { region: "", zone: "", subZone: "" },
  priority: 0,
  metadata: {},
  health: "unknown",
} as const;

class DnsCacheStats {
  readonly queryAttempt: Counter;
  readonly querySuccess: Counter;
  readonly queryFailure: Counter;
  readonly queryTimeout: Counter;
  readonly addressChanged: Counter;
  readonly hostAdded: Counter;
  readonly hostRemoved: Counter;
  readonly hostOverflow: Counter;
  readonly pendingOverflow: Counter;
  readonly hosts: Gauge;

  constructor(scope: StatsScope) {
    this.queryAttempt = scope.counter("dns_query_attempt");
    this.querySuccess = scope.counter("dns_query_success");
    this.queryFailure = scope.counter("dns_query_failure");
    this.queryTimeout = scope.counter("dns_query_timeout");
    this.addressChanged = scope.counter("host_address_changed");
    this.hostAdded = scope.counter("host_added");
    this.hostRemoved = scope.counter("host_removed");
    this.hostOverflow = scope.counter("host_overflow");
    this.pendingOverflow = scope.counter("dns_rq_pending_overflow");
    this.hosts = scope.gauge("num_hosts");
  }
}
