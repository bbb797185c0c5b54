import { describe, expect, test } from "vitest";
import { HeaderMap } from "../header-map.ts";
import { frame, get, post, settings, uint32, type Fields } from "../testing/http2-peer.ts";
import { serverWorld, type ServerWorld } from "../testing/http2-world.ts";
import { FrameType, Setting } from "./frames.ts";
import { prefaceText } from "./preface.ts";

const ok = (): HeaderMap => HeaderMap.of({ ":status": "200" });
const answer = (world: ServerWorld): void => {
  world.onStream = ({ encoder }) => queueMicrotask(() => encoder.sendHeaders(ok(), true));
};
/** Malformed messages cost their stream only: what went wrong can be seen. */
const lenient = { streamErrorOnInvalidMessage: true };

describe("HTTP/2 server: requests and responses", () => {
  test("says its settings first", async () => {
    const world = await serverWorld({ initialConnectionWindowBytes: 100_000 });
    expect(world.peer.seen).toEqual([]);
    const raw = await serverWorld({ initialConnectionWindowBytes: 100_000 }, true);
    await raw.runtime.settle();
    expect(raw.peer.take()).toEqual(["SETTINGS", "WINDOW_UPDATE 0 34465"]);
  });

  test("a request without a body, a response with one", async () => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, [...get, ["accept", "*/*"]]));
    const [stream] = world.streams;
    expect(stream?.decoder.events).toEqual([
      'headers [[":method","GET"],[":path","/"],[":authority","a"],[":scheme","http"],["accept","*/*"]] end',
    ]);
    stream?.encoder.sendHeaders(HeaderMap.of({ ":status": "200", "content-type": "text/plain" }), false);
    stream?.encoder.sendData("hello", false);
    stream?.encoder.sendData(Buffer.from(" you"), true);
    await world.runtime.settle();
    expect(world.peer.take()).toEqual([
      "HEADERS 1 :status=200 content-type=text/plain",
      "DATA 1 5 hello",
      "DATA 1 4 END  you",
    ]);
    expect(world.codec.activeStreams).toBe(0);
  });

  test("a body in parts, with padding, and trailers (R-107)", async () => {
    const world = await serverWorld();
    await world.peer.send(
      world.peer.headers(1, post, 4),
      world.peer.data(1, "one ", 0),
      frame(FrameType.data, 8, 1, "\x02two\0\0"),
      world.peer.headers(1, [["grpc-status", "0"]]),
    );
    expect(world.streams[0]?.decoder.events.slice(1)).toEqual(['body "one two"', 'trailers [["grpc-status","0"]]']);
    expect(world.counter("trailers")).toBe(1);
  });

  test("responses with trailers, and informational ones before them", async () => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, get));
    const encoder = world.streams[0]?.encoder;
    encoder?.sendInformational(HeaderMap.of({ ":status": "103", link: "</x>" }));
    encoder?.sendHeaders(ok(), false);
    encoder?.sendTrailers(HeaderMap.of({ "grpc-status": "5" }));
    await world.runtime.settle();
    expect(world.peer.take()).toEqual([
      "HEADERS 1 :status=103 link=</x>",
      "HEADERS 1 :status=200",
      "HEADERS 1 grpc-status=5 END",
    ]);
  });

  test("everything of one turn is one write", async () => {
    const world = await serverWorld();
    let writes = 0;
    const { connection } = world.peer;
    const { handler } = connection;
    connection.handler = { ...handler, onData: (chunk) => (writes++, handler.onData(chunk)), onClose() {} };
    answer(world);
    await world.peer.send(...[1, 3, 5, 7, 9].map((id) => world.peer.headers(id, get)));
    expect(writes).toBe(1);
  });

  test("a header block longer than a frame goes in several, and comes in several", async () => {
    const world = await serverWorld();
    const big: Fields = Array.from({ length: 9 }, (_, i) => [`x-${i}`, "v".repeat(5000)]);
    const block = world.peer.block([...get, ...big]);
    const parts = [
      frame(FrameType.headers, 1, 1, block.subarray(0, 15_000)),
      frame(FrameType.continuation, 0, 1, block.subarray(15_000, 32_000 - 1000)),
      frame(FrameType.continuation, 4, 1, block.subarray(31_000)),
    ];
    await world.peer.send(...parts);
    expect(world.streams[0]?.decoder.events[0]).toContain('["x-8","vvv');
    const headers = ok();
    for (const [name, value] of big) headers.add(name, value);
    world.streams[0]?.encoder.sendHeaders(headers, true);
    await world.runtime.settle();
    const sizes = world.peer.take().map((line) => line.replace(/ .*:status.*/, ""));
    expect(sizes).toEqual(["HEADERS", "frame 9 1 16384", expect.stringMatching(/^frame 9 1 12\d\d\d$/)]);
  });

  test("crumbs of a cookie are put together", async () => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, [...get, ["cookie", "a=1"], ["x", "y"], ["cookie", "b=2"]]));
    expect(world.streams[0]?.decoder.events[0]).toContain('["cookie","a=1; b=2"],["x","y"]');
  });

  test("host stands in for :authority, and is dropped where both are there", async () => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, [...get.slice(0, 3), ["host", "b"]]));
    await world.peer.send(world.peer.headers(3, [...get, ["host", "b"]]));
    expect(world.streams[0]?.decoder.events[0]).toContain('[":authority","b"]');
    expect(world.streams[1]?.decoder.events[0]).not.toContain('"b"');
  });

  test("an early answer asks the client to stop (R-108)", async () => {
    const world = await serverWorld();
    answer(world);
    expect(await world.peer.send(world.peer.headers(1, post, 4))).toEqual([
      "HEADERS 1 :status=200 END",
      "RST_STREAM 1 noError",
    ]);
    expect(await world.peer.send(world.peer.data(1, "already under way", 0))).toEqual([]);
  });

  test("a PING is answered, PRIORITY and unknown frames are ignored", async () => {
    const world = await serverWorld();
    const seen = await world.peer.send(
      frame(FrameType.ping, 0, 0, "12345678"),
      frame(FrameType.priority, 0, 1, Buffer.from([0, 0, 0, 3, 16])),
      frame(0x42, 0xff, 77, "whatever"),
    );
    expect(seen).toEqual(["PING ACK 12345678"]);
  });
});

describe("HTTP/2 server: extended CONNECT (RFC 8441, R-104)", () => {
  const connect: Fields = [[":method", "CONNECT"], [":protocol", "websocket"], ...get.slice(1)];

  test("is shown as an upgrade, its 101 as 200", async () => {
    const world = await serverWorld({ allowConnect: true });
    await world.peer.send(world.peer.headers(1, connect, 4));
    expect(world.streams[0]?.decoder.events[0]).toBe(
      'headers [[":method","GET"],[":path","/"],[":authority","a"],[":scheme","http"],[":protocol","websocket"],["connection","upgrade"],["upgrade","websocket"]]',
    );
    world.streams[0]?.encoder.sendHeaders(
      HeaderMap.of({ ":status": "101", upgrade: "websocket", connection: "upgrade" }),
      false,
    );
    await world.runtime.settle();
    expect(world.peer.take()).toEqual(["HEADERS 1 :status=200"]);
  });

  test("is refused where it was not allowed", async () => {
    const world = await serverWorld(lenient);
    expect(await world.peer.send(world.peer.headers(1, connect, 4))).toEqual(["RST_STREAM 1 protocolError"]);
  });
});

describe("HTTP/2 server: malformed requests (RFC 9113, 8)", () => {
  const invalid = "reset protocol error http2.invalid.header.field";
  const violation = "reset protocol error http2.violation.of.messaging.rule";
  const without = (name: string): Fields => get.filter(([other]) => other !== name);
  const cases: [string, Fields, string][] = [
    ["a name in upper case", [...get, ["X-Up", "1"]], invalid],
    ["a name with a space", [...get, ["x y", "1"]], invalid],
    ["connection", [...get, ["connection", "close"]], invalid],
    ["keep-alive", [...get, ["keep-alive", "1"]], invalid],
    ["proxy-connection", [...get, ["proxy-connection", "close"]], invalid],
    ["transfer-encoding", [...get, ["transfer-encoding", "chunked"]], invalid],
    ["upgrade", [...get, ["upgrade", "h2c"]], invalid],
    ["te that is not trailers", [...get, ["te", "gzip"]], invalid],
    ["a line feed in a value", [...get, ["x", "a\nb"]], invalid],
    ["NUL in a value", [...get, ["x", "a\0b"]], invalid],
    ["DEL in a value", [...get, ["x", "a\x7fb"]], invalid],
    ["an unknown pseudo header", [...get, [":foo", "1"]], invalid],
    ["a pseudo header after a field", [...without(":path"), ["x", "1"], [":path", "/"]], invalid],
    ["a pseudo header twice", [...get, [":path", "/b"]], invalid],
    ["an empty path", [...without(":path"), [":path", ""]], invalid],
    ["a path that is none", [...without(":path"), [":path", "abc"]], invalid],
    ["* for another method", [...without(":path"), [":path", "*"]], invalid],
    ["a path with a space", [...without(":path"), [":path", "/a b"]], invalid],
    ["a method that is no token", [...without(":method"), [":method", "GET IT"]].toReversed() as Fields, invalid],
    ["an authority with a user", [...without(":authority"), [":authority", "u@a"]], invalid],
    ["an authority with a space", [...without(":authority"), [":authority", "a b"]], invalid],
    ["an authority with a slash", [...without(":authority"), [":authority", "a/b"]], invalid],
    [":status", [...get, [":status", "200"]], invalid],
    ["content-length twice", [...get, ["content-length", "0"], ["content-length", "0"]], invalid],
    ["content-length that is no number", [...get, ["content-length", "+1"]], invalid],
    ["two hosts", [...get, ["host", "a"], ["host", "b"]], invalid],
    ["no method", without(":method"), violation],
    ["no scheme", without(":scheme"), violation],
    ["no path", without(":path"), violation],
    ["no authority", without(":authority"), violation],
    ["CONNECT with a path", [[":method", "CONNECT"], ...get.slice(1)], violation],
    ["a body that was promised and ends with the head", [...get, ["content-length", "1"]], violation],
  ];

  test.each(cases)("%s ends the stream where that is asked for (R-100)", async (_what, fields, event) => {
    const world = await serverWorld(lenient);
    expect(await world.peer.send(world.peer.headers(1, fields))).toEqual(["RST_STREAM 1 protocolError"]);
    expect(world.streams.map(({ decoder }) => decoder.events)).toEqual([[event]]);
    expect(world.counter("rx_messaging_error")).toBe(1);
    answer(world);
    expect(await world.peer.send(world.peer.headers(3, get))).toEqual(["HEADERS 3 :status=200 END"]);
  });

  test("else it ends the connection, every stream of it (R-100)", async () => {
    const world = await serverWorld();
    const seen = await world.peer.send(world.peer.headers(1, get), world.peer.headers(3, [...get, ["te", "gzip"]]));
    expect(seen).toEqual(["GOAWAY 3 protocolError"]);
    expect(world.peer.hasEnded).toBe(true);
    expect(world.errors).toEqual(["http2.invalid.header.field"]);
    expect(world.streams.map(({ decoder }) => decoder.events.at(-1))).toEqual([invalid, invalid]);
  });

  test.each([
    ["more than content-length says", "xx", 1],
    ["less than content-length says", "", 1],
  ])("a body of %s", async (_what, body, length) => {
    const world = await serverWorld(lenient);
    const head = world.peer.headers(1, [...post, ["content-length", String(length)]], 4);
    expect(await world.peer.send(head, world.peer.data(1, body))).toEqual(["RST_STREAM 1 protocolError"]);
    expect(world.streams[0]?.decoder.events.at(-1)).toBe(violation);
  });

  test("trailers before the promised body is complete", async () => {
    const world = await serverWorld(lenient);
    const head = world.peer.headers(1, [...post, ["content-length", "2"]], 4);
    const seen = await world.peer.send(head, world.peer.data(1, "x", 0), world.peer.headers(1, [["a", "b"]]));
    expect(seen).toEqual(["RST_STREAM 1 protocolError"]);
  });

  test.each([
    ["with a pseudo header", [[":path", "/"]], 5],
    ["that do not end the stream", [["a", "b"]], 4],
    ["that frame the body", [["content-length", "1"]], 5],
    ["that name a host", [["host", "b"]], 5],
  ] as [string, Fields, number][])("trailers %s", async (_what, fields, flags) => {
    const world = await serverWorld(lenient);
    const seen = await world.peer.send(world.peer.headers(1, post, 4), world.peer.headers(1, fields, flags));
    expect(seen).toEqual(["RST_STREAM 1 protocolError"]);
  });

  test("too many fields, or too much of them, cost the stream (R-97)", async () => {
    const world = await serverWorld();
    const many: Fields = Array.from({ length: 120 }, (_, i) => [`x-${i}`, "1"]);
    expect(await world.peer.send(world.peer.headers(1, [...get, ...many]))).toEqual(["RST_STREAM 1 internalError"]);
    expect(await world.peer.send(world.peer.headers(3, get))).toEqual([]);
    const small = await serverWorld({ maxRequestHeadersBytes: 1000 });
    const large: Fields = [["x", "v".repeat(2000)]];
    expect(await small.peer.send(small.peer.headers(1, [...get, ...large]))).toEqual(["RST_STREAM 1 internalError"]);
    expect(world.streams[0]?.decoder.events).toEqual(["reset remote reset http2.too_many_headers"]);
    expect(small.streams[0]?.decoder.events).toEqual(["reset remote reset http2.header_list_size_too_large"]);
    expect(world.counter("header_overflow")).toBe(1);
  });

  test("underscores in names: rejected, dropped, or let through (R-90)", async () => {
    const fields: Fields = [...get, ["a_b", "1"]];
    const rejecting = await serverWorld({ headersWithUnderscores: "reject" });
    expect(await rejecting.peer.send(rejecting.peer.headers(1, fields))).toEqual(["RST_STREAM 1 internalError"]);
    expect(rejecting.streams[0]?.decoder.events).toEqual(["reset remote reset http2.unexpected_underscore"]);
    expect(rejecting.counter("requests_rejected_with_underscores_in_headers")).toBe(1);
    const dropping = await serverWorld({ headersWithUnderscores: "drop" });
    await dropping.peer.send(dropping.peer.headers(1, fields));
    expect(dropping.streams[0]?.decoder.events[0]).not.toContain("a_b");
    expect(dropping.counter("dropped_headers_with_underscores")).toBe(1);
    const open = await serverWorld();
    await open.peer.send(open.peer.headers(1, fields));
    expect(open.streams[0]?.decoder.events[0]).toContain("a_b");
  });
});

describe("HTTP/2 server: flow control and back-pressure (R-115)", () => {
  test("sends no more than the windows allow, goes on when they open", async () => {
    const world = await serverWorld();
    await world.peer.send(settings([Setting.initialWindowSize, 10]), world.peer.headers(1, get));
    const stream = world.streams[0];
    stream?.encoder.sendHeaders(ok(), false);
    expect(stream?.encoder.sendData("0123456789abcdef", true)).toBe(true);
    await world.runtime.settle();
    expect(world.peer.take().slice(-2)).toEqual(["HEADERS 1 :status=200", "DATA 1 10 0123456789"]);
    expect(await world.peer.send(frame(FrameType.windowUpdate, 0, 1, uint32(4)))).toEqual(["DATA 1 4 abcd"]);
    expect(await world.peer.send(settings([Setting.initialWindowSize, 12]))).toEqual([
      "SETTINGS ACK",
      "DATA 1 2 END ef",
    ]);
    expect(world.gauge("pending_send_bytes")).toBe(0);
  });

  test("a window may become negative", async () => {
    const world = await serverWorld();
    await world.peer.send(settings([Setting.initialWindowSize, 10]), world.peer.headers(1, get));
    world.streams[0]?.encoder.sendHeaders(ok(), false);
    world.streams[0]?.encoder.sendData("0123456789abcdef", false);
    await world.peer.send(settings([Setting.initialWindowSize, 2]));
    expect(await world.peer.send(frame(FrameType.windowUpdate, 0, 1, uint32(8)))).toEqual([]);
    expect(await world.peer.send(frame(FrameType.windowUpdate, 0, 1, uint32(1)))).toEqual(["DATA 1 1 a"]);
    world.streams[0]?.encoder.sendData("", true);
    expect(await world.peer.send(frame(FrameType.windowUpdate, 0, 1, uint32(50)))).toEqual(["DATA 1 5 END bcdef"]);
  });

  test("trailers wait for the data before them", async () => {
    const world = await serverWorld();
    await world.peer.send(settings([Setting.initialWindowSize, 1]), world.peer.headers(1, get));
    const encoder = world.streams[0]?.encoder;
    encoder?.sendHeaders(ok(), false);
    encoder?.sendData("ab", false);
    encoder?.sendTrailers(HeaderMap.of({ t: "1" }));
    await world.runtime.settle();
    expect(world.peer.take().at(-1)).toBe("DATA 1 1 a");
    expect(await world.peer.send(frame(FrameType.windowUpdate, 0, 1, uint32(1)))).toEqual([
      "DATA 1 1 b",
      "HEADERS 1 t=1 END",
    ]);
  });

  test("whoever sends more than the peer reads is told to stop, and when to go on", async () => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, get));
    const [stream] = world.streams;
    let writable = 0;
    if (stream !== undefined) stream.decoder.onWritable = () => void writable++;
    stream?.encoder.sendHeaders(ok(), false);
    const piece = Buffer.alloc(60_000, "x");
    expect(stream?.encoder.sendData(piece, false)).toBe(true);
    expect(stream?.encoder.sendData(piece, false)).toBe(true);
    expect(stream?.encoder.sendData(piece, false)).toBe(false);
    expect(stream?.encoder.canWrite).toBe(false);
    await world.peer.send(
      frame(FrameType.windowUpdate, 0, 0, uint32(65_535)),
      frame(FrameType.windowUpdate, 0, 1, uint32(65_535)),
    );
    expect(writable).toBe(0);
    await world.peer.send(
      frame(FrameType.windowUpdate, 0, 0, uint32(65_535)),
      frame(FrameType.windowUpdate, 0, 1, uint32(65_535)),
    );
    expect(writable).toBe(1);
    expect(stream?.encoder.canWrite).toBe(true);
  });

  test("streams take turns", async () => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, get), world.peer.headers(3, get));
    for (const { encoder } of world.streams) {
      encoder.sendHeaders(ok(), false);
      encoder.sendData(Buffer.alloc(100_000), true);
    }
    await world.runtime.settle();
    world.peer.take();
    const more = frame(FrameType.windowUpdate, 0, 1, uint32(100_000));
    const seen = await world.peer.send(
      more,
      frame(FrameType.windowUpdate, 0, 3, uint32(100_000)),
      frame(FrameType.windowUpdate, 0, 0, uint32(65_536)),
    );
    expect(seen).toEqual(["DATA 1 16384", "DATA 3 16384", "DATA 1 16384", "DATA 3 16384"]);
  });

  test("gives the peer its window back as the body is read", async () => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, post, 4));
    const seen = await world.peer.send(...Array.from({ length: 3 }, () => world.peer.data(1, "x".repeat(16_000), 0)));
    expect(seen).toEqual(["WINDOW_UPDATE 0 48000", "WINDOW_UPDATE 1 48000"]);
  });

  test("gives back nothing of a stream that is not read, and holds no more than its window", async () => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, post, 4));
    const [stream] = world.streams;
    stream?.encoder.setReadDisabled(true);
    const body = Array.from({ length: 4 }, () => world.peer.data(1, "x".repeat(16_000), 0));
    expect(await world.peer.send(...body)).toEqual([]);
    expect(stream?.decoder.events.length).toBe(1);
    expect(await world.peer.send(world.peer.data(1, "y".repeat(1536), 0))).toEqual(["GOAWAY 1 flowControlError"]);
  });

  test("delivers in order what came meanwhile, the end too", async () => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, post, 4), world.peer.headers(3, post, 4));
    for (const { encoder } of world.streams) encoder.setReadDisabled(true);
    await world.peer.send(
      world.peer.data(1, "ab", 0),
      world.peer.data(1, "cd", 0),
      world.peer.data(1, "", 1),
      world.peer.data(3, "ef", 0),
      world.peer.headers(3, [["t", "1"]]),
    );
    expect(world.streams.map(({ decoder }) => decoder.events.length)).toEqual([1, 1]);
    for (const { encoder } of world.streams) encoder.setReadDisabled(false);
    expect(world.streams[0]?.decoder.events.slice(1)).toEqual(['body "abcd" end']);
    expect(world.streams[1]?.decoder.events.slice(1)).toEqual(['body "ef"', 'trailers [["t","1"]]']);
  });

  test("what nobody read of a stream that is given up counts as read", async () => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, post, 4));
    world.streams[0]?.encoder.setReadDisabled(true);
    await world.peer.send(...Array.from({ length: 3 }, () => world.peer.data(1, "x".repeat(16_000), 0)));
    world.streams[0]?.encoder.reset("local reset");
    await world.runtime.settle();
    expect(world.peer.take()).toEqual(["WINDOW_UPDATE 0 48000", "RST_STREAM 1 internalError"]);
  });

  test.each([
    ["a stream's", 1, "RST_STREAM 1 flowControlError"],
    ["the connection's", 0, "GOAWAY 1 flowControlError"],
  ])("%s window can't be larger than a window can be", async (_whose, id, line) => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, get));
    expect(await world.peer.send(frame(FrameType.windowUpdate, 0, id, uint32(2 ** 31 - 1)))).toEqual([line]);
  });
});

describe("HTTP/2 server: resets and limits of streams", () => {
  test("the client gives a stream up", async () => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, get), frame(FrameType.rstStream, 0, 1, uint32(8)));
    expect(world.streams[0]?.decoder.events.at(-1)).toBe("reset remote reset http2.remote_reset");
    expect(world.codec.activeStreams).toBe(0);
    expect(world.counter("rx_reset")).toBe(1);
    world.streams[0]?.encoder.sendHeaders(ok(), true);
    await world.runtime.settle();
    expect(world.peer.take()).toEqual([]);
  });

  test("we give a stream up: nothing is called back, and what is under way is ignored", async () => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, post, 4));
    world.streams[0]?.encoder.reset("local reset");
    await world.runtime.settle();
    expect(world.peer.take()).toEqual(["RST_STREAM 1 internalError"]);
    expect(await world.peer.send(world.peer.data(1, "x", 0), world.peer.headers(1, [["t", "1"]]))).toEqual([]);
    expect(world.streams[0]?.decoder.events.length).toBe(1);
  });

  test("more streams than allowed are refused; the tables of both sides stay the same", async () => {
    const world = await serverWorld({ maxConcurrentStreams: 1 });
    const seen = await world.peer.send(world.peer.headers(1, post, 4), world.peer.headers(3, [...get, ["x", "new"]]));
    expect(seen).toEqual(["RST_STREAM 3 refusedStream"]);
    expect(world.counter("stream_refused_errors")).toBe(1);
    await world.peer.send(frame(FrameType.rstStream, 0, 1, uint32(8)), world.peer.headers(5, [...get, ["x", "new"]]));
    expect(world.streams[1]?.decoder.events[0]).toContain('["x","new"]');
  });

  test.each([
    ["HEADERS on an even stream", [[1, 2]], "GOAWAY 0 protocolError"],
    [
      "a stream below one that began",
      [
        [1, 5],
        [1, 3],
      ],
      "GOAWAY 5 protocolError",
    ],
    ["DATA on a stream that never began", [[0, 1]], "GOAWAY 0 protocolError"],
    ["RST_STREAM on a stream that never began", [[3, 1]], "GOAWAY 0 protocolError"],
    ["PUSH_PROMISE", [[5, 1]], "GOAWAY 0 protocolError"],
    ["CONTINUATION of nothing", [[9, 1]], "GOAWAY 0 protocolError"],
    ["HEADERS without a stream", [[1, 0]], "GOAWAY 0 protocolError"],
  ] as [string, [number, number][], string][])("%s ends the connection", async (_what, frames, line) => {
    const world = await serverWorld();
    const sent = frames.map(([type, id]) =>
      type === 1 ? world.peer.headers(id, get, 4) : frame(type, 4, id, type === 3 ? uint32(8) : ""),
    );
    expect(await world.peer.send(...sent)).toEqual([line]);
    expect(world.codec.isDraining).toBe(true);
  });

  test("something else than the preface is refused", async () => {
    const world = await serverWorld({}, true);
    await world.peer.send(Buffer.from("PRI * HTTP/1"));
    expect(world.peer.take()).toEqual([]);
    await world.peer.send(Buffer.from(".1\r\n\r\n"));
    expect(world.errors).toEqual(["http2.violation.of.messaging.rule"]);
  });

  test("the preface may come byte by byte", async () => {
    const world = await serverWorld({}, true);
    answer(world);
    const bytes = Buffer.concat([Buffer.from(prefaceText), settings(), world.peer.headers(1, get)]);
    for (const byte of bytes) world.peer.connection.write(Buffer.of(byte));
    await world.runtime.settle();
    expect(world.peer.take()).toEqual(["SETTINGS", "SETTINGS ACK", "HEADERS 1 :status=200 END"]);
  });

  test("the connection goes away", async () => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, get));
    world.peer.connection.reset();
    await world.runtime.settle();
    expect(world.streams[0]?.decoder.events.at(-1)).toBe("reset connection termination");
    expect(world.gauge("streams_active")).toBe(0);
  });
});

describe("HTTP/2 server: drain (GOAWAY)", () => {
  test("tells the client first, then which stream is the last, then ends", async () => {
    const world = await serverWorld();
    await world.peer.send(world.peer.headers(1, get));
    world.codec.drain();
    await world.runtime.settle();
    expect(world.peer.take()).toEqual(["GOAWAY 2147483647 noError", "PING drain..."]);
    await world.peer.send(world.peer.headers(3, get));
    expect(await world.peer.send(frame(FrameType.ping, 1, 0, "drain..."))).toEqual(["GOAWAY 3 noError"]);
    expect(await world.peer.send(world.peer.headers(5, get))).toEqual([]);
    expect(world.streams.length).toBe(2);
    for (const { encoder } of world.streams) encoder.sendHeaders(ok(), true);
    await world.runtime.settle();
    expect(world.peer.take()).toEqual(["HEADERS 1 :status=200 END", "HEADERS 3 :status=200 END"]);
    expect(world.drained).toBe(1);
    expect(world.peer.hasEnded).toBe(true);
    expect(world.counter("goaway_sent")).toBe(2);
  });

  test("does not wait for ever for a client that says nothing", async () => {
    const world = await serverWorld({ drainMs: 5000 });
    world.codec.drain();
    await world.runtime.advance(4000);
    expect(world.drained).toBe(0);
    await world.runtime.advance(1100);
    expect(world.drained).toBe(1);
    expect(world.peer.take().at(-1)).toBe("GOAWAY 0 noError");
  });

  test("by jitter some wait longer than others", async () => {
    const world = await serverWorld({ drainMs: 4000, drainJitter: 0.5, random: () => 0.5 });
    world.codec.drain();
    await world.runtime.advance(4900);
    expect(world.drained).toBe(0);
    await world.runtime.advance(200);
    expect(world.drained).toBe(1);
  });

  test("asked twice it does not wait", async () => {
    const world = await serverWorld();
    world.codec.drain();
    world.codec.drain();
    await world.runtime.settle();
    expect(world.peer.take()).toEqual(["GOAWAY 2147483647 noError", "PING drain...", "GOAWAY 0 noError"]);
    expect(world.drained).toBe(1);
  });

  test("waits for what a slow client has still to read", async () => {
    const world = await serverWorld();
    await world.peer.send(settings([Setting.initialWindowSize, 1]), world.peer.headers(1, get));
    world.codec.drain();
    world.codec.drain();
    world.streams[0]?.encoder.sendHeaders(ok(), false);
    world.streams[0]?.encoder.sendData("ab", true);
    await world.runtime.settle();
    expect(world.drained).toBe(0);
    expect((await world.peer.send(frame(FrameType.windowUpdate, 0, 1, uint32(1)))).at(-1)).toBe("DATA 1 1 END b");
    expect(world.drained).toBe(1);
  });

  test("the client's GOAWAY is told", async () => {
    const world = await serverWorld();
    await world.peer.send(frame(FrameType.goAway, 0, 0, uint32(0, 0)));
    expect(world.goAways).toBe(1);
  });
});
