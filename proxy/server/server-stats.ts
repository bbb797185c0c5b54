/** `server.` and the like: what the process says of itself. */
import type { Clock } from "#lib/runtime.ts";
import type { ServerState } from "../admin/server-endpoints.ts";
import type { Gauge, StatsScope } from "../observability/stats.ts";

/** Envoy's numbers of the states. */
const STATE_NUMBERS: Readonly<Record<ServerState, number>> = {
  LIVE: 0,
  DRAINING: 1,
  PRE_INITIALIZING: 2,
  INITIALIZING: 3,
};

export interface ServerStats {
  setState(state: ServerState): void;
  /** The listeners serve: `initialization_time_ms`. */
  initialized(): void;
  /** Brings gauges that are only read up to date. */
  refresh(options: { readonly daysUntilFirstCertificateExpires: number; readonly connections: number }): void;
}

export function createServerStats(clock: Clock, root: StatsScope, concurrency: number): ServerStats {
  const server = root.scope("server");
  const startMs = clock.monotonic();
  const gauges = gaugesOf(server);
  for (const name of [
    "dynamic_unknown_fields",
    "static_unknown_fields",
    "debug_assertion_failures",
    "envoy_bug_failures",
    "envoy_notifications",
    "wip_protos",
    "dropped_stat_flushes",
  ])
    server.counter(name);
  server.gauge("concurrency").set(concurrency);
  server.gauge("hot_restart_epoch").set(0);
  server.gauge("hot_restart_generation").set(1);
  server.gauge("parent_connections").set(0);
  server.gauge("version").set(0);
  return {
    setState(state) {
      gauges.state.set(STATE_NUMBERS[state]);
      gauges.live.set(state === "LIVE" ? 1 : 0);
    },
    initialized() {
      server.histogram("initialization_time_ms").record(clock.monotonic() - startMs);
    },
    refresh({ daysUntilFirstCertificateExpires, connections }) {
      const { heapUsed, heapTotal, rss } = process.memoryUsage();
      gauges.uptime.set(Math.floor((clock.monotonic() - startMs) / 1000));
      gauges.allocated.set(heapUsed);
      gauges.heapSize.set(heapTotal);
      gauges.physicalSize.set(rss);
      gauges.daysUntilExpiration.set(daysUntilFirstCertificateExpires);
      gauges.connections.set(connections);
    },
  };
}

function gaugesOf(
  server: StatsScope,
): Readonly<
  Record<
    "state" | "live" | "uptime" | "allocated" | "heapSize" | "physicalSize" | "daysUntilExpiration" | "connections",
    Gauge
  >
> {
  return {
    state: server.gauge("state"),
    live: server.gauge("live"),
    uptime: server.gauge("uptime"),
    allocated: server.gauge("memory_allocated"),
    heapSize: server.gauge("memory_heap_size"),
    physicalSize: server.gauge("memory_physical_size"),
    daysUntilExpiration: server.gauge("days_until_first_cert_expiring"),
    connections: server.gauge("total_connections"),
  };
}
