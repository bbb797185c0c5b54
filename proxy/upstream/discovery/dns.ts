/** STRICT_DNS and LOGICAL_DNS: names are resolved again and again; a failure keeps what was found (L-27). */
import type { ResolvedAddress, Runtime, Timer } from "#lib/runtime.ts";
import type { SocketAddress } from "#lib/connection.ts";
import type { MembershipStats } from "../cluster-stats.ts";
import type { Assignment, EndpointConfig } from "../config/assignment.ts";
import type { DnsConfig } from "../config/cluster-config.ts";
import { isIpAddress } from "../config/ip-address.ts";
import type { Discovery, DiscoverySink } from "./discovery.ts";

/** Every address of a name is a host (STRICT_DNS), or the first one only (LOGICAL_DNS). */
export function dnsDiscovery(
  runtime: Runtime,
  assignment: Assignment,
  config: DnsConfig,
  takes: "all" | "first",
  stats: MembershipStats,
): Discovery {
  return new DnsDiscovery(runtime, assignment, config, takes, stats);
}

class DnsDiscovery implements Discovery {
  readonly #runtime: Runtime;
  readonly #assignment: Assignment;
  readonly #config: DnsConfig;
  readonly #takes: "all" | "first";
  readonly #stats: MembershipStats;
  readonly #targets = new Map<string, Target>();
  #sink: DiscoverySink | undefined = undefined;
  #waiting = 0;
  #isClosed = false;

  constructor(
    runtime: Runtime,
    assignment: Assignment,
    config: DnsConfig,
    takes: "all" | "first",
    stats: MembershipStats,
  ) {
    this.#runtime = runtime;
    this.#assignment = assignment;
    this.#config = config;
    this.#takes = takes;
    this.#stats = stats;
  }

  start(sink: DiscoverySink): void {
    this.#sink = sink;
    for (const { address } of this.#assignment.localities.flatMap((locality) => locality.endpoints)) {
      if (address.kind !== "ip" || isIpAddress(address.address) || this.#targets.has(address.address)) continue;
      this.#targets.set(address.address, { name: address.address, addresses: [], failures: 0, timer: undefined });
    }
    this.#waiting = this.#targets.size;
    if (this.#waiting === 0) {
      this.#publish();
      sink.onInitialized();
      return;
    }
    for (const target of this.#targets.values()) void this.#resolve(target);
  }

  close(): void {
    this.#isClosed = true;
    for (const target of this.#targets.values()) target.timer?.cancel();
  }

  async #resolve(target: Target): Promise<void> {
    this.#stats.updateAttempt.inc();
    const found = await resolveName(this.#runtime, target.name, this.#config.family);
    if (this.#isClosed) return;
    const isFirst = target.timer === undefined;
    if (found === undefined || found.length === 0) {
      target.failures++;
      this.#stats.updateFailure.inc();
    } else {
      target.failures = 0;
      this.#stats.updateSuccess.inc();
      target.addresses = found.map((entry) => entry.address);
    }
    target.timer = this.#runtime.clock.setTimer(this.#delayMs(target, found ?? []), () => void this.#resolve(target));
    if (found !== undefined) this.#publish();
    if (isFirst && --this.#waiting === 0) this.#sink?.onInitialized();
  }

  #delayMs(target: Target, found: readonly ResolvedAddress[]): number {
    const { refreshRateMs, failureRefreshRateMs, failureRefreshRateMaxMs, respectTtl, jitterMs } = this.#config;
    if (target.failures > 0)
      return Math.min(failureRefreshRateMs * 2 ** (target.failures - 1), failureRefreshRateMaxMs);
    const ttls = found.map((entry) => entry.ttlSeconds).filter((ttl) => ttl !== undefined);
    const base = respectTtl && ttls.length > 0 ? Math.max(Math.min(...ttls), 1) * 1000 : refreshRateMs;
    return base + (jitterMs === 0 ? 0 : Math.floor(this.#runtime.random.float() * jitterMs));
  }

  #publish(): void {
    const localities = this.#assignment.localities.map((locality) => ({
      ...locality,
      endpoints: locality.endpoints.flatMap((endpoint) => this.#expand(endpoint)),
    }));
    this.#sink?.onAssignment({ ...this.#assignment, localities });
  }

  /** An endpoint for each address of its name. */
  #expand(endpoint: EndpointConfig): EndpointConfig[] {
    const { address } = endpoint;
    if (address.kind !== "ip") return [endpoint];
    const target = this.#targets.get(address.address);
    if (target === undefined) return [endpoint];
    const addresses = this.#takes === "first" ? target.addresses.slice(0, 1) : target.addresses;
    const hostname = endpoint.hostname === "" ? address.address : endpoint.hostname;
    const at = (ip: string): SocketAddress => ({ kind: "ip", address: ip, port: address.port });
    // A logical host of both families is reached by whichever of its addresses answers.
    const others =
      this.#takes === "first" && this.#config.family === "all" ? target.addresses.slice(1).map(at) : undefined;
    return addresses.map((ip) => ({ ...endpoint, hostname, address: at(ip), additionalAddresses: others }));
  }
}

/** Addresses of a name, those of the wanted family; undefined: it could not be resolved. */
export async function resolveName(
  { network }: Runtime,
  name: string,
  family: DnsConfig["family"],
): Promise<readonly ResolvedAddress[] | undefined> {
  try {
    switch (family) {
      case "v4-only":
        return await network.resolve(name, 4);
      case "v6-only":
        return await network.resolve(name, 6);
      case "all":
        return await network.resolve(name);
      case "auto":
        return preferred(await network.resolve(name), 6);
      case "v4-preferred":
        return preferred(await network.resolve(name), 4);
    }
  } catch {
    return undefined;
  }
}

interface Target {
  readonly name: string;
  addresses: readonly string[];
  failures: number;
  timer: Timer | undefined;
}

/** Addresses of one family, or of the other when there are none. */
function preferred(found: readonly ResolvedAddress[], family: 4 | 6): readonly ResolvedAddress[] {
  const wanted = found.filter((entry) => entry.family === family);
  return wanted.length > 0 ? wanted : found;
}
