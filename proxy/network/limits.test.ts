import { describe, expect, test } from "vitest";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { RuntimeLayers } from "../runtime-layers.ts";
import { ResponseFlag, StreamInfo } from "../stream-info.ts";
import { connectionLimit } from "./connection-limit.ts";
import type { ConnectionFilter, DownstreamConnection, NetworkFilterContext, NetworkFilterFactory } from "./filter.ts";
import { networkLocalRateLimit } from "./local-ratelimit.ts";
import { sniCluster } from "./sni-cluster.ts";

interface Opened {
  readonly status: string | undefined;
  readonly isClosed: () => boolean;
  readonly info: StreamInfo;
  readonly filterState: Map<string, unknown>;
  readonly close: () => void;
}

function world<C>(factory: NetworkFilterFactory<C>, type: string, fields: Record<string, unknown>, values = {}) {
  const runtime = simulatedRuntime();
  const stats = createStatsStore();
  const read = messageFromJson(`envoy.extensions.filters.network.${type}`, fields);
  if (read.value === undefined) throw new Error(JSON.stringify(read.problems));
  const { value, problems } = factory.parse(read.value, "");
  if (value === undefined) throw new Error(JSON.stringify(problems));
  const runtimeSnapshot = new RuntimeLayers([{ kind: "static", name: "a", values }], createStatsStore().root);
  const context = { runtime, rootScope: stats.root, runtimeSnapshot } as unknown as NetworkFilterContext;
  const make = factory.create(value, context);
  const open = (requestedServerName = ""): Opened => {
    let isClosed = false;
    const end = (): void => void (isClosed = true);
    const info = new StreamInfo();
    const filterState = new Map<string, unknown>();
    const connection = { destroy: end, reset: end, pause() {} };
    const filter: ConnectionFilter | undefined = make({
      connection,
      info,
      filterState,
      requestedServerName,
    } as unknown as DownstreamConnection);
    const status = filter?.onNewConnection(() => {});
    return { status, isClosed: () => isClosed, info, filterState, close: () => filter?.onClose?.() };
  };
  const stat = (name: string): number | undefined =>
    [...stats.counters(), ...stats.gauges()].find((one) => one.name === name)?.value;
  return { runtime, open, stat };
}

const bucket = { max_tokens: 1, fill_interval: "10s" };

describe("envoy.filters.network.local_ratelimit", () => {
  const type = "local_ratelimit.v3.LocalRateLimit";

  test("a connection without a token is closed: URX", async () => {
    const { open, stat, runtime } = world(networkLocalRateLimit, type, { stat_prefix: "p", token_bucket: bucket });
    expect(open().status).toBe("continue");
    const refused = open();
    expect([refused.status, refused.isClosed()]).toEqual(["stop", true]);
    expect(refused.info.hasFlag(ResponseFlag.UpstreamRetryLimitExceeded)).toBe(true);
    expect(stat("local_rate_limit.p.rate_limited")).toBe(1);
    await runtime.advance(10_000);
    expect(open().status).toBe("continue");
  });

  test("a runtime key switches it off", () => {
    const fields = {
      stat_prefix: "p",
      token_bucket: bucket,
      runtime_enabled: { default_value: true, runtime_key: "on" },
    };
    const { open } = world(networkLocalRateLimit, type, fields, { on: false });
    expect([open().status, open().status]).toEqual(["continue", "continue"]);
  });

  test.each([
    ["share_key", { share_key: "x", token_bucket: bucket }],
    [">= 50ms", { token_bucket: { max_tokens: 1, fill_interval: "0.001s" } }],
    ["token_bucket", {}],
  ])("%s is refused", (words, fields) => {
    expect(() => world(networkLocalRateLimit, type, { stat_prefix: "p", ...fields })).toThrow(words);
  });
});

describe("envoy.filters.network.connection_limit", () => {
  const type = "connection_limit.v3.ConnectionLimit";

  test("one too many is closed; one that ends makes room", () => {
    const { open, stat } = world(connectionLimit, type, { stat_prefix: "p", max_connections: 1 });
    const first = open();
    const second = open();
    expect([first.status, second.status, second.isClosed()]).toEqual(["continue", "stop", true]);
    second.close();
    expect(stat("connection_limit.p.active_connections")).toBe(1);
    first.close();
    expect(open().status).toBe("continue");
    expect([stat("connection_limit.p.limited_connections"), stat("connection_limit.p.active_connections")]).toEqual([
      1, 1,
    ]);
  });

  test("it may be left hanging for a while", async () => {
    const { open, runtime } = world(connectionLimit, type, { stat_prefix: "p", max_connections: 1, delay: "2s" });
    open();
    const second = open();
    await runtime.advance(1900);
    expect(second.isClosed()).toBe(false);
    await runtime.advance(200);
    expect(second.isClosed()).toBe(true);
  });

  test("a runtime key switches it off", () => {
    const fields = {
      stat_prefix: "p",
      max_connections: 1,
      runtime_enabled: { default_value: true, runtime_key: "on" },
    };
    const { open } = world(connectionLimit, type, fields, { on: false });
    expect([open().status, open().status]).toEqual(["continue", "continue"]);
  });

  test("without a limit it is refused", () => {
    expect(() => world(connectionLimit, type, { stat_prefix: "p" })).toThrow("max_connections");
  });
});

describe("envoy.filters.network.sni_cluster", () => {
  test("the server name is the TCP proxy's cluster", () => {
    const { open } = world(sniCluster, "sni_cluster.v3.SniCluster", {});
    expect(open("outbound_.80_._.a.b").filterState.get("envoy.tcp_proxy.cluster")).toBe("outbound_.80_._.a.b");
    expect(open("").filterState.size).toBe(0);
  });
});
