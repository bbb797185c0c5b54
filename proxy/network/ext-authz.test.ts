import { describe, expect, test } from "vitest";
import type { Connection } from "#lib/connection.ts";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { StreamInfo } from "../stream-info.ts";
import { networkExtAuthz } from "./ext-authz.ts";
import type { NetworkFilterContext } from "./filter.ts";
import { FilteredConnection } from "./filtered-connection.ts";

type Json = Readonly<Record<string, unknown>>;

const grpcService = { grpc_service: { envoy_grpc: { cluster_name: "authz" } } };

/** A connection to a service that can't be asked: there is no such cluster. */
async function connected(fields: Json, metadata: Json = {}) {
  const runtime = simulatedRuntime();
  const stats = createStatsStore();
  const parsed = messageFromJson("envoy.extensions.filters.network.ext_authz.v3.ExtAuthz", {
    stat_prefix: "in",
    ...grpcService,
    ...fields,
  });
  if (parsed.value === undefined) throw new Error(JSON.stringify(parsed.problems));
  const config = networkExtAuthz.parse(parsed.value, "");
  if (config.value === undefined) throw new Error(JSON.stringify(config.problems));
  const context = {
    runtime,
    rootScope: stats.root,
    clusters: { get: () => undefined },
    node: { id: "", cluster: "", metadata: {}, locality: { region: "", zone: "", subZone: "" } },
  } as unknown as NetworkFilterContext;
  const create = networkExtAuthz.create(config.value, context);
  let received = "";
  let isClosed = false;
  const info = new StreamInfo();
  const address = { kind: "ip", address: "127.0.0.1", port: 80 } as const;
  await runtime.network.listen({ address }, (inner: Connection) => {
    const downstream = {
      connection: inner,
      startMs: 0,
      originalDestination: inner.localAddress,
      filterChainName: "",
      requestedServerName: "",
      applicationProtocol: undefined,
      dynamicMetadata: new Map(Object.entries(metadata)) as Map<string, Record<string, unknown>>,
      filterState: new Map<string, unknown>(),
      info,
    };
    const filter = create(downstream);
    if (filter === undefined) return;
    const connection = new FilteredConnection(inner, [filter]);
    downstream.connection = connection;
    connection.handler = { onData: (chunk) => void (received += chunk.toString()), onClose: () => filter.onClose?.() };
  });
  const client = runtime.network.connect({ address }, { onData() {}, onClose: () => void (isClosed = true) });
  await runtime.settle();
  client.write("hello");
  await runtime.settle();
  const counter = (name: string): number =>
    stats.counters().find((one) => one.name === `ext_authz.in.${name}`)?.value ?? 0;
  return { received, isClosed, info, counter };
}

describe("envoy.filters.network.ext_authz", () => {
  test("a service that can't be asked closes the connection: UAEX", async () => {
    const { received, isClosed, info, counter } = await connected({});
    expect([received, isClosed, info.responseCodeDetails]).toEqual(["", true, "ext_authz_error"]);
    expect([counter("total"), counter("error"), counter("cx_closed")]).toEqual([1, 1, 1]);
  });

  test("with failure_mode_allow it lets the bytes through", async () => {
    const { received, isClosed, counter } = await connected({ failure_mode_allow: true });
    expect([received, isClosed]).toEqual(["hello", false]);
    expect(counter("failure_mode_allowed")).toBe(1);
  });

  test("asks only where the metadata say so", async () => {
    const enabled = {
      filter_enabled_metadata: {
        filter: "envoy.filters.network.rbac",
        path: [{ key: "istio_ext_authz_shadow_effective_policy_id" }],
        value: { string_match: { prefix: "istio-ext-authz" } },
      },
    };
    const off = await connected(enabled);
    expect([off.received, off.counter("disabled")]).toEqual(["hello", 1]);
    const id = { istio_ext_authz_shadow_effective_policy_id: "istio-ext-authz-p-ns[a]" };
    const on = await connected(enabled, { "envoy.filters.network.rbac": id });
    expect([on.received, on.counter("error")]).toEqual(["", 1]);
  });

  test.each([
    [{ shadow_mode: true }, "shadow_mode"],
    [{ send_tls_alert_on_denial: true }, "send_tls_alert_on_denial"],
    [{ typed_metadata_context_namespaces: ["a"] }, "typed_metadata_context_namespaces"],
  ])("is refused by name: %j", async (fields, problem) => {
    await expect(connected(fields)).rejects.toThrow(problem);
  });
});
