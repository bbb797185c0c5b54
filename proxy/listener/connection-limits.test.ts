import { expect, test } from "vitest";
import { connectionLimits } from "./connection-limits.ts";

test("limits are read from runtime layers, dotted or nested, the last layer first", () => {
  const limits = connectionLimits([
    { "envoy.resource_limits.listener.a.connection_limit": 10, "overload.global_downstream_max_connections": 50_000 },
    { envoy: { resource_limits: { listener: { b: { connection_limit: "20" } } } } },
    { "envoy.resource_limits.listener.a.connection_limit": 5, "envoy.other": true },
  ]);
  expect([limits.connectionLimit("a"), limits.connectionLimit("b"), limits.connectionLimit("c")]).toEqual([
    5,
    20,
    undefined,
  ]);
  expect(limits.globalConnectionLimit).toBe(50_000);
  expect(connectionLimits([]).globalConnectionLimit).toBeUndefined();
});
