/** `connectionPool` → circuit breakers, connect timeout, TCP keep-alive, common HTTP options (rules 50, 51, 114). */
import type { MeshConfig } from "../model/mesh-config.ts";
import type { Protocol } from "../model/service.ts";
import { durationFromMs, durationJson, formatDuration, parseDuration, wholeSeconds } from "./duration.ts";
import { compact, type JsonObject } from "./json.ts";
import { isHttp2, listenerProtocol } from "./protocols.ts";
import type { ConnectionPool, TcpKeepalive } from "./spec/destination-rule.ts";
import type { EffectivePolicy } from "./traffic-policy.ts";

const UNLIMITED = 4_294_967_295;

/** All limits are written: Envoy's own defaults (1024 connections, 3 retries) are never meant. */
export function circuitBreakers(
  pool: ConnectionPool | undefined,
  retryBudget?: EffectivePolicy["retryBudget"],
): JsonObject {
  const percent = retryBudget?.percent;
  return {
    thresholds: [
      compact({
        maxConnections: limit(pool?.tcp?.maxConnections),
        maxPendingRequests: limit(pool?.http?.http1MaxPendingRequests),
        maxRequests: limit(pool?.http?.http2MaxRequests),
        maxRetries: limit(pool?.http?.maxRetries),
        retryBudget:
          retryBudget === undefined
            ? undefined
            : {
                // What istiod writes where nothing is said: a fifth of a percent.
                budgetPercent: { value: (typeof percent === "object" ? percent.value : percent) ?? 0.2 },
                minRetryConcurrency: retryBudget.minRetryConcurrency || 3,
              },
      }),
    ],
  };
}

/** 0 means unset (rule 50). */
function limit(value: number | undefined): number {
  return value !== undefined && value > 0 ? value : UNLIMITED;
}

export function connectTimeout(pool: ConnectionPool | undefined, meshConfig: MeshConfig): string {
  return durationJson(pool?.tcp?.connectTimeout) ?? durationFromMs(meshConfig.connectTimeoutMs);
}

/** The pool's keep-alive over the mesh's, field by field; undefined when neither has any. */
export function upstreamConnectionOptions(
  pool: ConnectionPool | undefined,
  meshConfig: MeshConfig,
): JsonObject | undefined {
  const ofMesh = meshConfig.raw["tcpKeepalive"] as TcpKeepalive | null | undefined;
  const own = pool?.tcp?.tcpKeepalive;
  if (own === undefined && (ofMesh === undefined || ofMesh === null)) return undefined;
  const keepalive = { ...ofMesh, ...own };
  return {
    tcpKeepalive: compact({
      keepaliveProbes: keepalive.probes,
      keepaliveTime: wholeSeconds(keepalive.time),
      keepaliveInterval: wholeSeconds(keepalive.interval),
    }),
  };
}

/** DestinationRule UPGRADE counts on every declared port, the mesh's on declared HTTP only (rule 51). */
export function upgradesToHttp2(pool: ConnectionPool | undefined, protocol: Protocol, meshConfig: MeshConfig): boolean {
  if (isHttp2(protocol) || protocol === "auto") return false;
  if (pool?.http?.useClientProtocol === true) return false;
  const own = pool?.http?.h2UpgradePolicy;
  if (own === "UPGRADE") return true;
  if (own === "DO_NOT_UPGRADE") return false;
  return meshConfig.raw["h2UpgradePolicy"] === "UPGRADE" && listenerProtocol(protocol) === "http";
}

/** HttpProtocolOptions that the pool asks for, beside the protocol; undefined when it asks for none. */
export function commonHttpOptions(pool: ConnectionPool | undefined): JsonObject | undefined {
  const idle = parseDuration(pool?.http?.idleTimeout ?? pool?.tcp?.idleTimeout);
  const maxDuration = parseDuration(pool?.tcp?.maxConnectionDuration);
  const perConnection = pool?.http?.maxRequestsPerConnection ?? 0;
  const streams = pool?.http?.maxConcurrentStreams ?? 0;
  if (idle === undefined && maxDuration === undefined && perConnection <= 0 && streams <= 0) return undefined;
  return compact({
    idleTimeout: idle === undefined ? undefined : formatDuration(idle),
    maxConnectionDuration: maxDuration === undefined ? undefined : formatDuration(maxDuration),
    maxRequestsPerConnection: perConnection > 0 ? perConnection : undefined,
  });
}
