import { describe, expect, test } from "vitest";
import tls from "node:tls";
import { Duplex } from "node:stream";
import { createStatsStore } from "../observability/stats-store.ts";
import { httpInspector, tlsInspector } from "./inspectors.ts";
import type { AcceptedFacts } from "./listener-filters.ts";

function newFacts(): AcceptedFacts {
  const address = { kind: "ip", address: "127.0.0.1", port: 1 } as const;
  return {
    localAddress: address,
    isLocalAddressRestored: false,
    remoteAddress: address,
    transportProtocol: "",
    serverName: "",
    applicationProtocols: [],
    directRemoteAddress: address,
    filterState: new Map(),
    dynamicMetadata: new Map(),
    setMetadata: () => {},
    readdress: () => {},
  };
}

/** What OpenSSL sends first. */
async function clientHello(options: tls.ConnectionOptions): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({ read() {}, write: (chunk: Buffer) => resolve(chunk) });
    tls.connect({ socket: wire, ...options }).on("error", () => {});
  });
}

function inspector(config = { maxClientHelloBytes: 65_536, closesOnParseError: false }) {
  const store = createStatsStore();
  const filter = tlsInspector(config, store.root);
  const value = (name: string) => store.counters().find((counter) => counter.name === `tls_inspector.${name}`)?.value;
  return { inspect: filter.inspect as NonNullable<typeof filter.inspect>, value };
}

describe("envoy.filters.listener.tls_inspector", () => {
  test("R-120: sets server name, ALPN and transport protocol", async () => {
    const hello = await clientHello({ servername: "A.Example.com", ALPNProtocols: ["istio", "h2"] });
    const { inspect, value } = inspector();
    const facts = newFacts();
    expect(inspect(hello, facts)).toBe("done");
    expect(facts).toMatchObject({
      transportProtocol: "tls",
      serverName: "a.example.com",
      applicationProtocols: ["istio", "h2"],
    });
    expect([value("tls_found"), value("sni_found"), value("alpn_found")]).toEqual([1, 1, 1]);
  });

  test("a client that says neither is TLS all the same", async () => {
    const { inspect, value } = inspector();
    const facts = newFacts();
    expect(inspect(await clientHello({}), facts)).toBe("done");
    expect(facts).toMatchObject({ transportProtocol: "tls", serverName: "", applicationProtocols: [] });
    expect([value("sni_not_found"), value("alpn_not_found")]).toEqual([1, 1]);
  });

  test("a hello may come byte by byte", async () => {
    const hello = await clientHello({ servername: "a.test" });
    const { inspect } = inspector();
    for (let length = 1; length < hello.length; length++)
      expect(inspect(hello.subarray(0, length), newFacts()), `${length}`).toBe("more");
    expect(inspect(hello, newFacts())).toBe("done");
  });

  test("a hello may be spread over records", async () => {
    const hello = await clientHello({ servername: "a.test", ALPNProtocols: ["h2"] });
    const body = hello.subarray(5);
    const pieces: Buffer[] = [];
    for (let at = 0; at < body.length; at += 50) {
      const piece = body.subarray(at, at + 50);
      pieces.push(Buffer.from([22, 3, 1, piece.length >> 8, piece.length & 0xff]), piece);
    }
    const facts = newFacts();
    expect(inspector().inspect(Buffer.concat(pieces), facts)).toBe("done");
    expect(facts).toMatchObject({ serverName: "a.test", applicationProtocols: ["h2"] });
  });

  test.each([
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n")],
    ["one byte that is no handshake", Buffer.from([0x15])],
    ["SSL 2", Buffer.from([22, 2, 0, 0, 5])],
  ])("%s is not TLS", (_, bytes) => {
    const { inspect, value } = inspector();
    const facts = newFacts();
    expect(inspect(bytes, facts)).toBe("done");
    expect(facts.transportProtocol).toBe("");
    expect(value("tls_not_found")).toBe(1);
  });

  test("a hello whose lengths do not fit is not TLS, or closed where that is asked", async () => {
    const broken = Buffer.from(await clientHello({ servername: "a.test" }));
    broken[5 + 4 + 34] = 0xff;
    const facts = newFacts();
    expect(inspector().inspect(broken, facts)).toBe("done");
    expect(facts.transportProtocol).toBe("");
    expect(inspector({ maxClientHelloBytes: 65_536, closesOnParseError: true }).inspect(broken, newFacts())).toBe(
      "close",
    );
  });

  test("a hello that does not end is closed", () => {
    const { inspect, value } = inspector({ maxClientHelloBytes: 1000, closesOnParseError: false });
    const endless = Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc]), Buffer.alloc(1000)]);
    expect(inspect(endless.subarray(0, 900), newFacts())).toBe("more");
    expect(inspect(endless, newFacts())).toBe("close");
    expect(value("client_hello_too_large")).toBe(1);
  });

  test("a server name that could forge a log line is none", async () => {
    const hello = Buffer.from(await clientHello({ servername: "a.test" }));
    hello.write("\n", hello.indexOf("a.test"), "latin1");
    expect(inspector({ maxClientHelloBytes: 65_536, closesOnParseError: true }).inspect(hello, newFacts())).toBe(
      "close",
    );
  });
});

describe("envoy.filters.listener.http_inspector", () => {
  const inspectHttp = (text: string, given: Partial<AcceptedFacts> = {}) => {
    const store = createStatsStore();
    const facts = { ...newFacts(), ...given };
    const result = httpInspector(store.root).inspect?.(Buffer.from(text, "latin1"), facts);
    const counted = store
      .counters()
      .filter(({ value }) => value > 0)
      .map(({ name }) => name);
    return { result, protocols: facts.applicationProtocols, counted };
  };

  test.each([
    ["GET / HTTP/1.1\r\n", ["http/1.1"], "http11_found"],
    ["POST /a?b HTTP/1.0\r\nhost: x", ["http/1.0"], "http10_found"],
    ["X-METHOD * HTTP/1.1\n", ["http/1.1"], "http11_found"],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ["h2c"], "http2_found"],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", ["h2c"], "http2_found"],
    ["SSH-2.0-OpenSSH\r\n", [], "http_not_found"],
    ["GET / HTTP/2.0\r\n", [], "http_not_found"],
    ["\0\x01\x02", [], "http_not_found"],
    ["hello world\r\n", [], "http_not_found"],
  ])("R-120: %j", (text, protocols, counter) => {
    expect(inspectHttp(text)).toEqual({ result: "done", protocols, counted: [`http_inspector.${counter}`] });
  });

  test.each(["G", "GET ", "GET /a/long/path", "PRI * HTTP/2.0\r\n", "P"])("%j may become something", (text) => {
    expect(inspectHttp(text)).toEqual({ result: "more", protocols: [], counted: [] });
  });

  test("TLS is not looked into", () => {
    expect(inspectHttp("GET / HTTP/1.1\r\n", { transportProtocol: "tls" })).toMatchObject({
      result: "done",
      protocols: [],
    });
  });
});
