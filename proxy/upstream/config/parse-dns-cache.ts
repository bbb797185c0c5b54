/** `DnsCacheConfig` of dynamic forward proxies → how names are resolved and kept. */
import type { MessageReader } from "#protos/reader.ts";
import type { DnsCacheConfig } from "#protos/gen/envoy/extensions/common/dynamic_forward_proxy/v3/dns_cache_pb.js";
import { durationMs } from "../../config-values.ts";
import type { DynamicForwardConfig } from "../dynamic-forward.ts";
import { families } from "./dns-families.ts";

/** Problems are on the reader's list; resolvers and stores of one's own are refused by name. */
export function parseDnsCache(reader: MessageReader<DnsCacheConfig>): DynamicForwardConfig {
  const refreshRateMs = durationMs(reader.get("dnsRefreshRate")) ?? 60_000;
  const failure = reader.child("dnsFailureRefreshRate");
  const base = durationMs(failure?.get("baseInterval"));
  const max = durationMs(failure?.get("maxInterval"));
  failure?.finish();
  const breaker = reader.child("dnsCacheCircuitBreaker");
  const maxPending = breaker?.get("maxPendingRequests") ?? 1024;
  breaker?.finish();
  const preresolve = reader.children("preresolveHostnames").map((child) => {
    const port = child.get("portSpecifier");
    child.ignore("protocol", "connections are TCP");
    const host = child.get("address").toLowerCase();
    child.finish();
    if (port.case !== "portValue") child.invalid("portSpecifier", "port_value must be set");
    return { host, port: port.case === "portValue" ? port.value : 0 };
  });
  const config: DynamicForwardConfig = {
    cacheName: reader.get("name"),
    family: families[reader.get("dnsLookupFamily")] ?? "auto",
    refreshRateMs,
    minRefreshRateMs: durationMs(reader.get("dnsMinRefreshRate")) ?? 5000,
    failureRefreshRateMs: base ?? refreshRateMs,
    failureRefreshRateMaxMs: max ?? (base === undefined ? refreshRateMs : base * 10),
    hostTtlMs: durationMs(reader.get("hostTtl")) ?? 300_000,
    maxHosts: reader.get("maxHosts") ?? 1024,
    queryTimeoutMs: durationMs(reader.get("dnsQueryTimeout")) || 5000,
    maxPending,
    preresolve,
  };
  reader.finish();
  return config;
}
