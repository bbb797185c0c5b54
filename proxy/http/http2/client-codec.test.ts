import { describe, expect, test } from "vitest";
import type { StreamEncoder } from "../codec.ts";
import { HeaderMap } from "../header-map.ts";
import { frame, get, settings, uint32, type Fields } from "../testing/http2-peer.ts";
import { clientWorld, type ClientWorld } from "../testing/http2-world.ts";
import { RecordingDecoder } from "../testing/recording-decoder.ts";
import { FrameType, Setting } from "./frames.ts";

const request = (changes: Readonly<Record<string, string>> = {}): HeaderMap =>
  HeaderMap.of({ ...Object.fromEntries(get), ...changes });
const ok: Fields = [[":status", "200"]];

interface Asked {
  readonly encoder: StreamEncoder;
  readonly decoder: RecordingDecoder;
}

async function ask(world: ClientWorld, headers: HeaderMap = request(), endStream = true): Promise<Asked> {
  const decoder = new RecordingDecoder();
  const encoder = world.codec.newStream(decoder);
  encoder.sendHeaders(headers, endStream);
  await world.runtime.settle();
  return { encoder, decoder };
}

describe("HTTP/2 client: requests and responses", () => {
  test("says preface, settings and window first, in one write with the first request", async () => {
    const world = await clientWorld({ initialConnectionWindowBytes: 70_000 });
    expect(world.peer.seen).toEqual([]);
    const fresh = await clientWorld();
    await ask(fresh);
    expect(fresh.peer.take()).toEqual(["HEADERS 1 :method=GET :authority=a :scheme=http :path=/ END"]);
  });

  test("a request and its response with trailers, streams counted by odd ids", async () => {
    const world = await clientWorld();
    await ask(world);
    const { encoder, decoder } = await ask(world, request({ ":method": "POST", host: "x", "x-a": "b" }), false);
    encoder.sendData("body", false);
    encoder.sendTrailers(HeaderMap.of({ t: "1" }));
    await world.runtime.settle();
    expect(world.peer.take()).toEqual([
      "HEADERS 1 :method=GET :authority=a :scheme=http :path=/ END",
      "HEADERS 3 :method=POST :authority=a :scheme=http :path=/ x-a=b",
      "DATA 3 4 body",
      "HEADERS 3 t=1 END",
    ]);
    await world.peer.send(
      world.peer.headers(3, [...ok, ["server", "s"]], 4),
      world.peer.data(3, "answer", 0),
      world.peer.headers(3, [["grpc-status", "0"]]),
    );
    expect(decoder.events).toEqual([
      'headers [[":status","200"],["server","s"]]',
      'body "answer"',
      'trailers [["grpc-status","0"]]',
    ]);
    expect(world.ended).toBe(1);
    expect(world.codec.activeStreams).toBe(1);
  });

  test("informational responses come before the final one", async () => {
    const world = await clientWorld();
    const { decoder } = await ask(world);
    await world.peer.send(world.peer.headers(1, [[":status", "103"]], 4), world.peer.headers(1, ok));
    expect(decoder.events).toEqual(["informational 103", 'headers [[":status","200"]] end']);
  });

  test.each([
    ["HEAD", "200"],
    ["GET", "304"],
    ["GET", "204"],
  ])("the response to %s with status %s may name a length and have no body", async (method, status) => {
    const world = await clientWorld();
    const { decoder } = await ask(world, request({ ":method": method }));
    await world.peer.send(
      world.peer.headers(1, [
        [":status", status],
        ["content-length", "10"],
      ]),
    );
    expect(decoder.events.length).toBe(1);
    expect(decoder.events[0]).toContain("end");
  });

  test("an answer before the request is through ends both", async () => {
    const world = await clientWorld();
    const { encoder, decoder } = await ask(world, request({ ":method": "POST" }), false);
    world.peer.take();
    expect(await world.peer.send(world.peer.headers(1, ok))).toEqual(["RST_STREAM 1 cancel"]);
    expect(decoder.events).toEqual(['headers [[":status","200"]] end']);
    expect(encoder.sendData("late", true)).toBe(true);
    await world.runtime.settle();
    expect(world.peer.take()).toEqual([]);
    expect(world.ended).toBe(1);
  });

  test("an upgrade is asked for as extended CONNECT, its 200 is a 101 (R-104)", async () => {
    const world = await clientWorld();
    const { encoder, decoder } = await ask(world, request({ upgrade: "websocket", connection: "upgrade" }), false);
    expect(world.peer.take()).toEqual([
      "HEADERS 1 :method=CONNECT :protocol=websocket :authority=a :scheme=http :path=/",
    ]);
    await world.peer.send(world.peer.headers(1, ok, 4), world.peer.data(1, "in", 1));
    expect(decoder.events).toEqual([
      'headers [[":status","101"],["connection","upgrade"],["upgrade","websocket"]]',
      'body "in" end',
    ]);
    encoder.sendData("out", true);
    await world.runtime.settle();
    expect(world.peer.take()).toEqual(["DATA 1 3 END out"]);
    expect(world.ended).toBe(1);
  });

  test("CONNECT names neither scheme nor path", async () => {
    const world = await clientWorld();
    await ask(world, HeaderMap.of({ ":method": "CONNECT", ":authority": "a:1" }), false);
    expect(world.peer.take()).toEqual(["HEADERS 1 :method=CONNECT :authority=a:1"]);
  });
});

describe("HTTP/2 client: what the server may not do", () => {
  test.each([
    ["a response without status", [["a", "b"]], 4],
    ["a status that is none", [[":status", "20"]], 4],
    ["101", [[":status", "101"]], 4],
    ["an informational response that ends the stream", [[":status", "100"]], 5],
    ["a request", get, 4],
    ["a promised body that does not come", [...ok, ["content-length", "3"]], 5],
    ["a field of HTTP/1.1", [...ok, ["connection", "close"]], 4],
  ] as [string, Fields, number][])("%s", async (_what, fields, flags) => {
    const world = await clientWorld({ streamErrorOnInvalidMessage: true });
    const { decoder } = await ask(world);
    world.peer.take();
    expect(await world.peer.send(world.peer.headers(1, fields, flags))).toEqual(["RST_STREAM 1 protocolError"]);
    expect(decoder.events.at(-1)).toMatch(/^reset protocol error http2\./);
    expect(world.ended).toBe(1);
    const strict = await clientWorld();
    const other = await ask(strict);
    strict.peer.take();
    expect(await strict.peer.send(strict.peer.headers(1, fields, flags))).toEqual(["GOAWAY 0 protocolError"]);
    expect(other.decoder.events.at(-1)).toMatch(/^reset protocol error http2\./);
    expect(strict.errors.length).toBe(1);
  });

  test.each([
    ["PUSH_PROMISE", frame(FrameType.pushPromise, 4, 1, uint32(2)), "protocolError"],
    ["a stream of its own", frame(FrameType.headers, 5, 2, ""), "protocolError"],
    ["HEADERS for a stream that nobody began", frame(FrameType.headers, 5, 7, ""), "protocolError"],
    ["ENABLE_PUSH", settings([Setting.enablePush, 1]), "protocolError"],
    ["a window that is none", settings([Setting.initialWindowSize, 2 ** 31]), "flowControlError"],
    ["a frame size that is none", settings([Setting.maxFrameSize, 1]), "protocolError"],
    ["a header block that is none", frame(FrameType.headers, 4, 1, "\x80"), "compressionError"],
  ])("%s ends the connection", async (_what, bytes, code) => {
    const world = await clientWorld();
    const { decoder } = await ask(world);
    world.peer.take();
    expect(await world.peer.send(bytes)).toEqual([`GOAWAY 0 ${code}`]);
    expect(decoder.events).toEqual(["reset protocol error http2.violation.of.messaging.rule"]);
    expect(world.ended).toBe(1);
  });

  test("headers that are too large cost the stream (R-97)", async () => {
    const world = await clientWorld({ maxHeadersCount: 10 });
    const { decoder } = await ask(world);
    world.peer.take();
    const many: Fields = Array.from({ length: 20 }, (_, i) => [`x-${i}`, "1"]);
    expect(await world.peer.send(world.peer.headers(1, [...ok, ...many]))).toEqual(["RST_STREAM 1 internalError"]);
    expect(decoder.events).toEqual(["reset protocol error http2.too_many_headers"]);
  });
});

describe("HTTP/2 client: ends", () => {
  test.each([
    [7, "reset remote refused stream reset http2.remote_refuse"],
    [10, "reset remote error with CONNECT request http2.remote_reset"],
    [8, "reset remote reset http2.remote_reset"],
    [0, "reset remote reset http2.remote_reset"],
  ])("RST_STREAM with code %i", async (code, event) => {
    const world = await clientWorld();
    const { decoder } = await ask(world);
    await world.peer.send(frame(FrameType.rstStream, 0, 1, uint32(code)));
    expect(decoder.events).toEqual([event]);
    expect(world.ended).toBe(1);
  });

  test("we give a stream up", async () => {
    const world = await clientWorld();
    const { encoder, decoder } = await ask(world);
    world.peer.take();
    encoder.reset("local reset");
    await world.runtime.settle();
    expect(world.peer.take()).toEqual(["RST_STREAM 1 cancel"]);
    expect(await world.peer.send(world.peer.headers(1, ok, 4), world.peer.data(1, "late", 1))).toEqual([]);
    expect(decoder.events).toEqual([]);
    expect(world.ended).toBe(1);
  });

  test("a stream that never began costs nothing", async () => {
    const world = await clientWorld();
    world.codec.newStream(new RecordingDecoder()).reset("local reset");
    await world.runtime.settle();
    expect(world.peer.take()).toEqual([]);
    expect(world.ended).toBe(1);
    expect(world.codec.activeStreams).toBe(0);
  });

  test("GOAWAY: streams that the server will not look at may be tried elsewhere, the others go on", async () => {
    const world = await clientWorld();
    const first = await ask(world);
    const second = await ask(world);
    await world.peer.send(frame(FrameType.goAway, 0, 0, uint32(2 ** 31 - 1, 0)));
    expect(world.codec.isDraining).toBe(true);
    expect(world.goAways).toBe(1);
    expect(world.codec.activeStreams).toBe(2);
    await world.peer.send(frame(FrameType.goAway, 0, 0, uint32(1, 0)));
    expect(second.decoder.events).toEqual(["reset remote refused stream reset http2.remote_refuse"]);
    await world.peer.send(world.peer.headers(1, ok));
    expect(first.decoder.events).toEqual(['headers [[":status","200"]] end']);
    expect(world.goAways).toBe(1);
    expect(world.ended).toBe(2);
  });

  test("the connection goes away: all streams end, those that have not begun too", async () => {
    const world = await clientWorld();
    const { decoder } = await ask(world);
    const waiting = new RecordingDecoder();
    const encoder = world.codec.newStream(waiting);
    world.peer.connection.reset();
    await world.runtime.settle();
    expect(decoder.events).toEqual(["reset connection termination"]);
    expect(waiting.events).toEqual(["reset connection termination"]);
    expect(world.ended).toBe(2);
    encoder.sendHeaders(request(), true);
    expect(world.ended).toBe(2);
  });

  test("the server's limit of streams is told, whenever it changes", async () => {
    const world = await clientWorld({ maxConcurrentStreams: 50 });
    expect(world.codec.maxConcurrentStreams).toBe(50);
    await world.peer.send(settings([Setting.maxConcurrentStreams, 3]));
    expect(world.codec.maxConcurrentStreams).toBe(3);
    await world.peer.send(settings([Setting.maxConcurrentStreams, 100]));
    expect(world.codec.maxConcurrentStreams).toBe(50);
    expect(world.settings).toBe(2);
  });
});

describe("HTTP/2 client: connection_keepalive", () => {
  const keepalive = { intervalMs: 1000, timeoutMs: 300, intervalJitter: 0, idleIntervalMs: 0 };

  test("pings after each interval without a byte, and goes on while it is answered", async () => {
    const world = await clientWorld({ keepalive });
    await world.runtime.advance(1100);
    expect(world.peer.take()).toEqual(["PING keepaliv"]);
    await world.peer.send(frame(FrameType.ping, 1, 0, "keepaliv"));
    await world.runtime.advance(1100);
    expect(world.peer.take()).toEqual(["PING keepaliv"]);
    expect(world.peer.isClosed).toBe(false);
  });

  test("a peer that sends is not asked", async () => {
    const world = await clientWorld({ keepalive });
    for (let i = 0; i < 4; i++) {
      await world.runtime.advance(700);
      await world.peer.send(frame(FrameType.windowUpdate, 0, 0, uint32(1)));
    }
    expect(world.peer.take()).toEqual([]);
  });

  test("ends a connection on which nobody answers", async () => {
    const world = await clientWorld({ keepalive });
    const { decoder } = await ask(world);
    await world.runtime.advance(1500);
    expect(decoder.events).toEqual(["reset connection termination"]);
    expect(world.counter("keepalive_timeout")).toBe(1);
  });

  test("after a long silence a new stream is preceded by a ping", async () => {
    const world = await clientWorld({ keepalive: { ...keepalive, intervalMs: 0, idleIntervalMs: 500 } });
    await world.runtime.advance(600);
    await ask(world);
    expect(world.peer.take()[0]).toBe("PING keepaliv");
  });
});
