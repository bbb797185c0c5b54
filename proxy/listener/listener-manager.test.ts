import { describe, expect, test } from "vitest";
import type { Connection, SocketAddress } from "#lib/connection.ts";
import { ListenError } from "#lib/runtime.ts";
import { simulatedRuntime, type SimulatedRuntime } from "#lib/simulated-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import type { Listener } from "#protos/gen/envoy/config/listener/v3/listener_pb.js";
import type { NetworkFilterFactory, RouteConfigProvider } from "../network/filter.ts";
import { directResponse, echo } from "../network/echo.ts";
import { createNetworkFilterRegistry } from "../network/registry.ts";
import type { FormatContext } from "../observability/access-log/types.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { ResponseFlag, type StreamInfo } from "../stream-info.ts";
import type { RouteTable } from "../router/types.ts";
import { internalAddress, InternalNetwork } from "../tls/internal-network.ts";
import { createTransportFactory } from "../tls/transport-factory.ts";
import { testAuthority } from "../tls/node-test-identities.ts";
import type { Secret, SecretProvider } from "../tls/types.ts";
import { createListenerManager } from "./listener-manager.ts";
import type { ListenerManagerDeps } from "./types.ts";

const ca = testAuthority();
const TYPE = "type.googleapis.com";
const ECHO = {
  name: "echo",
  typedConfig: { "@type": `${TYPE}/envoy.extensions.filters.network.echo.v3.Echo` },
};
const say = (text: string) => ({
  name: "say",
  typedConfig: {
    "@type": `${TYPE}/envoy.extensions.filters.network.direct_response.v3.Config`,
    response: { inlineString: text },
  },
});
const TLS_INSPECTOR = {
  name: "tls",
  typedConfig: { "@type": `${TYPE}/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector` },
};
const HTTP_INSPECTOR = {
  name: "http",
  typedConfig: { "@type": `${TYPE}/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector` },
};
const ORIGINAL_DST = {
  name: "dst",
  typedConfig: { "@type": `${TYPE}/envoy.extensions.filters.listener.original_dst.v3.OriginalDst` },
};

function listener(json: Record<string, unknown>): Listener {
  const { value, problems } = messageFromJson("envoy.config.listener.v3.Listener", {
    name: "l",
    address: address(1000),
    filterChains: [{ filters: [ECHO] }],
    ...json,
  });
  if (value === undefined) throw new Error(JSON.stringify(problems));
  return value as Listener;
}

function address(port: number, ip = "127.0.0.1") {
  return { socketAddress: { address: ip, portValue: port } };
}

class Secrets implements SecretProvider {
  readonly #known = new Map<string, Secret>();
  readonly #waiting: [string, (secret: Secret) => void][] = [];
  set(name: string, secret: Secret): void {
    this.#known.set(name, secret);
    for (const [wanted, onUpdate] of this.#waiting) if (wanted === name) onUpdate(secret);
  }
  subscribe(name: string, onUpdate: (secret: Secret) => void) {
    this.#waiting.push([name, onUpdate]);
    const secret = this.#known.get(name);
    if (secret !== undefined) onUpdate(secret);
    return { close() {} };
  }
}

/** A client that remembers. */
function dial(runtime: SimulatedRuntime, to: SocketAddress | number, first = "") {
  const client = {
    text: "",
    isClosed: false,
    error: undefined as Error | undefined,
    connection: undefined as unknown as Connection,
  };
  client.connection = runtime.network.connect(
    { address: typeof to === "number" ? { kind: "ip", address: "127.0.0.1", port: to } : to },
    {
      onConnect: () => void (first !== "" && client.connection.write(first)),
      onData: (chunk) => void (client.text += chunk.toString("latin1")),
      onClose: (error) => {
        client.isClosed = true;
        client.error = error;
      },
    },
  );
  return client;
}

function setUp(options: Partial<ListenerManagerDeps> = {}) {
  const runtime = simulatedRuntime();
  const store = createStatsStore();
  const secrets = new Secrets();
  const logged: StreamInfo[] = [];
  const routes: RouteConfigProvider = {
    subscribe: (_, onUpdate) => {
      onUpdate({} as RouteTable);
      return { close() {} };
    },
  };
  const manager = createListenerManager({
    runtime,
    scope: store.root,
    node: { id: "n", cluster: "c", metadata: {}, locality: { region: "", zone: "", subZone: "" } },
    clusters: { get: () => undefined },
    transports: createTransportFactory({ runtime, secrets, scope: store.root }),
    filters: createNetworkFilterRegistry([echo, directResponse]),
    routes,
    accessLogs: {
      logger: (configs) =>
        configs.length === 0 ? undefined : { log: ({ info }: FormatContext) => void logged.push(info) },
    },
    drainTimeMs: 45_000,
    ...options,
  });
  const add = (json: Record<string, unknown>, version = "1", dynamic = true) =>
    manager.addOrUpdate(listener(json), version, { dynamic });
  const value = (name: string): number =>
    [...store.counters(), ...store.gauges()].find((stat) => stat.name === name)?.value ?? 0;
  return { runtime, store, secrets, logged, manager, add, value };
}

describe("internal listeners", () => {
  const internalListener = { name: "inner", address: null, internalListener: {} };
  const here = internalAddress("inner", "e");

  /** What comes back on a connection to it. */
  function talk(internal: InternalNetwork, text: string, state?: ReadonlyMap<string, unknown>) {
    const client = { text: "", error: undefined as Error | undefined };
    const connection = internal.connect(
      here,
      { filterState: state, metadata: new Map() },
      {
        onConnect: () => void connection.write(text),
        onData: (chunk) => void (client.text += chunk.toString("latin1")),
        onClose: (error) => void (client.error = error),
      },
    );
    return client;
  }

  test("are reached from within, by their name, until they are removed", async () => {
    const runtime = simulatedRuntime();
    const internal = new InternalNetwork(runtime.clock);
    const { manager, add } = setUp({ runtime, internal });
    await manager.start();
    expect(add(internalListener).problems).toEqual([]);
    const client = talk(internal, "hello");
    await runtime.settle();
    expect(client.text).toBe("hello");
    manager.remove("inner");
    const late = talk(internal, "hello");
    await runtime.settle();
    expect(late.error?.message).toMatch(/'inner'/);
  });

  test("choose a chain by what the client side shares", async () => {
    const runtime = simulatedRuntime();
    const internal = new InternalNetwork(runtime.clock);
    const { manager, add } = setUp({ runtime, internal });
    await manager.start();
    const byState = {
      "@type": `${TYPE}/envoy.extensions.matching.common_inputs.network.v3.FilterStateInput`,
      key: "k",
    };
    const action = { name: "a", typedConfig: { "@type": `${TYPE}/google.protobuf.StringValue`, value: "a" } };
    const { problems } = add({
      ...internalListener,
      filterChainMatcher: {
        matcherTree: { input: { name: "k", typedConfig: byState }, exactMatchMap: { map: { v: { action } } } },
      },
      filterChains: [{ name: "a", filters: [say("chain a")] }],
      defaultFilterChain: { name: "other", filters: [say("other")] },
    });
    expect(problems).toEqual([]);
    const [known, unknown] = [talk(internal, "", new Map([["k", "v"]])), talk(internal, "")];
    await runtime.settle();
    expect([known.text, unknown.text]).toEqual(["chain a", "other"]);
  });

  test("need the bootstrap's extension", () => {
    expect(setUp().add(internalListener).problems).toMatchObject([
      { code: "unsupported-field", message: /envoy.bootstrap.internal_listener/ },
    ]);
  });
});

describe("listener manager", () => {
  test("an address that cannot be had refuses the update, by the listener's name", async () => {
    const runtime = simulatedRuntime();
    const listenProblem = ({ address: wanted }: { readonly address: SocketAddress }) =>
      wanted.kind === "ip" && wanted.port === 1001
        ? new ListenError("EADDRINUSE", wanted, "cannot bind '127.0.0.1:1001': Address already in use")
        : undefined;
    const { manager, add, value } = setUp({ runtime: { ...runtime, network: { ...runtime.network, listenProblem } } });
    await manager.start();
    expect(add({ name: "free" }).problems).toEqual([]);
    expect(add({ name: "taken", address: address(1001) }).problems).toMatchObject([
      {
        code: "address-unavailable",
        object: "listener taken",
        message: "error adding listener 'taken': cannot bind '127.0.0.1:1001': Address already in use",
      },
    ]);
    expect([...manager.errors().keys()]).toEqual(["taken"]);
    expect(manager.listeners().map(({ name }) => name)).toEqual(["free"]);
    expect(value("listener_manager.listener_create_failure")).toBe(1);
  });

  test("X-76: a listener is opened when the manager starts, and serves", async () => {
    const { runtime, manager, add, value } = setUp();
    expect(add({}).problems).toEqual([]);
    const early = dial(runtime, 1000);
    await runtime.settle();
    expect(early.error).toMatchObject({ code: "ECONNREFUSED" });
    expect(await manager.start()).toEqual([]);
    const client = dial(runtime, 1000, "hello");
    await runtime.settle();
    expect(client.text).toBe("hello");
    expect(value("listener.127.0.0.1_1000.downstream_cx_total")).toBe(1);
    expect(value("listener.127.0.0.1_1000.downstream_cx_active")).toBe(1);
    expect(value("listener_manager.workers_started")).toBe(1);
    expect(value("listener_manager.listener_added")).toBe(1);
    expect(value("listener_manager.total_listeners_active")).toBe(1);
    client.connection.destroy();
    await runtime.settle();
    expect(value("listener.127.0.0.1_1000.downstream_cx_active")).toBe(0);
    expect(value("listener.127.0.0.1_1000.downstream_cx_destroy")).toBe(1);
  });

  test("an address that can't be bound is a problem with the name of the listener", async () => {
    const { runtime, manager, add, value } = setUp();
    await runtime.network.listen({ address: { kind: "ip", address: "127.0.0.1", port: 1000 } }, () => {});
    add({});
    const problems = await manager.start();
    expect(problems).toMatchObject([{ object: "listener l", message: /127\.0\.0\.1:1000.*in use/ }]);
    expect(manager.errors().get("l")?.problems).toEqual(problems);
    expect(value("listener_manager.listener_create_failure")).toBe(1);
  });

  test("X-60: a static listener is neither changed nor removed by LDS", () => {
    const { manager, add } = setUp();
    add({}, "", false);
    expect(add({ address: address(1001) }, "2").problems).toMatchObject([{ level: "warning" }]);
    expect(manager.remove("l")).toBe(false);
    expect(manager.listeners()).toMatchObject([{ name: "l", isDynamic: false, version: "" }]);
  });

  test("X-61: a listener warms until its secret is there; the version before goes on serving", async () => {
    const { runtime, manager, add, secrets, value } = setUp();
    add({});
    await manager.start();
    const tls = {
      name: "tls",
      typedConfig: {
        "@type": `${TYPE}/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
        commonTlsContext: { tlsCertificateSdsSecretConfigs: [{ name: "default", sdsConfig: { ads: {} } }] },
      },
    };
    add({ filterChains: [{ filters: [ECHO], transportSocket: tls }] }, "2");
    expect(manager.listeners().map(({ state, version }) => [state, version])).toEqual([
      ["active", "1"],
      ["warming", "2"],
    ]);
    expect(value("listener_manager.total_listeners_warming")).toBe(1);
    let isReady = false;
    manager.onceReady(() => (isReady = true));
    const client = dial(runtime, 1000, "plain");
    await runtime.settle();
    expect(client.text).toBe("plain");
    expect(isReady).toBe(false);
    secrets.set("default", ca.workload("spiffe://cluster.local/ns/a/sa/b"));
    expect(isReady).toBe(true);
    expect(manager.listeners().map(({ state, version }) => [state, version])).toEqual([["active", "2"]]);
  });

  test("X-62: an update of filter chains alone keeps the connections of the chains that stay", async () => {
    const { runtime, manager, add, value } = setUp();
    const kept = { name: "kept", filterChainMatch: { sourceType: "SAME_IP_OR_LOOPBACK" }, filters: [ECHO] };
    const gone = { name: "gone", filterChainMatch: { destinationPort: 9 }, filters: [ECHO] };
    add({ filterChains: [kept, gone] });
    await manager.start();
    const client = dial(runtime, 1000, "one");
    await runtime.settle();
    add({ filterChains: [kept, { ...gone, name: "new", filters: [say("x")] }] }, "2");
    expect(value("listener_manager.listener_in_place_updated")).toBe(1);
    expect(value("listener_manager.listener_modified")).toBe(1);
    await runtime.advance(46_000);
    client.connection.write(" two");
    await runtime.settle();
    expect(client.text).toBe("one two");
    expect(client.isClosed).toBe(false);
    expect(value("listener.127.0.0.1_1000.downstream_cx_active")).toBe(1);
  });

  test("X-62: a chain that is changed drains; its connections are closed after the drain time", async () => {
    const { runtime, manager, add, value } = setUp();
    add({ filterChains: [{ name: "a", filters: [ECHO] }] });
    await manager.start();
    const client = dial(runtime, 1000, "old");
    await runtime.settle();
    add({ filterChains: [{ name: "a", filters: [say("new")] }] }, "2");
    expect(value("listener_manager.total_filter_chains_draining")).toBe(1);
    const second = dial(runtime, 1000);
    await runtime.settle();
    expect(second.text).toBe("new");
    await runtime.advance(44_000);
    expect(client.isClosed).toBe(false);
    await runtime.advance(2000);
    expect(client.isClosed).toBe(true);
    expect(value("listener_manager.total_filter_chains_draining")).toBe(0);
  });

  test("X-63: any other change takes over the same socket; no connection is refused meanwhile", async () => {
    const { runtime, manager, add, value } = setUp();
    add({});
    await manager.start();
    const old = dial(runtime, 1000, "old");
    await runtime.settle();
    add({ listenerFiltersTimeout: "3s" }, "2");
    expect(value("listener_manager.listener_in_place_updated")).toBe(0);
    expect(manager.listeners().map(({ state }) => state)).toEqual(["active", "draining"]);
    const fresh = dial(runtime, 1000, "fresh");
    await runtime.settle();
    expect(fresh.text).toBe("fresh");
    await runtime.advance(46_000);
    expect(old.isClosed).toBe(true);
    expect(fresh.isClosed).toBe(false);
    expect(manager.listeners().map(({ state }) => state)).toEqual(["active"]);
  });

  test("X-64: an update may move to another address; two listeners may not share one", async () => {
    const { runtime, manager, add } = setUp();
    add({});
    await manager.start();
    add({ address: address(1001) }, "2");
    const client = dial(runtime, 1001, "moved");
    const late = dial(runtime, 1000);
    await runtime.settle();
    expect(client.text).toBe("moved");
    expect(late.error).toMatchObject({ code: "ECONNREFUSED" });
    expect(add({ name: "other", address: address(1001) }).problems).toMatchObject([
      { level: "error", message: /error adding listener: 'other' has duplicate address '127\.0\.0\.1:1001'/ },
    ]);
    expect(manager.errors().has("other")).toBe(true);
  });

  test("X-65: a removed listener refuses at once and lets its connections end", async () => {
    const { runtime, manager, add, value } = setUp();
    add({});
    await manager.start();
    const client = dial(runtime, 1000, "a");
    await runtime.settle();
    expect(manager.remove("l")).toBe(true);
    const late = dial(runtime, 1000);
    client.connection.write("b");
    await runtime.settle();
    expect(client.text).toBe("ab");
    expect(late.error).toMatchObject({ code: "ECONNREFUSED" });
    expect(value("listener_manager.total_listeners_draining")).toBe(1);
    await runtime.advance(46_000);
    expect(client.isClosed).toBe(true);
    expect(value("listener_manager.total_listeners_draining")).toBe(0);
    expect(value("listener_manager.listener_removed")).toBe(1);
  });

  test("the same listener again changes nothing", async () => {
    const { manager, add, value } = setUp();
    add({});
    await manager.start();
    add({}, "2");
    expect(value("listener_manager.listener_modified")).toBe(0);
    expect(manager.listeners()).toMatchObject([{ version: "1" }]);
  });

  test("a refused update leaves the version before in force", async () => {
    const { runtime, manager, add } = setUp();
    add({});
    await manager.start();
    const { problems } = add({ udpListenerConfig: {} }, "2");
    expect(problems).toMatchObject([{ code: "unsupported-field", path: "udp_listener_config", object: "listener l" }]);
    const client = dial(runtime, 1000, "x");
    await runtime.settle();
    expect(client.text).toBe("x");
    add({ statPrefix: "p" }, "3");
    expect(manager.errors().size).toBe(0);
  });

  test("draining for the end: nothing new, what is there may finish, the rest is closed at the drain time", async () => {
    const { runtime, manager, add } = setUp();
    add({});
    await manager.start();
    const polite = dial(runtime, 1000, "p");
    const stubborn = dial(runtime, 1000, "s");
    await runtime.settle();
    let isDone = false;
    void manager.drain().then(() => (isDone = true));
    const late = dial(runtime, 1000);
    polite.connection.end();
    await runtime.advance(1000);
    expect(late.error).toMatchObject({ code: "ECONNREFUSED" });
    expect(polite.isClosed).toBe(true);
    expect(isDone).toBe(false);
    await runtime.advance(45_000);
    expect(stubborn.isClosed).toBe(true);
    expect(isDone).toBe(true);
  });

  test("draining with nothing open is over at once", async () => {
    const { manager, add } = setUp();
    add({});
    await manager.start();
    await manager.drain();
  });

  test("connection limits, of the listener and of the process, turn connections away", async () => {
    const limited = setUp({ connectionLimit: (name) => (name === "l" ? 1 : undefined) });
    limited.add({});
    await limited.manager.start();
    const first = dial(limited.runtime, 1000, "x");
    const second = dial(limited.runtime, 1000, "x");
    await limited.runtime.settle();
    expect([first.text, second.text]).toEqual(["x", ""]);
    expect(second.isClosed).toBe(true);
    expect(limited.value("listener.127.0.0.1_1000.downstream_cx_overflow")).toBe(1);
    first.connection.destroy();
    await limited.runtime.settle();
    const third = dial(limited.runtime, 1000, "x");
    await limited.runtime.settle();
    expect(third.text).toBe("x");

    const global = setUp({ globalConnectionLimit: 1 });
    global.add({});
    await global.manager.start();
    dial(global.runtime, 1000, "x");
    const refused = dial(global.runtime, 1000, "x");
    await global.runtime.settle();
    expect(refused.isClosed).toBe(true);
    expect(global.value("listener.127.0.0.1_1000.downstream_global_cx_overflow")).toBe(1);
  });
});

/** A terminal filter in the place of the echo, which shows what it is told. */
function probe() {
  const seen = { isDraining: () => false, drained: 0, tables: 0 };
  const factory: NetworkFilterFactory<string> = {
    name: "probe",
    typeUrls: echo.typeUrls,
    isTerminal: true,
    parse: () => ({ value: "routes", problems: [] }),
    create(name, context) {
      context.routes.subscribe(name, () => seen.tables++);
      seen.isDraining = context.isDraining;
      return ({ connection }) => ({
        onNewConnection() {
          connection.handler = { onData: (chunk) => void connection.write(Buffer.from(chunk)), onClose() {} };
          return "continue";
        },
        drain: () => seen.drained++,
      });
    },
  };
  return { seen, filters: createNetworkFilterRegistry([factory]) };
}

describe("what filters of a listener are told", () => {
  test("X-61: a listener warms until its routes are there, and gives them up when it goes", async () => {
    const { seen, filters } = probe();
    const answers: ((table: RouteTable) => void)[] = [];
    let closed = 0;
    const { manager, add } = setUp({
      filters,
      routes: {
        subscribe: (name, onUpdate) => {
          expect(name).toBe("routes");
          answers.push(onUpdate);
          return { close: () => closed++ };
        },
      },
    });
    add({});
    await manager.start();
    expect(manager.listeners()).toMatchObject([{ state: "warming" }]);
    answers[0]?.({} as RouteTable);
    expect(manager.listeners()).toMatchObject([{ state: "active" }]);
    answers[0]?.({} as RouteTable);
    expect(seen.tables).toBe(2);
    manager.remove("l");
    expect(closed).toBe(1);
  });

  test("X-65: a gradual drain asks more and more responses to be the last", async () => {
    const { seen, filters } = probe();
    const { runtime, manager, add } = setUp({ filters, drainTimeMs: 10_000 });
    add({});
    await manager.start();
    dial(runtime, 1000, "x");
    await runtime.settle();
    const share = (): number => Array.from({ length: 1000 }, () => seen.isDraining()).filter(Boolean).length / 1000;
    expect(share()).toBe(0);
    manager.remove("l");
    await runtime.advance(2500);
    const early = share();
    await runtime.advance(5000);
    const late = share();
    expect(early).toBeGreaterThan(0.15);
    expect(early).toBeLessThan(0.35);
    expect(late).toBeGreaterThan(0.65);
    expect(late).toBeLessThan(0.85);
    expect(seen.drained).toBe(0);
  });

  test("X-65: an immediate drain makes every response the last, and tells each connection", async () => {
    const { seen, filters } = probe();
    const { runtime, manager, add } = setUp({ filters });
    add({});
    await manager.start();
    dial(runtime, 1000, "x");
    await runtime.settle();
    void manager.drain();
    expect(seen.isDraining()).toBe(true);
    expect(seen.drained).toBe(1);
    manager.close();
  });
});

describe("listener", () => {
  const log = {
    name: "f",
    typedConfig: { "@type": `${TYPE}/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog` },
  };

  test("R-117: without a chain that fits the connection is closed, counted and logged with NR", async () => {
    const { runtime, manager, add, value, logged } = setUp();
    add({ filterChains: [{ filterChainMatch: { destinationPort: 9 }, filters: [ECHO] }], accessLog: [log] });
    await manager.start();
    const client = dial(runtime, 1000, "x");
    await runtime.settle();
    expect(client.isClosed).toBe(true);
    expect(value("listener.127.0.0.1_1000.no_filter_chain_match")).toBe(1);
    expect(logged).toMatchObject([{ flags: ResponseFlag.NoRouteFound, responseCodeDetails: "filter_chain_not_found" }]);
  });

  test("R-117: the default chain takes what no other takes; listener logs are written at the end", async () => {
    const { runtime, manager, add, logged } = setUp();
    add({
      filterChains: [{ filterChainMatch: { destinationPort: 9 }, filters: [ECHO] }],
      defaultFilterChain: { name: "rest", filters: [say("default")] },
      accessLog: [log],
    });
    await manager.start();
    const client = dial(runtime, 1000);
    await runtime.settle();
    expect(client.text).toBe("default");
    client.connection.end();
    await runtime.settle();
    expect(logged).toMatchObject([{ filterChainName: "rest", bytesSent: 7, flags: 0 }]);
  });

  test("R-119: listener_filters_timeout closes, or goes on where that is asked", async () => {
    const { runtime, manager, add, value } = setUp();
    add({ listenerFilters: [TLS_INSPECTOR], listenerFiltersTimeout: "2s" });
    add({
      name: "patient",
      address: address(1001),
      listenerFilters: [TLS_INSPECTOR],
      listenerFiltersTimeout: "2s",
      continueOnListenerFiltersTimeout: true,
      filterChains: [{ filters: [say("welcome")] }],
    });
    add({ name: "endless", address: address(1002), listenerFilters: [TLS_INSPECTOR], listenerFiltersTimeout: "0s" });
    await manager.start();
    const closed = dial(runtime, 1000);
    const patient = dial(runtime, 1001);
    const endless = dial(runtime, 1002);
    await runtime.advance(1900);
    expect(closed.isClosed).toBe(false);
    expect(value("listener.127.0.0.1_1000.downstream_pre_cx_active")).toBe(1);
    await runtime.advance(200);
    expect(closed.isClosed).toBe(true);
    expect(value("listener.127.0.0.1_1000.downstream_pre_cx_timeout")).toBe(1);
    expect(value("listener.127.0.0.1_1000.downstream_pre_cx_active")).toBe(0);
    expect(patient.text).toBe("welcome");
    await runtime.advance(3_600_000);
    expect(endless.isClosed).toBe(false);
  });

  test("a client that leaves while it is looked at is counted", async () => {
    const { runtime, manager, add, value } = setUp();
    add({ listenerFilters: [HTTP_INSPECTOR] });
    await manager.start();
    const client = dial(runtime, 1000, "GET ");
    await runtime.settle();
    client.connection.end();
    await runtime.settle();
    expect(client.isClosed).toBe(true);
    expect(value("listener.127.0.0.1_1000.downstream_listener_filter_remote_close")).toBe(1);
    expect(value("listener.127.0.0.1_1000.downstream_pre_cx_active")).toBe(0);
  });

  test("R-120: what the inspectors found chooses the chain, and no byte is lost", async () => {
    const { runtime, manager, add } = setUp();
    add({
      listenerFilters: [TLS_INSPECTOR, HTTP_INSPECTOR],
      filterChains: [
        { filterChainMatch: { transportProtocol: "raw_buffer", applicationProtocols: ["http/1.1"] }, filters: [ECHO] },
        { filterChainMatch: { transportProtocol: "raw_buffer" }, filters: [say("tcp")] },
        { filterChainMatch: { transportProtocol: "tls" }, filters: [say("tls")] },
      ],
    });
    await manager.start();
    const http = dial(runtime, 1000, "GET / HT");
    const other = dial(runtime, 1000, "\0\x01\x02");
    await runtime.settle();
    http.connection.write("TP/1.1\r\nhost: a\r\n\r\n");
    await runtime.settle();
    expect(http.text).toBe("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    expect(other.text).toBe("tcp");
  });

  test("filter_disabled switches an inspector off for the ports that it names", async () => {
    const { runtime, manager, add } = setUp();
    const disabled = (start: number, end: number) => ({
      ...TLS_INSPECTOR,
      filterDisabled: {
        orMatch: { rules: [{ destinationPortRange: { start, end } }, { notMatch: { anyMatch: true } }] },
      },
    });
    add({ listenerFilters: [disabled(1000, 1001)], filterChains: [{ filters: [say("first")] }] });
    add({
      name: "b",
      address: address(1001),
      listenerFilters: [disabled(1000, 1001)],
      filterChains: [{ filters: [say("first")] }],
    });
    await manager.start();
    const silent = dial(runtime, 1000);
    const waiting = dial(runtime, 1001);
    await runtime.settle();
    expect(silent.text).toBe("first");
    expect(waiting.text).toBe("");
  });

  test("R-116: a redirected connection is handed to the listener of its destination, or of its port", async () => {
    const destinations: SocketAddress[] = [];
    const { runtime, manager, add } = setUp({ originalDestination: () => destinations.shift() });
    add({
      name: "virtualOutbound",
      address: address(15001),
      useOriginalDst: true,
      listenerFilters: [ORIGINAL_DST],
      filterChains: [{ filters: [say("outbound")] }],
    });
    add({
      name: "vip",
      address: address(80, "10.96.0.11"),
      bindToPort: false,
      filterChains: [{ filters: [say("vip")] }],
    });
    add({
      name: "port",
      address: address(80, "0.0.0.0"),
      bindToPort: false,
      filterChains: [{ filters: [say("port")] }],
    });
    await manager.start();
    const said: string[] = [];
    for (const [ip, port] of [
      ["10.96.0.11", 80],
      ["10.96.0.12", 80],
      ["10.96.0.11", 81],
    ] as const) {
      destinations.push({ kind: "ip", address: ip, port });
      const client = dial(runtime, 15_001);
      await runtime.settle();
      said.push(client.text);
    }
    expect(said).toEqual(["vip", "port", "outbound"]);
    const direct = dial(runtime, { kind: "ip", address: "10.96.0.11", port: 80 });
    await runtime.settle();
    expect(direct.error).toMatchObject({ code: "ECONNREFUSED" });
  });

  test("the restored destination is what filter chains match on", async () => {
    const { runtime, manager, add } = setUp({
      originalDestination: () => ({ kind: "ip", address: "10.1.2.3", port: 9080 }),
    });
    add({
      address: address(15006),
      listenerFilters: [ORIGINAL_DST],
      filterChains: [
        { filterChainMatch: { destinationPort: 15006 }, filters: [say("blackhole")] },
        { filterChainMatch: { destinationPort: 9080 }, filters: [say("workload")] },
      ],
    });
    await manager.start();
    const client = dial(runtime, 15_006);
    await runtime.settle();
    expect(client.text).toBe("workload");
  });

  test("transport_socket_connect_timeout ends a handshake that does not come", async () => {
    const { runtime, manager, add, secrets, value } = setUp();
    secrets.set("default", ca.workload("spiffe://cluster.local/ns/a/sa/b"));
    add({
      filterChains: [
        {
          filters: [ECHO],
          transportSocketConnectTimeout: "15s",
          transportSocket: {
            name: "tls",
            typedConfig: {
              "@type": `${TYPE}/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
              commonTlsContext: { tlsCertificateSdsSecretConfigs: [{ name: "default", sdsConfig: { ads: {} } }] },
            },
          },
        },
      ],
    });
    await manager.start();
    const client = dial(runtime, 1000);
    await runtime.advance(14_000);
    expect(client.isClosed).toBe(false);
    await runtime.advance(2000);
    expect(client.isClosed).toBe(true);
    expect(value("listener.127.0.0.1_1000.downstream_cx_transport_socket_connect_timeout")).toBe(1);
    expect(value("listener.127.0.0.1_1000.downstream_cx_active")).toBe(0);
  });
});

describe("Listener → model", () => {
  const { add } = setUp();
  test.each([
    ["no filter chains", { filterChains: [] }, "filter_chains"],
    [
      "an unknown network filter",
      {
        filterChains: [
          {
            filters: [
              {
                name: "x",
                typedConfig: { "@type": `${TYPE}/envoy.extensions.filters.network.rbac.v3.RBAC`, statPrefix: "p" },
              },
            ],
          },
        ],
      },
      "filter_chains[0].filters[0].typed_config",
    ],
    [
      "a terminal filter that is not the last",
      { filterChains: [{ filters: [ECHO, ECHO] }] },
      "filter_chains[0].filters[0].name",
    ],
    [
      "R-118: two chains with equal matches",
      {
        filterChains: [
          { name: "a", filters: [ECHO] },
          { name: "b", filters: [ECHO] },
        ],
      },
      "filter_chains[1].filter_chain_match",
    ],
    [
      "a partial wildcard",
      { filterChains: [{ filterChainMatch: { serverNames: ["a*.com"] }, filters: [ECHO] }] },
      "filter_chains[0].filter_chain_match.server_names",
    ],
    ["a host name as address", { address: address(80, "localhost") }, "address.socket_address.address"],
    [
      "original_src",
      {
        listenerFilters: [
          {
            name: "pp",
            typedConfig: { "@type": `${TYPE}/envoy.extensions.filters.listener.original_src.v3.OriginalSrc` },
          },
        ],
      },
      "listener_filters[0].typed_config",
    ],
    ["UDP", { udpListenerConfig: {} }, "udp_listener_config"],
    ["a field that nobody reads", { tcpKeepalive: { keepaliveProbes: 3 } }, "tcp_keepalive"],
  ])("refuses %s, with its path", (_, json, path) => {
    const { problems } = add({ name: "bad", ...json });
    expect(problems).toMatchObject([{ level: "error", path, object: "listener bad" }]);
  });
});
