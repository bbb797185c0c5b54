/** ORIGINAL_DST: the host is where the client wanted to go; it is made on demand and forgotten when unused (L-24). */
import { formatAddress, type SocketAddress } from "#lib/connection.ts";
import type { Clock, Timer } from "#lib/runtime.ts";
import type { Counter } from "../observability/stats.ts";
import type { OriginalDstConfig } from "./config/cluster-config.ts";
import { isIpAddress } from "./config/ip-address.ts";
import { UpstreamHost } from "./host.ts";
import type { LbContext } from "./types.ts";

export interface OriginalDstDeps {
  readonly clock: Clock;
  /** `original_dst_host_invalid`. */
  readonly countInvalid: () => Counter;
  /** Hosts have come or gone. */
  readonly onChange: (added: readonly UpstreamHost[], removed: readonly UpstreamHost[]) => void;
}

export class OriginalDstHosts {
  readonly hosts: Map<string, UpstreamHost> = new Map();
  readonly #config: OriginalDstConfig;
  readonly #deps: OriginalDstDeps;
  readonly #used = new Set<UpstreamHost>();
  #timer: Timer | undefined = undefined;

  constructor(config: OriginalDstConfig, deps: OriginalDstDeps) {
    this.#config = config;
    this.#deps = deps;
  }

  choose(context: LbContext): UpstreamHost | undefined {
    const address = this.#destination(context);
    if (address === undefined) return undefined;
    const key = formatAddress(address);
    let host = this.hosts.get(key);
    if (host === undefined) {
      host = new UpstreamHost(address, attributes, this.#deps.clock.monotonic());
      this.hosts.set(key, host);
      this.#deps.onChange([host], []);
      this.#timer ??= this.#deps.clock.setTimer(this.#config.cleanupIntervalMs, () => this.#cleanUp());
    }
    this.#used.add(host);
    return host;
  }

  close(): void {
    this.#timer?.cancel();
  }

  #destination(context: LbContext): SocketAddress | undefined {
    const { headerName, metadataPath, portOverride } = this.#config;
    let address = context.originalDestination;
    const named =
      (metadataPath === undefined ? undefined : textAt(context.dynamicMetadata, metadataPath)) ??
      (headerName === undefined ? undefined : context.header?.(headerName));
    if (named !== undefined) {
      address = parseHost(named);
      if (address === undefined) this.#deps.countInvalid().inc();
    }
    if (address?.kind !== "ip" || portOverride === 0) return address;
    return { ...address, port: portOverride };
  }

  /** A host that was not asked for since the last round, and has no connection, goes. */
  #cleanUp(): void {
    const removed: UpstreamHost[] = [];
    for (const [key, host] of this.hosts) {
      if (this.#used.has(host) || host.stats.cxActive > 0) continue;
      this.hosts.delete(key);
      removed.push(host);
    }
    this.#used.clear();
    if (removed.length > 0) this.#deps.onChange([], removed);
    this.#timer =
      this.hosts.size === 0
        ? undefined
        : this.#deps.clock.setTimer(this.#config.cleanupIntervalMs, () => this.#cleanUp());
  }
}

const attributes = {
  hostname: "",
  weight: 1,
  locality: { region: "", zone: "", subZone: "" },
  priority: 0,
  metadata: {},
  health: "unknown",
} as const;

/** What stands in the metadata at `namespace`, `key`, … */
function textAt(
  metadata: LbContext["dynamicMetadata"],
  [namespace = "", ...keys]: readonly string[],
): string | undefined {
  let value: unknown = metadata?.get(namespace);
  for (const key of keys)
    value =
      typeof value === "object" && value !== null && Object.hasOwn(value, key)
        ? value[key as keyof typeof value]
        : undefined;
  return typeof value === "string" ? value : undefined;
}

/** `ip:port` or `[v6]:port`. */
function parseHost(text: string): SocketAddress | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text.trim());
  const address = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (address === undefined || !isIpAddress(address) || port < 1 || port > 65_535) return undefined;
  return { kind: "ip", address, port };
}
