import { describe, expect, test } from "vitest";
import type { Connection } from "#lib/connection.ts";
import type { Problem } from "#lib/problem.ts";
import { messageFromJson } from "#protos/json.ts";
import { MessageReader } from "#protos/reader.ts";
import type { TcpProxy_TunnelingConfig } from "#protos/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js";
import type { Protocol, StreamDecoder, StreamEncoder } from "../http/codec.ts";
import { HeaderMap } from "../http/header-map.ts";
import { StreamInfo } from "../stream-info.ts";
import type { Cluster, Host, PoolCallbacks } from "../upstream/types.ts";
import { connectTunnel, TUNNEL_HEADERS_STATE } from "./tunnel.ts";
import { parseTunnelingConfig } from "./tunnel-config.ts";

function parse(json: object) {
  const type = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig";
  const read = messageFromJson(type, json);
  if (read.value === undefined) throw new Error(JSON.stringify(read.problems));
  const problems: Problem[] = [];
  const config = parseTunnelingConfig(new MessageReader(read.value as TcpProxy_TunnelingConfig, "t", problems));
  return { config, problems };
}

/** A tunnel whose stream the test answers. */
function setUp(protocol: Protocol, json: object = {}) {
  const { config } = parse({ hostname: "target:443", ...json });
  const heard: string[] = [];
  const sent: string[] = [];
  let decoder: StreamDecoder | undefined;
  const encoder = {
    sendHeaders: ({ method, authority, path }: HeaderMap) => void sent.push(`${method} ${authority} ${path}`),
    sendData: (chunk: Buffer | string, end: boolean) => sent.push(`${chunk.toString()}${end ? "(end)" : ""}`) > 0,
    reset: () => void sent.push("(reset)"),
    setReadDisabled: () => undefined,
    canWrite: true,
  } as unknown as StreamEncoder;
  const carrier = { end: () => void sent.push("(connection end)") } as unknown as Connection;
  const cluster = {
    upstreamProtocol: () => "auto",
    httpPool: () => ({
      newStream(given: StreamDecoder, callbacks: PoolCallbacks) {
        decoder = given;
        callbacks.onPoolReady(encoder, host, carrier, protocol);
      },
    }),
  } as unknown as Cluster;
  const host = { address: { kind: "pipe", path: "/x" } } as Host;
  const info = new StreamInfo();
  info.filterState = new Map();
  const connection = connectTunnel(cluster, host, { priority: "default", protocol: "auto" }, config, info, {
    onConnect: () => void heard.push("connect"),
    onData: (chunk) => void heard.push(chunk.toString()),
    onEnd: () => void heard.push("end"),
    onClose: (error) => void heard.push(`close ${error?.message ?? ""}`),
  });
  const answer = (status: number, endStream = false): void => {
    const headers = new HeaderMap();
    headers.status = status;
    headers.set("x-proxy", "yes");
    decoder?.onHeaders(headers, endStream);
  };
  return { heard, sent, answer, info, connection: connection as Connection, decoder: () => decoder as StreamDecoder };
}

describe("TcpProxy.tunneling_config", () => {
  test("R-122: CONNECT to the host; bytes pass once the proxy has agreed", () => {
    const { heard, sent, answer, connection, decoder } = setUp("HTTP/2");
    answer(200);
    connection.write("one");
    decoder().onData(Buffer.from("two"), false);
    expect(sent).toEqual(["CONNECT target:443 ", "one"]);
    expect(heard).toEqual(["connect", "two"]);
  });

  test.each([
    ["HTTP/1.1", 204, "connect"],
    ["HTTP/1.1", 403, "close tunnel_response:403"],
    ["HTTP/2", 204, "close tunnel_response:204"],
  ] as const)("over %s an answer of %i is: %s", (protocol, status, outcome) => {
    const { heard, answer } = setUp(protocol);
    answer(status);
    expect(heard).toEqual([outcome]);
  });

  test("our end goes out with the stream, and over HTTP/1.1 with the connection", () => {
    for (const [protocol, sign] of [
      ["HTTP/2", []],
      ["HTTP/1.1", ["(connection end)"]],
    ] as const) {
      const { sent, answer, connection } = setUp(protocol);
      answer(200);
      connection.end();
      expect(sent.slice(1)).toEqual(["(end)", ...sign]);
    }
  });

  test("the proxy's end is the tunnel's", () => {
    const { heard, answer, decoder } = setUp("HTTP/2");
    answer(200);
    decoder().onData(Buffer.from("last"), true);
    expect(heard).toEqual(["connect", "last", "end", "close "]);
  });

  test("a tunnel that is given up resets its stream", () => {
    const { sent, heard, connection } = setUp("HTTP/2");
    connection.destroy();
    expect(sent.at(-1)).toBe("(reset)");
    expect(heard).toEqual(["close "]);
  });

  test("POST has a path, and the response's head may be kept", () => {
    const { sent, info, answer } = setUp("HTTP/2", { usePost: true, propagateResponseHeaders: true });
    expect(sent).toEqual(["POST target:443 /"]);
    answer(200);
    expect(info.filterState?.get(TUNNEL_HEADERS_STATE)).toEqual({ ":status": "200", "x-proxy": "yes" });
  });

  test("what is wrong is refused with its place", () => {
    expect(parse({ hostname: "h", postPath: "/p" }).problems).toMatchObject([{ path: "t.post_path" }]);
    expect(parse({ hostname: "%NOPE%" }).problems).toMatchObject([{ path: "t.hostname" }]);
    expect(parse({ hostname: "h", requestIdHeader: "x" }).problems).toMatchObject([
      { code: "unsupported-field", path: "t.request_id_header" },
    ]);
  });
});
