/** `envoy.filters.network.connection_limit`: so many connections of a filter chain at a time. */
import { durationMs, isRuntimeFlagOn, runtimeFlagOf, type RuntimeFlag } from "../config-values.ts";
import type { Problem } from "#lib/problem.ts";
import type { Timer } from "#lib/runtime.ts";
import { MessageReader } from "#protos/reader.ts";
import type { ConnectionLimit } from "#protos/gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.js";
import type { NetworkFilterFactory } from "./filter.ts";

interface ConnectionLimitConfig {
  readonly statPrefix: string;
  readonly maxConnections: number;
  /** How long one too many is left hanging, ms. */
  readonly delayMs: number;
  readonly enabled: RuntimeFlag;
}

export const connectionLimit: NetworkFilterFactory<ConnectionLimitConfig> = {
  name: "envoy.filters.network.connection_limit",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit"],
  isTerminal: false,
  parse(message, path) {
    const problems: Problem[] = [];
    const reader = new MessageReader(message as ConnectionLimit, path, problems);
    const value: ConnectionLimitConfig = {
      statPrefix: reader.get("statPrefix"),
      maxConnections: Number(reader.get("maxConnections") ?? 0n),
      delayMs: durationMs(reader.get("delay")) ?? 0,
      enabled: runtimeFlagOf(reader.child("runtimeEnabled")),
    };
    reader.finish();
    if (value.statPrefix === "") reader.invalid("statPrefix", "must be set");
    if (value.maxConnections < 1) reader.invalid("maxConnections", "must be at least 1");
    return problems.length > 0 ? { problems } : { value, problems };
  },
  create({ statPrefix, maxConnections, delayMs, enabled }, { runtime, rootScope, runtimeSnapshot }) {
    const scope = rootScope.scope("connection_limit").scope(statPrefix);
    const limited = scope.counter("limited_connections");
    const active = scope.gauge("active_connections");
    let open = 0;
    return (downstream) => {
      let isCounted = false;
      let timer: Timer | undefined;
      return {
        onNewConnection() {
          if (!isRuntimeFlagOn(enabled, runtimeSnapshot)) return "continue";
          if (open < maxConnections) {
            open++;
            active.inc();
            isCounted = true;
            return "continue";
          }
          limited.inc();
          if (delayMs === 0) {
            downstream.connection.destroy();
            return "stop";
          }
          downstream.connection.pause();
          timer = runtime.clock.wheel.schedule(delayMs, () => downstream.connection.destroy());
          return "stop";
        },
        onClose() {
          timer?.cancel();
          if (!isCounted) return;
          isCounted = false;
          open--;
          active.dec();
        },
      };
    };
  },
};
