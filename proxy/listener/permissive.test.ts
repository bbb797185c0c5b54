/** One port for mutual TLS and plaintext, over real sockets. */
import tls from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import type { Connection, SocketAddress } from "#lib/connection.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import type { Message } from "@bufbuild/protobuf";
import { builtInNetworkFilters } from "../network/built-in.ts";
import { createNetworkFilterRegistry } from "../network/registry.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { testAuthority } from "../tls/node-test-identities.ts";
import { createTransportFactory } from "../tls/transport-factory.ts";
import { createListenerManager } from "./listener-manager.ts";
import type { ListenerManager } from "./types.ts";

const ca = testAuthority();
const server = ca.workload("spiffe://cluster.local/ns/default/sa/server");
const client = ca.workload("spiffe://cluster.local/ns/default/sa/client");
const TYPE = "type.googleapis.com/envoy.extensions";
const say = (text: string) => ({
  name: "say",
  typedConfig: { "@type": `${TYPE}.filters.network.direct_response.v3.Config`, response: { inlineString: text } },
});
const ECHO = { name: "echo", typedConfig: { "@type": `${TYPE}.filters.network.echo.v3.Echo` } };
const MTLS = {
  name: "tls",
  typedConfig: {
    "@type": `${TYPE}.transport_sockets.tls.v3.DownstreamTlsContext`,
    requireClientCertificate: true,
    commonTlsContext: {
      alpnProtocols: ["istio-peer-exchange", "h2", "http/1.1"],
      tlsCertificates: [
        {
          certificateChain: { inlineString: server.certificateChain },
          privateKey: { inlineString: server.privateKey },
        },
      ],
      validationContext: {
        trustedCa: { inlineString: ca.rootPem },
        matchSubjectAltNames: [{ prefix: "spiffe://cluster.local/" }],
      },
    },
  },
};

const managers: ListenerManager[] = [];
afterEach(() => {
  for (const manager of managers.splice(0)) manager.close();
});

async function listen(json: Record<string, unknown>): Promise<SocketAddress & { kind: "ip" }> {
  const runtime = nodeRuntime({ writeLog() {} });
  const scope = createStatsStore().root;
  const manager = createListenerManager({
    runtime,
    scope,
    node: { id: "n", cluster: "c", metadata: {}, locality: { region: "", zone: "", subZone: "" } },
    clusters: { get: () => undefined },
    transports: createTransportFactory({ runtime, secrets: { subscribe: () => ({ close() {} }) }, scope }),
    filters: createNetworkFilterRegistry(builtInNetworkFilters),
    routes: { subscribe: () => ({ close() {} }) },
    accessLogs: { logger: () => undefined },
    drainTimeMs: 1000,
  });
  managers.push(manager);
  const { value } = messageFromJson("envoy.config.listener.v3.Listener", {
    name: "l",
    address: { socketAddress: { address: "127.0.0.1", portValue: 0 } },
    ...json,
  });
  expect(manager.addOrUpdate(value as Message, "1", { dynamic: true }).problems).toEqual([]);
  expect(await manager.start()).toEqual([]);
  const address = manager.listeners()[0]?.addresses[0];
  if (address?.kind !== "ip") throw new Error("not bound");
  return address;
}

/** What comes back over TLS, or the error. */
async function talkTls(address: { port: number }, options: tls.ConnectionOptions, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = tls.connect({
      host: "127.0.0.1",
      port: address.port,
      ca: ca.rootPem,
      checkServerIdentity: () => undefined,
      ...options,
    });
    socket.on("secureConnect", () => socket.write(text));
    socket.on("data", (chunk: Buffer) => {
      resolve(chunk.toString());
      socket.destroy();
    });
    socket.on("error", (error) => resolve(`error: ${error.message}`));
    socket.on("close", () => resolve("closed"));
  });
}

async function talkPlain(address: SocketAddress, text: string): Promise<string> {
  const runtime = nodeRuntime({ writeLog() {} });
  return new Promise((resolve) => {
    const connection: Connection = runtime.network.connect(
      { address },
      {
        onConnect: () => void connection.write(text),
        onData: (chunk) => {
          resolve(chunk.toString("latin1"));
          connection.destroy();
        },
        onClose: () => resolve("closed"),
      },
    );
  });
}

describe("PERMISSIVE on one port", () => {
  const permissive = {
    listenerFilters: [
      { name: "tls", typedConfig: { "@type": `${TYPE}.filters.listener.tls_inspector.v3.TlsInspector` } },
    ],
    filterChains: [
      {
        name: "mtls",
        filterChainMatch: { transportProtocol: "tls", applicationProtocols: ["istio", "istio-http/1.1"] },
        transportSocket: MTLS,
        filters: [ECHO],
      },
      { name: "plain", filterChainMatch: { transportProtocol: "raw_buffer" }, filters: [say("plaintext")] },
      { name: "passthrough", filterChainMatch: { transportProtocol: "tls" }, filters: [ECHO] },
    ],
  };
  const identity = { cert: client.certificateChain, key: client.privateKey };

  test("a peer of the mesh gets mutual TLS", async () => {
    const address = await listen(permissive);
    expect(
      await talkTls(address, { ...identity, ALPNProtocols: ["istio-http/1.1", "istio", "http/1.1"] }, "hello"),
    ).toBe("hello");
  });

  test("a peer of the mesh without a certificate is refused", async () => {
    const address = await listen(permissive);
    const answer = await talkTls(address, { ALPNProtocols: ["istio"] }, "hello");
    expect(answer).toMatch(/certificate required|closed/);
  });

  test("plaintext goes to the plaintext chain", async () => {
    const address = await listen(permissive);
    expect(await talkPlain(address, "GET / HTTP/1.1\r\n\r\n")).toBe("plaintext");
  });

  test("other TLS passes as it is, from its first byte on", async () => {
    const address = await listen(permissive);
    const hello = Buffer.from([
      22,
      3,
      1,
      0,
      45,
      1,
      0,
      0,
      41,
      3,
      3,
      ...Array.from({ length: 32 }, () => 7),
      0,
      0,
      2,
      0x13,
      1,
      1,
      0,
    ]);
    expect(await talkPlain(address, hello.toString("latin1"))).toBe(hello.toString("latin1"));
  });

  test("STRICT has no chain for plaintext: the connection is closed", async () => {
    const address = await listen({ ...permissive, filterChains: permissive.filterChains.slice(0, 1) });
    expect(await talkPlain(address, "GET / HTTP/1.1\r\n\r\n")).toBe("closed");
  });

  test("without an inspector TLS is terminated straight from the socket", async () => {
    const address = await listen({ filterChains: [{ transportSocket: MTLS, filters: [ECHO] }] });
    expect(await talkTls(address, identity, "hello")).toBe("hello");
    expect(await talkTls(address, { ...identity, ALPNProtocols: ["h2"] }, "again")).toBe("again");
  });

  test("many at once, each with bytes of its own", async () => {
    const address = await listen(permissive);
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        i % 2 === 0
          ? talkTls(address, { ...identity, ALPNProtocols: ["istio"] }, `hello ${i}`)
          : talkPlain(address, `plain ${i}`),
      ),
    );
    expect(answers).toEqual(Array.from({ length: 30 }, (_, i) => (i % 2 === 0 ? `hello ${i}` : "plaintext")));
  });
});
