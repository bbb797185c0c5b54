import { describe, expect, test } from "vitest";
import type { Connection, ConnectionHandler } from "#lib/connection.ts";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { StreamInfo } from "../stream-info.ts";
import type { DownstreamConnection, NetworkFilterContext } from "./filter.ts";
import { FilteredConnection } from "./filtered-connection.ts";
import { networkRbac } from "./rbac.ts";

const ANY = [{ any: true }];
const onPort = (port: number) => ({ permissions: [{ destinationPort: port }], principals: ANY });

/** Remembers what was done to it. */
class FakeConnection implements Connection {
  readonly id = 1;
  handler: ConnectionHandler = { onData: () => undefined, onClose: () => undefined };
  readonly localAddress = { kind: "ip", address: "10.0.0.1", port: 9000 } as const;
  readonly remoteAddress = { kind: "ip", address: "10.0.0.9", port: 2 } as const;
  readonly bufferedBytes = 0;
  isClosed = false;
  isPaused = false;
  written = "";
  write(data: string | Buffer): boolean {
    this.written += data.toString();
    return true;
  }
  end(): void {}
  destroy(): void {
    this.isClosed = true;
  }
  reset(): void {
    this.destroy();
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  unshift(): void {}
}

function setUp(fields: Record<string, unknown>) {
  const runtime = simulatedRuntime({ seed: 1 });
  const stats = createStatsStore();
  const read = messageFromJson("envoy.extensions.filters.network.rbac.v3.RBAC", { statPrefix: "tcp.", ...fields });
  if (read.value === undefined) throw new Error(JSON.stringify(read.problems));
  const { value, problems } = networkRbac.parse(read.value, "");
  if (value === undefined) throw new Error(JSON.stringify(problems));
  const connection = new FakeConnection();
  const info = new StreamInfo();
  info.connection = connection;
  const downstream = { connection, info } as { connection: Connection; info: StreamInfo };
  const context = { runtime, rootScope: stats.root } as unknown as NetworkFilterContext;
  const filter = networkRbac.create(value, context)(downstream as unknown as DownstreamConnection);
  if (filter === undefined) throw new Error("no filter");
  const outer = new FilteredConnection(connection, [filter]);
  downstream.connection = outer;
  let received = "";
  outer.handler = { onData: (chunk) => void (received += chunk.toString()), onClose: () => undefined };
  filter.onNewConnection(() => undefined);
  return {
    runtime,
    connection,
    outer,
    info,
    filter,
    received: () => received,
    receive: (text: string) => connection.handler.onData(Buffer.from(text)),
    counter: (name: string) => stats.counters().find((counter) => counter.name === name)?.value,
  };
}

describe("envoy.filters.network.rbac", () => {
  test("what is allowed passes, and the filter steps aside", () => {
    const tcp = setUp({ rules: { policies: { p: onPort(9000) } } });
    tcp.receive("a");
    expect(tcp.received()).toBe("a");
    expect(tcp.counter("tcp.rbac.allowed")).toBe(1);
    expect(tcp.connection.handler).not.toBe(tcp.outer);
    tcp.receive("b");
    expect(tcp.received()).toBe("ab");
    expect(tcp.counter("tcp.rbac.allowed")).toBe(1);
  });

  test("what is refused is closed at its first byte, which nobody sees", () => {
    const tcp = setUp({ rules: { policies: { "p q": onPort(1) } } });
    expect(tcp.connection.isClosed).toBe(false);
    tcp.receive("a");
    expect(tcp.connection.isClosed).toBe(true);
    expect(tcp.received()).toBe("");
    expect(tcp.counter("tcp.rbac.denied")).toBe(1);
    expect(tcp.info.connectionTerminationDetails).toBe("rbac_access_denied_matched_policy[none]");
    tcp.receive("b");
    expect(tcp.received()).toBe("");
    expect(tcp.counter("tcp.rbac.denied")).toBe(1);
  });

  test("a server that speaks first tells a refused client nothing", () => {
    const tcp = setUp({ rules: { action: "DENY", policies: { "a b": onPort(9000) } } });
    tcp.outer.write("banner");
    expect(tcp.connection.written).toBe("");
    expect(tcp.connection.isClosed).toBe(true);
    expect(tcp.info.connectionTerminationDetails).toBe("rbac_access_denied_matched_policy[a_b]");
  });

  test("a path never matches a connection", () => {
    const path = { permissions: [{ urlPath: { path: { prefix: "/" } } }], principals: ANY };
    const tcp = setUp({ rules: { policies: { p: path } } });
    tcp.receive("GET / HTTP/1.1\r\n\r\n");
    expect(tcp.connection.isClosed).toBe(true);
  });

  test.each([
    ["a permission", { permissions: [{ notRule: { header: { name: ":method" } } }], principals: ANY }],
    ["one of several", { permissions: [{ orRules: { rules: [{ header: { name: "a" } }] } }], principals: ANY }],
    ["a principal", { permissions: ANY, principals: [{ andIds: { ids: [{ notId: { header: { name: "a" } } }] } }] }],
  ])("%s that asks for a header is refused by name", (_, policy) => {
    for (const field of ["rules", "shadow_rules"]) {
      const read = messageFromJson("envoy.extensions.filters.network.rbac.v3.RBAC", {
        stat_prefix: "t",
        [field]: { policies: { p: policy } },
      });
      if (read.value === undefined) throw new Error("not a message");
      const parsed = networkRbac.parse(read.value, "");
      expect(parsed.value).toBeUndefined();
      expect(parsed.problems[0]).toMatchObject({ path: `${field}.policies["p"]`, code: "unsupported-field" });
    }
  });

  test("rules without policies refuse everything; without rules everything passes", () => {
    const closed = setUp({ rules: {} });
    closed.receive("a");
    expect(closed.connection.isClosed).toBe(true);
    const open = setUp({});
    open.receive("a");
    expect(open.received()).toBe("a");
  });

  test("shadow rules are counted and written down", () => {
    const tcp = setUp({
      shadowRules: { action: "DENY", policies: { sh: onPort(9000) } },
      shadowRulesStatPrefix: "istio_dry_run_deny_",
    });
    tcp.receive("a");
    expect(tcp.received()).toBe("a");
    expect(tcp.counter("tcp.rbac.istio_dry_run_deny_.shadow_denied")).toBe(1);
    expect(tcp.info.dynamicMetadata?.get("envoy.filters.network.rbac")).toEqual({
      istio_dry_run_deny_shadow_effective_policy_id: "sh",
      istio_dry_run_deny_shadow_engine_result: "denied",
    });
  });

  test("CONTINUOUS judges every chunk", () => {
    const tcp = setUp({ rules: { policies: { p: onPort(9000) } }, enforcementType: "CONTINUOUS" });
    tcp.receive("a");
    tcp.receive("b");
    expect(tcp.received()).toBe("ab");
    expect(tcp.counter("tcp.rbac.allowed")).toBe(2);
  });

  test("delay_deny leaves the client hanging before it closes", async () => {
    const tcp = setUp({ rules: {}, delayDeny: "5s" });
    tcp.receive("a");
    expect([tcp.connection.isClosed, tcp.connection.isPaused]).toEqual([false, true]);
    await tcp.runtime.advance(4_000);
    expect(tcp.connection.isClosed).toBe(false);
    await tcp.runtime.advance(2_000);
    expect(tcp.connection.isClosed).toBe(true);
    expect(tcp.received()).toBe("");
  });

  test.each([["matcher"], ["shadowMatcher"]])("%s is refused by name", (field) => {
    const { value } = messageFromJson("envoy.extensions.filters.network.rbac.v3.RBAC", {
      statPrefix: "t",
      [field]: {},
    });
    if (value === undefined) throw new Error("not a message");
    const parsed = networkRbac.parse(value, "");
    expect(parsed.value).toBeUndefined();
    expect(parsed.problems[0]?.code).toBe("unsupported-field");
  });
});
