/** The connection manager with HTTP/2 on either side: bridging, drains, limits, what is logged. */
import { describe, expect, test } from "vitest";
import { createHttp2ServerCodec } from "./http2/server-codec.ts";
import { prefaceText } from "./http2/preface.ts";
import { FrameType } from "./http2/frames.ts";
import { HeaderMap } from "./header-map.ts";
import type { StreamEncoder } from "./codec.ts";
import { frame, get, Http2Peer, post, settings, uint32, type Fields } from "./testing/http2-peer.ts";
import { serverDefaults } from "./testing/http2-world.ts";
import { httpWorld, type HttpWorld, type HttpWorldOptions } from "./testing/http-world.ts";
import { RecordingDecoder } from "./testing/recording-decoder.ts";

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

interface World extends HttpWorld {
  readonly peer: Http2Peer;
}

/** A world whose client has said hello in HTTP/2. */
async function world2(options: HttpWorldOptions = {}): Promise<World> {
  const world = await httpWorld(options);
  const client = await world.connect();
  const peer = new Http2Peer(client.connection, world.runtime, false);
  await peer.send(Buffer.from(prefaceText), settings());
  return Object.assign(world, { peer });
}

/** Serves HTTP/2 on port 80 of the upstream host. */
async function serveHttp2(
  world: HttpWorld,
  onStream: (encoder: StreamEncoder, decoder: RecordingDecoder) => void,
): Promise<RecordingDecoder[]> {
  const seen: RecordingDecoder[] = [];
  const address = { kind: "ip", address: "10.0.0.2", port: 80 } as const;
  await world.runtime.at("10.0.0.2").network.listen({ address }, (connection) => {
    const codec = createHttp2ServerCodec(
      connection,
      {
        onStream: (encoder) => {
          const decoder = new RecordingDecoder();
          seen.push(decoder);
          queueMicrotask(() => onStream(encoder, decoder));
          return decoder;
        },
        onProtocolError() {},
      },
      { ...serverDefaults, allowConnect: true },
    );
    connection.handler = {
      onData: (c) => codec.onData(c),
      onDrain: () => codec.onDrain(),
      onClose: () => codec.onClose(),
    };
  });
  return seen;
}

const lines = (frames: readonly string[]): string[] =>
  frames.map((line) =>
    line.replaceAll(
      / (date|server|x-envoy-[\w-]+|x-request-id|x-forwarded-\w+)=(Sat|Sun|Mon|Tue|Wed|Thu|Fri), [^=]*GMT| (server|x-envoy-[\w-]+|x-request-id|x-forwarded-\w+)=\S+/g,
      "",
    ),
  );

describe("HTTP/2 in, HTTP/1.1 out", () => {
  test("a request and its response", async () => {
    const world = await world2();
    await world.serve(80, () => ok);
    const seen = await world.peer.send(world.peer.headers(1, [...get, ["cookie", "a=1"], ["cookie", "b=2"]]));
    expect(lines(seen)).toEqual(["HEADERS 1 :status=200 content-length=2", "DATA 1 2 END hi"]);
    expect(world.upstreamRequests[0]).toMatch(/^GET \/ HTTP\/1.1\r\nhost: a\r\n/);
    expect(world.upstreamRequests[0]).toContain("cookie: a=1; b=2\r\n");
    expect(world.log).toEqual(["200 - via_upstream"]);
    expect([
      world.counter("http.in.downstream_rq_http2_total"),
      world.counter("http.in.downstream_cx_http2_total"),
    ]).toEqual([1, 1]);
  });

  test("a body without length is chunked; trailers end it", async () => {
    const world = await world2();
    await world.serve(80, () => ok);
    await world.peer.send(
      world.peer.headers(1, post, 4),
      world.peer.data(1, "abc", 0),
      world.peer.headers(1, [["t", "1"]]),
    );
    expect(world.upstreamRequests[0]).toMatch(/transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n$/);
  });

  test("an extended CONNECT becomes an upgrade, its 101 a 200, then bytes go both ways (R-104)", async () => {
    const world = await world2({
      manager: { upgrade_configs: [{ upgrade_type: "websocket" }], http2_protocol_options: { allow_connect: true } },
    });
    await world.serve(
      80,
      () => "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello",
    );
    const connect: Fields = [[":method", "CONNECT"], [":protocol", "websocket"], ...get.slice(1)];
    const seen = await world.peer.send(world.peer.headers(1, connect, 4));
    expect(lines(seen)).toEqual(["HEADERS 1 :status=200", "DATA 1 5 hello"]);
    expect(world.upstreamRequests[0]).toMatch(/^GET \/ HTTP\/1.1\r\n[^]*upgrade: websocket\r\n/);
  });

  test("many streams at once, each with its own upstream connection", async () => {
    const world = await world2();
    await world.serve(
      80,
      (request) => `HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n/${/GET \/(\d)/.exec(request)?.[1]}`,
    );
    const ids = [1, 3, 5, 7, 9];
    const path = (id: number): Fields => get.map(([n, v]) => [n, n === ":path" ? `/${id}` : v]);
    const seen = await world.peer.send(...ids.map((id) => world.peer.headers(id, path(id))));
    expect(seen.filter((line) => line.startsWith("DATA")).toSorted((a, b) => a.localeCompare(b))).toEqual(
      ids.map((id) => `DATA ${id} 2 END /${id}`),
    );
  });
});

describe("HTTP/2 out", () => {
  const clusters = [{ name: "up", protocol: "http2" as const }];

  test("HTTP/2 in: bodies and trailers both ways, as gRPC has them", async () => {
    const world = await world2({ clusters });
    const seen = await serveHttp2(world, (encoder) => {
      encoder.sendHeaders(HeaderMap.of({ ":status": "200", "content-type": "application/grpc" }), false);
      encoder.sendData("answer", false);
      encoder.sendTrailers(HeaderMap.of({ "grpc-status": "0" }));
    });
    const head: Fields = [...post, ["te", "trailers"], ["content-type", "application/grpc"]];
    const frames = await world.peer.send(world.peer.headers(1, head, 4), world.peer.data(1, "question", 1));
    expect(lines(frames)).toEqual([
      "HEADERS 1 :status=200 content-type=application/grpc",
      "DATA 1 6 answer",
      "HEADERS 1 grpc-status=0 END",
    ]);
    expect(seen[0]?.events[0]).toContain('["te","trailers"]');
    expect(seen[0]?.events[1]).toBe('body "question" end');
  });

  test("HTTP/1.1 in", async () => {
    const world = await httpWorld({ clusters });
    await serveHttp2(world, (encoder) => {
      encoder.sendHeaders(HeaderMap.of({ ":status": "200" }), false);
      encoder.sendData("hi", true);
    });
    const answer = await world.exchange("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    expect(answer).toMatch(/^HTTP\/1.1 200 OK\r\n[^]*transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n$/);
  });

  test("an upgrade goes out as extended CONNECT (R-104)", async () => {
    const world = await httpWorld({ clusters, manager: { upgrade_configs: [{ upgrade_type: "websocket" }] } });
    const seen = await serveHttp2(world, (encoder) => {
      encoder.sendHeaders(HeaderMap.of({ ":status": "101" }), false);
      encoder.sendData("from above", false);
    });
    const client = await world.connect();
    const answer = await client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    expect(answer).toMatch(/^HTTP\/1.1 101 Switching Protocols\r\n[^]*upgrade: websocket\r\n[^]*from above$/);
    expect(seen[0]?.events[0]).toContain('[":protocol","websocket"]');
  });

  test("a client that goes away takes its upstream stream with it", async () => {
    const world = await world2({ clusters });
    const seen = await serveHttp2(world, () => {});
    await world.peer.send(world.peer.headers(1, get));
    await world.peer.send(frame(FrameType.rstStream, 0, 1, uint32(8)));
    expect(seen[0]?.events.at(-1)).toBe("reset remote reset http2.remote_reset");
    expect(world.log).toEqual(["0 DR http2.remote_reset"]);
  });

  test("a stream that upstream resets before its head is a 503 (§4.1)", async () => {
    const world = await world2({ clusters });
    await serveHttp2(world, (encoder) => encoder.reset("local reset"));
    const seen = await world.peer.send(world.peer.headers(1, get));
    expect(seen[0]).toContain(":status=503");
    expect(world.log).toEqual(["503 UR upstream_reset_before_response_started{remote_reset}"]);
  });

  test("and one after it is broken off", async () => {
    const world = await world2({ clusters });
    await serveHttp2(world, (encoder) => {
      encoder.sendHeaders(HeaderMap.of({ ":status": "200" }), false);
      queueMicrotask(() => encoder.reset("local reset"));
    });
    const seen = await world.peer.send(world.peer.headers(1, get));
    expect(seen.at(-1)).toBe("RST_STREAM 1 internalError");
  });
});

describe("HTTP/2 connections of a connection manager", () => {
  test("a malformed request ends the connection, and is logged (R-100)", async () => {
    const world = await world2();
    const seen = await world.peer.send(world.peer.headers(1, [...get, ["connection", "close"]]));
    expect(seen).toEqual(["GOAWAY 1 protocolError"]);
    expect(world.log).toEqual(["0 DPE http2.invalid.header.field"]);
    expect(world.counter("http.in.downstream_cx_protocol_error")).toBe(1);
    expect(world.counter("http2.rx_messaging_error")).toBe(1);
    expect(world.peer.hasEnded).toBe(true);
    await world.runtime.advance(1100);
    expect(world.counter("http.in.downstream_cx_destroy_local")).toBe(1);
  });

  test.each([
    ["http2_protocol_options", { http2_protocol_options: { override_stream_error_on_invalid_http_message: true } }],
    ["the connection manager", { codec_type: "HTTP2", stream_error_on_invalid_http_message: true }],
  ])("or its stream, where %s says so", async (_where, manager) => {
    const world = await world2({ manager });
    await world.serve(80, () => ok);
    const seen = await world.peer.send(world.peer.headers(1, [...get, ["connection", "close"]]));
    expect(seen).toEqual(["RST_STREAM 1 protocolError"]);
    expect((await world.peer.send(world.peer.headers(3, get))).length).toBe(2);
  });

  test("drains: says so twice, loses nothing, ends", async () => {
    let isDraining = false;
    const world = await world2({ isDraining: () => isDraining });
    await world.serve(80, () => ok);
    expect((await world.peer.send(world.peer.headers(1, get))).length).toBe(2);
    isDraining = true;
    const seen = await world.peer.send(world.peer.headers(3, get));
    expect(seen.slice(0, 2)).toEqual(["GOAWAY 2147483647 noError", "PING drain..."]);
    expect(seen.at(-1)).toBe("DATA 3 2 END hi");
    expect(world.peer.hasEnded).toBe(false);
    const more = await world.peer.send(world.peer.headers(5, get), frame(FrameType.ping, 1, 0, "drain..."));
    expect(more.map((line) => line.slice(0, 8))).toEqual(["GOAWAY 5", "HEADERS ", "DATA 5 2"]);
    expect(world.peer.hasEnded).toBe(true);
    expect(world.counter("http.in.downstream_cx_drain_close")).toBe(1);
  });

  test("drain_timeout bounds the wait for a client that says nothing", async () => {
    const world = await world2({ isDraining: () => true, manager: { drain_timeout: "2s" } });
    await world.serve(80, () => ok);
    await world.peer.send(world.peer.headers(1, get));
    await world.runtime.advance(1900);
    expect(world.peer.hasEnded).toBe(false);
    await world.runtime.advance(200);
    expect(world.peer.hasEnded).toBe(true);
  });

  test("max_requests_per_connection", async () => {
    const world = await world2({ manager: { common_http_protocol_options: { max_requests_per_connection: 2 } } });
    await world.serve(80, () => ok);
    expect((await world.peer.send(world.peer.headers(1, get))).length).toBe(2);
    expect((await world.peer.send(world.peer.headers(3, get)))[0]).toBe("GOAWAY 2147483647 noError");
    expect(world.counter("http.in.downstream_cx_max_requests_reached")).toBe(1);
  });

  test("an idle connection is told to go, then ended", async () => {
    const world = await world2({ manager: { common_http_protocol_options: { idle_timeout: "10s" } } });
    await world.runtime.advance(10_100);
    expect(world.peer.take()).toEqual(["GOAWAY 2147483647 noError", "PING drain..."]);
    expect(await world.peer.send(frame(FrameType.ping, 1, 0, "drain..."))).toEqual(["GOAWAY 0 noError"]);
    expect(world.peer.hasEnded).toBe(true);
    expect(world.counter("http.in.downstream_cx_idle_timeout")).toBe(1);
  });

  test("request_headers_timeout: a head that never ends", async () => {
    const world = await world2({ manager: { request_headers_timeout: "3s" } });
    await world.peer.send(frame(FrameType.headers, 1, 1, world.peer.block(get)));
    await world.runtime.advance(3100);
    expect(world.peer.take()).toEqual(["GOAWAY 0 enhanceYourCalm"]);
    expect(world.counter("http.in.downstream_rq_header_timeout")).toBe(1);
  });

  test("rapid resets are counted and ended", async () => {
    const world = await world2();
    await world.serve(80, () => undefined);
    for (let id = 1; id < 1100; id += 2)
      await world.peer.send(world.peer.headers(id, get), frame(FrameType.rstStream, 0, id, uint32(8)));
    expect(world.peer.hasEnded).toBe(true);
    expect(world.counter("http.in.downstream_rq_too_many_premature_resets")).toBe(1);
  });

  test("options that are not supported are refused by name", async () => {
    await expect(world2({ manager: { http2_protocol_options: { allow_metadata: true } } })).rejects.toThrow(
      "allow_metadata",
    );
    const keepalive = { connection_keepalive: { interval: "30s" } };
    await expect(world2({ manager: { http2_protocol_options: keepalive } })).rejects.toThrow(
      "connection_keepalive.timeout",
    );
  });

  test("connection_keepalive pings the client", async () => {
    const world = await world2({
      manager: {
        http2_protocol_options: {
          connection_keepalive: { interval: "30s", timeout: "5s", interval_jitter: { value: 0 } },
        },
      },
    });
    await world.runtime.advance(30_100);
    expect(world.peer.take()).toEqual(["PING keepaliv"]);
    await world.runtime.advance(5100);
    expect(world.peer.hasEnded).toBe(true);
    expect(world.counter("http2.keepalive_timeout")).toBe(1);
  });
});
