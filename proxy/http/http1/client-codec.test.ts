import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ClientCodec, StreamEncoder } from "../codec.ts";
import { HeaderMap } from "../header-map.ts";
import { RecordingConnection } from "../testing/recording-connection.ts";
import { RecordingDecoder } from "../testing/recording-decoder.ts";
import { createHttp1ClientCodec, defaultHttp1ClientOptions, type Http1ClientOptions } from "./client-codec.ts";
import { FieldNames } from "./field-names.ts";

interface Exchange {
  readonly connection: RecordingConnection;
  readonly codec: ClientCodec;
  readonly events: string[];
  readonly encoder: StreamEncoder;
  streamEnds: number;
  readonly receive: (bytes: string) => void;
  readonly next: (method?: string) => { readonly encoder: StreamEncoder; readonly events: string[] };
}

function exchange(
  method = "GET",
  options: Partial<Http1ClientOptions> = {},
  fields: Record<string, string> = {},
): Exchange {
  const connection = new RecordingConnection();
  const codec = createHttp1ClientCodec(
    connection,
    { onStreamEnd: () => made.streamEnds++, onGoAway() {}, onProtocolError() {} },
    { ...defaultHttp1ClientOptions(new FieldNames()), ...options },
  );
  const next: Exchange["next"] = (nextMethod = "GET") => {
    const decoder = new RecordingDecoder();
    const encoder = codec.newStream(decoder);
    encoder.sendHeaders(HeaderMap.of({ ":method": nextMethod, ":path": "/", ":authority": "a", ...fields }), true);
    return { encoder, events: decoder.events };
  };
  const first = next(method);
  const made: Exchange = {
    connection,
    codec,
    ...first,
    streamEnds: 0,
    receive: (bytes) => codec.onData(Buffer.from(bytes, "latin1")),
    next,
  };
  return made;
}

describe("HTTP/1.1 client codec: responses", () => {
  test("by length; the connection serves again", () => {
    const { receive, events, codec, next, connection } = exchange();
    receive("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    expect(events).toEqual(['headers [[":status","200"],["content-length","3"]]', 'body "abc" end']);
    expect(codec.isDraining).toBe(false);
    next();
    expect(connection.written).toMatch(/^(GET \/ HTTP\/1\.1\r\nhost: a\r\n\r\n){2}$/);
  });

  test("in chunks, with trailers where enabled", () => {
    const { receive, events } = exchange("GET", { enableTrailers: true });
    receive("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: 1\r\n\r\n");
    expect(events.slice(1)).toEqual(['body "abc"', 'trailers [["x","1"]]']);
  });

  test("framed by close; the connection is not used again", () => {
    const { receive, events, codec } = exchange();
    receive("HTTP/1.1 200 OK\r\n\r\nabc");
    receive("def");
    expect(events).toHaveLength(1);
    codec.onClose();
    expect(events[1]).toBe('body "abcdef" end');
    expect(codec.isDraining).toBe(true);
  });

  test("framed by close, cut off by an error, is a reset", () => {
    const { receive, events, codec } = exchange();
    receive("HTTP/1.1 200 OK\r\n\r\nabc");
    codec.onClose(true);
    expect(events.at(-1)).toBe("reset protocol error http1.codec_error");
  });

  test("a connection that closes before the answer, or within it, is a reset", () => {
    const before = exchange();
    before.codec.onClose();
    expect(before.events).toEqual(["reset connection termination"]);
    const within = exchange();
    within.receive("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na");
    within.codec.onClose();
    expect(within.events.at(-1)).toBe("reset protocol error http1.codec_error");
    expect(within.streamEnds).toBe(1);
  });

  test.each([
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"],
    ["GET", "HTTP/1.1 204 No Content\r\n\r\n"],
    ["GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n"],
    ["GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ])("%s answered with %j ends with the head", (method, bytes) => {
    const { receive, events, codec, streamEnds } = exchange(method);
    receive(bytes);
    expect(events).toHaveLength(1);
    expect(events[0]).toMatch(/ end$/);
    expect(codec.activeStreams).toBe(0);
    expect(streamEnds).toBe(0);
  });

  test("1xx come before the answer", () => {
    const { receive, events } = exchange();
    receive("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    expect(events).toEqual(["informational 100", "informational 103", 'headers [[":status","204"]] end']);
  });

  test("101 to an upgrade makes the rest opaque", () => {
    const { receive, events, codec, encoder, connection } = exchange(
      "GET",
      {},
      { connection: "upgrade", upgrade: "x" },
    );
    receive("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nbytes");
    expect(events).toEqual(['headers [[":status","101"],["connection","upgrade"],["upgrade","x"]]']);
    encoder.sendData(Buffer.from("up"), false);
    expect(connection.written).toMatch(/\r\n\r\nup$/);
    codec.onClose();
    expect(events[1]).toBe('body "bytes" end');
  });

  test.each(["Connection: close\r\n", "Proxy-Connection: close\r\n"])("%j ends the connection's use", (field) => {
    const { receive, codec } = exchange();
    receive(`HTTP/1.1 200 OK\r\n${field}Content-Length: 0\r\n\r\n`);
    expect(codec.isDraining).toBe(true);
  });

  test("an answer before the end of the request ends the connection's use", () => {
    const connection = new RecordingConnection();
    const codec = createHttp1ClientCodec(
      connection,
      { onStreamEnd() {}, onGoAway() {}, onProtocolError() {} },
      defaultHttp1ClientOptions(new FieldNames()),
    );
    const encoder = codec.newStream(new RecordingDecoder());
    encoder.sendHeaders(HeaderMap.of({ ":method": "POST", ":path": "/", ":authority": "a" }), false);
    codec.onData(Buffer.from("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n"));
    expect(codec.isDraining).toBe(true);
  });

  const broken: readonly (readonly [string, string])[] = [
    ["no status line", "hello\r\n\r\n"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
    ["a later version", "HTTP/2.0 200 OK\r\n\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    ["length and chunked", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"],
    ["obs-fold", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"],
    ["NUL", "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n"],
    ["204 with a body", "HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\na"],
    ["101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\n\r\n"],
    ["a chunk without end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"],
    ["101 fields", `HTTP/1.1 200 OK\r\n${"x: 1\r\n".repeat(101)}\r\n`],
    ["a head of 60 KiB", `HTTP/1.1 200 OK\r\nx: ${"x".repeat(61_440)}\r\n\r\n`],
  ];
  test.each(broken)("%s is a protocol error", (_what, bytes) => {
    const made = exchange();
    made.receive(bytes);
    expect(made.events.at(-1)).toMatch(/^reset protocol error http1\./);
    expect(made.connection.isClosed).toBe(true);
    expect(made.streamEnds).toBe(1);
  });

  test("bytes that nobody asked for end the connection", () => {
    const { receive, connection } = exchange();
    receive("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    expect(connection.isClosed).toBe(true);
  });
});

describe("HTTP/1.1 client codec: the status line", () => {
  test("a bare LF in the reason phrase is refused, in one piece as in two", () => {
    const text = "HTTP/1.1 200 O\nset-cookie: x\r\nContent-Length: 0\r\n\r\n";
    const whole = exchange();
    whole.receive(text);
    expect(whole.events).toEqual(["reset protocol error http1.codec_error"]);
    const split = exchange();
    split.receive(text.slice(0, 16));
    split.receive(text.slice(16));
    expect(split.events).toEqual(whole.events);
  });
});

describe("HTTP/1.1 client codec: after an error", () => {
  test("bytes that were on their way are no second error", () => {
    const errors: string[] = [];
    const codec = createHttp1ClientCodec(
      new RecordingConnection(),
      { onStreamEnd() {}, onGoAway() {}, onProtocolError: ({ details }) => void errors.push(details) },
      defaultHttp1ClientOptions(new FieldNames()),
    );
    codec
      .newStream(new RecordingDecoder())
      .sendHeaders(HeaderMap.of({ ":method": "GET", ":path": "/", ":authority": "a" }), true);
    codec.onData(Buffer.from("no response\r\n\r\n"));
    codec.onData(Buffer.from("abc"));
    expect(errors).toEqual(["http1.codec_error"]);
  });
});

describe("HTTP/1.1 client codec: requests", () => {
  test("a bodiless POST says so, a GET does not", () => {
    expect(exchange("POST").connection.written).toContain("content-length: 0\r\n");
    expect(exchange("GET").connection.written).not.toContain("content-length");
  });

  test("a body without length is chunked, and leaves with its head", () => {
    const connection = new RecordingConnection();
    const codec = createHttp1ClientCodec(
      connection,
      { onStreamEnd() {}, onGoAway() {}, onProtocolError() {} },
      defaultHttp1ClientOptions(new FieldNames()),
    );
    const encoder = codec.newStream(new RecordingDecoder());
    encoder.sendHeaders(HeaderMap.of({ ":method": "POST", ":path": "/", ":authority": "a" }), false);
    encoder.sendData(Buffer.from("abc"), true);
    expect(connection.written).toBe(
      "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    expect(connection.writes).toBe(1);
  });

  test("one's own reset costs the connection and is not called back", () => {
    const made = exchange();
    made.encoder.reset("local reset");
    expect(made.connection.isClosed).toBe(true);
    expect(made.events).toEqual([]);
    expect(made.streamEnds).toBe(1);
  });
});

describe("HTTP/1.1 client codec: properties", () => {
  const responses = fc.oneof(
    fc
      .stringMatching(/^[ -~\r\n]{0,30}$/)
      .map((body) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
    fc
      .array(fc.stringMatching(/^[ -~\r\n]{1,12}$/), { maxLength: 4 })
      .map(
        (pieces) =>
          `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join("")}0\r\n\r\n`,
      ),
    fc
      .stringMatching(/^[ -~\r\n]{0,30}$/)
      .map((body) => `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\n\r\n${body}`),
  );

  test("any split of the bytes gives the same response", () => {
    fc.assert(
      fc.property(responses, fc.array(fc.nat(), { maxLength: 12 }), (text, cuts) => {
        const whole = exchange();
        whole.receive(text);
        whole.codec.onClose();
        const split = exchange();
        const points = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
        let from = 0;
        for (const point of [...points, text.length]) {
          if (point > from) split.receive(text.slice(from, point));
          from = point;
        }
        split.codec.onClose();
        expect(split.events).toEqual(whole.events);
      }),
      { numRuns: 300 },
    );
  });

  test("no bytes crash it, and each stream ends exactly once", () => {
    const noise = fc.array(
      fc.oneof(
        fc.constantFrom(
          "HTTP/1.1 200 OK\r\n",
          "HTTP/1.1 204 No Content\r\n\r\n",
          "Content-Length: 3\r\n",
          "\r\n",
          "0\r\n\r\n",
          "3\r\nabc\r\n",
        ),
        fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(noise, (pieces) => {
        const made = exchange();
        for (const piece of pieces) if (!made.connection.isClosed) made.receive(piece);
        made.codec.onClose();
        expect(made.streamEnds).toBe(1);
        expect(
          made.events.filter(
            (event) => event.startsWith("reset") || event.endsWith(" end") || event.startsWith("trailers"),
          ),
        ).toHaveLength(1);
      }),
      { numRuns: 1000 },
    );
  });
});
