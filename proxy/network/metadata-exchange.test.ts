import { describe, expect, test } from "vitest";
import type { Connection, TlsInfo } from "#lib/connection.ts";
import { simulatedRuntime, type SimulatedRuntime } from "#lib/simulated-runtime.ts";
import type { NodeInfo } from "../http/filter.ts";
import { DOWNSTREAM_PEER, UPSTREAM_PEER } from "../observability/peer.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { FilteredConnection } from "./filtered-connection.ts";
import { encodeExchange, MAX_EXCHANGE_BYTES, readExchange } from "./metadata-exchange-codec.ts";
import { createExchangeSide } from "./metadata-exchange.ts";

const CONFIG = { protocol: "istio-peer-exchange", additionalLabels: ["team"] };
const node = (name: string): NodeInfo => ({
  id: `sidecar~10.0.0.1~${name}.default~default.svc.cluster.local`,
  cluster: name,
  metadata: {
    NAME: name,
    NAMESPACE: "default",
    WORKLOAD_NAME: name,
    CLUSTER_ID: "Kubernetes",
    LABELS: { app: name, team: "red", secret: "not sent" },
    SECRET: "not sent",
  },
  locality: { region: "", zone: "", subZone: "" },
});

describe("istio.metadata_exchange on the wire", () => {
  const message = encodeExchange(node("client"), ["team"]);

  test("begins with the magic number and the length of an Any", () => {
    expect(message.readUInt32BE(0)).toBe(0x3d230467);
    expect(message.readUInt32BE(4)).toBe(message.length - 8);
    expect(message.toString("latin1")).toContain("type.googleapis.com/google.protobuf.Struct");
    expect(message.toString("latin1")).toContain("x-envoy-peer-metadata-id");
    expect(message.toString("latin1")).not.toContain("not sent");
  });

  test("is read at whatever place it is cut", () => {
    const all = Buffer.concat([message, Buffer.from("data")]);
    for (let cut = 1; cut < message.length; cut++)
      expect(readExchange(all.subarray(0, cut)), `${cut}`).toEqual({ kind: "more" });
    const reading = readExchange(all);
    expect(reading).toMatchObject({
      kind: "header",
      peer: { name: "client", namespace: "default", workloadName: "client", labels: { app: "client", team: "red" } },
    });
    expect(reading.kind === "header" && reading.rest.toString()).toBe("data");
  });

  test("anything else is data from its first byte on", () => {
    expect(readExchange(Buffer.from("GET /"))).toEqual({ kind: "no-header" });
    expect(readExchange(Buffer.from([0x3d, 0x23, 0x04, 0x68]))).toEqual({ kind: "no-header" });
    expect(readExchange(Buffer.from([0x3d]))).toEqual({ kind: "more" });
  });

  test("a length beyond all reason is not waited for", () => {
    const huge = Buffer.from(message.subarray(0, 8));
    huge.writeUInt32BE(MAX_EXCHANGE_BYTES + 1, 4);
    expect(readExchange(huge)).toEqual({ kind: "no-header" });
  });

  test("a header that can't be read leaves the peer unknown and the data whole", () => {
    const broken = Buffer.from(message);
    broken.fill(0xff, 8);
    const reading = readExchange(Buffer.concat([broken, Buffer.from("data")]));
    expect(reading).toMatchObject({ kind: "header", peer: undefined });
  });
});

/** A client and a server, each behind the exchange if `alpn` is agreed on. */
async function meet(alpn: string | undefined, sides: { client: boolean; server: boolean }) {
  const runtime: SimulatedRuntime = simulatedRuntime();
  const store = createStatsStore();
  const tls = { alpn } as TlsInfo;
  const state = { client: new Map<string, unknown>(), server: new Map<string, unknown>() };
  const text = { client: "", server: "" };
  let server: Connection | undefined;
  await runtime.network.listen({ address: { kind: "ip", address: "127.0.0.1", port: 1 } }, (raw) => {
    Object.assign(raw, { tls });
    server = raw;
    if (sides.server) {
      const side = createExchangeSide(CONFIG, node("server"), store.root);
      const filter = side.start(raw, state.server, DOWNSTREAM_PEER, () => server as Connection);
      if (filter !== undefined) server = new FilteredConnection(raw, [filter]);
    }
    server.handler = { onData: (chunk) => void (text.server += chunk.toString("latin1")), onClose() {} };
  });
  let client: Connection = runtime.network.connect(
    { address: { kind: "ip", address: "127.0.0.1", port: 1 } },
    { onData: (chunk) => void (text.client += chunk.toString("latin1")), onClose() {} },
  );
  await runtime.settle();
  Object.assign(client, { tls });
  if (sides.client) client = createExchangeSide(CONFIG, node("client"), store.root).wrap(client, state.client);
  const value = (name: string): number => store.counters().find((counter) => counter.name === name)?.value ?? 0;
  return { runtime, client, server: server as Connection, state, text, value };
}

describe("istio.metadata_exchange", () => {
  test("both sides learn who the other is, and see only data", async () => {
    const { runtime, client, server, state, text, value } = await meet("istio-peer-exchange", {
      client: true,
      server: true,
    });
    client.write("hello");
    await runtime.settle();
    server.write("world");
    await runtime.settle();
    expect(text).toEqual({ client: "world", server: "hello" });
    expect(state.server.get(DOWNSTREAM_PEER)).toMatchObject({ workloadName: "client" });
    expect(state.client.get(UPSTREAM_PEER)).toMatchObject({ workloadName: "server" });
    expect(value("metadata_exchange.metadata_added")).toBe(2);
    expect(value("metadata_exchange.alpn_protocol_found")).toBe(2);
    client.write(" again");
    await runtime.settle();
    expect(text.server).toBe("hello again");
  });

  test("a server that speaks first is understood", async () => {
    const { runtime, client, server, state, text } = await meet("istio-peer-exchange", { client: true, server: true });
    server.write("220 ready");
    await runtime.settle();
    client.write("EHLO");
    await runtime.settle();
    expect(text).toEqual({ client: "220 ready", server: "EHLO" });
    expect(state.server.get(DOWNSTREAM_PEER)).toMatchObject({ workloadName: "client" });
    expect(state.client.get(UPSTREAM_PEER)).toMatchObject({ workloadName: "server" });
  });

  test("without the ALPN protocol nothing is exchanged", async () => {
    const { runtime, client, state, text, value } = await meet("istio", { client: true, server: true });
    client.write("hello");
    await runtime.settle();
    expect(text.server).toBe("hello");
    expect(state.server.size).toBe(0);
    expect(value("metadata_exchange.alpn_protocol_not_found")).toBe(2);
  });

  test("a peer that does not take part is passed on, and stays unknown", async () => {
    const { runtime, client, state, text, value } = await meet("istio-peer-exchange", { client: false, server: true });
    client.write("hello");
    await runtime.settle();
    expect(text.server).toBe("hello");
    expect(state.server.size).toBe(0);
    expect(value("metadata_exchange.initial_header_not_found")).toBe(1);
    expect(text.client).not.toBe("");
  });

  test("once done, bytes pass without the filter", async () => {
    const { runtime, client, server } = await meet("istio-peer-exchange", { client: true, server: true });
    client.write("a");
    await runtime.settle();
    server.write("b");
    await runtime.settle();
    let isDirect = false;
    const handler = { onData: () => (isDirect = !new Error().stack?.includes("FilteredConnection")), onClose() {} };
    server.handler = handler;
    client.write("c");
    await runtime.settle();
    expect(isDirect).toBe(true);
  });
});
