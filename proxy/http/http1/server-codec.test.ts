import { describe, expect, test } from "vitest";
import { HeaderMap } from "../header-map.ts";
import { chunked, get, post, recordingServer, reply } from "../testing/recording-server.ts";

describe("HTTP/1.1 server codec: requests", () => {
  test("a request without a body ends with its head; names are lower case, hop-by-hop fields are gone", () => {
    const { events, send } = recordingServer();
    send(
      "GET /p?q HTTP/1.1\r\nHost: A.example\r\nX-Up:  v \r\nKeep-Alive: 5\r\nConnection: x-gone, keep-alive\r\nX-Gone: 1\r\n\r\n",
    );
    expect(events).toEqual([
      'headers [[":method","GET"],[":path","/p?q"],[":authority","A.example"],["x-up","v"]] end',
    ]);
  });

  test("a body is read by its length, the next request follows", () => {
    const { events, send } = recordingServer({}, true);
    send(`${post}Content-Length: 3\r\n\r\nabc${get}\r\n`);
    expect(events.map((event) => event.split(" ")[0])).toEqual(["headers", "body", "headers"]);
    expect(events[1]).toBe('body "abc" end');
  });

  test("chunks are joined, extensions ignored, trailers passed where enabled (R-107)", () => {
    const body = "3;a=b\r\nabc\r\nA \r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n";
    const passing = recordingServer({ enableTrailers: true });
    passing.send(chunked + body);
    expect(passing.events.slice(1)).toEqual(['body "abc0123456789"', 'trailers [["x-t","1"]]']);
    const dropping = recordingServer();
    dropping.send(chunked + body);
    expect(dropping.events.slice(1)).toEqual(['body "abc0123456789" end']);
  });

  test("what is pipelined waits for its turn, and reading stops meanwhile", async () => {
    const { events, send, encoders, connection } = recordingServer();
    send(`${get}\r\n${get}\r\n`);
    expect(events).toHaveLength(1);
    expect(connection.isPaused).toBe(true);
    reply(encoders[0], 200);
    await Promise.resolve();
    expect(events).toHaveLength(2);
    expect(connection.isPaused).toBe(false);
  });

  test("an absolute target names the host (R-98)", () => {
    const { events, send } = recordingServer();
    send("GET http://B:80/x?y HTTP/1.1\r\nHost: b\r\n\r\n");
    expect(events).toEqual([
      'headers [[":method","GET"],[":path","/x?y"],[":authority","B:80"],[":scheme","http"]] end',
    ]);
  });

  test("HTTP/1.0 is taken where accepted, and ends the connection unless asked to keep it (R-91)", () => {
    const { events, send, encoders, connection } = recordingServer({ acceptHttp10: true, defaultHostForHttp10: "d" });
    send("GET / HTTP/1.0\r\n\r\n");
    expect(events[0]).toContain('[":authority","d"]');
    reply(encoders[0], 200, "x");
    expect(connection.written).toBe("HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nx");
    const kept = recordingServer({ acceptHttp10: true });
    kept.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    reply(kept.encoders[0], 200, "x", { "content-length": "1" });
    expect(kept.connection.written).toBe("HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\nx");
    expect(kept.codec.isDraining).toBe(false);
  });

  test("after 101 bytes are opaque both ways (R-104)", () => {
    const { events, send, encoders, connection } = recordingServer();
    send(`${get}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly`);
    expect(events[0]).toContain('["connection","upgrade"],["upgrade","websocket"]');
    const headers = HeaderMap.of({ ":status": "101", connection: "upgrade", upgrade: "websocket" });
    encoders[0]?.sendHeaders(headers, false);
    encoders[0]?.sendData(Buffer.from("down"), false);
    expect(connection.written).toBe(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\ndown",
    );
    send(" and late");
    encoders[0]?.sendData("", true);
    expect(events).toHaveLength(1); // the body never ends by itself
  });
});

describe("HTTP/1.1 server codec: what is refused", () => {
  test("a head with several faults is answered alike, in one piece or in two", () => {
    const text = "POST \n/x\r\nHost: a\r\n\r\n";
    const whole = recordingServer();
    whole.send(text);
    const split = recordingServer();
    split.send(text.slice(0, 7));
    split.send(text.slice(7));
    expect(split.events).toEqual(whole.events);
    expect(whole.events).toEqual(["error 400 http1.codec_error"]);
  });

  const refused: readonly (readonly [string, string, string])[] = [
    ["space before the colon", `GET / HTTP/1.1\r\nHost : a\r\n\r\n`, "400 http1.codec_error"],
    ["obs-fold", `${get}X: a\r\n b\r\n\r\n`, "400 http1.codec_error"],
    ["a line without colon", `${get}foo\r\n\r\n`, "400 http1.codec_error"],
    ["an empty name", `${get}: x\r\n\r\n`, "400 http1.codec_error"],
    ["NUL in a value", `${get}X: a\0b\r\n\r\n`, "400 http1.invalid_characters"],
    ["a control in a value", `${get}X: a\x01b\r\n\r\n`, "400 http1.invalid_characters"],
    ["a bare CR in a value", `${get}X: a\rb\r\n\r\n`, "400 http1.invalid_characters"],
    ["bare LF lines", "GET / HTTP/1.1\nHost: a\n\n", "400 http1.codec_error"],
    ["a bare LF among CRLF", `GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n`, "400 http1.invalid_characters"],
    ["two hosts", `${get}Host: a\r\n\r\n`, "400 http.invalid_authority"],
    ["a host that differs from the target", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 http.invalid_authority"],
    ["a host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 http.invalid_authority"],
    ["a host list", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "400 http.invalid_authority"],
    ["a target with a space", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400 http1.codec_error"],
    ["a target with a byte above ASCII", "GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", "400 http1.codec_error"],
    ["two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400 http1.codec_error"],
    ["a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 http1.codec_error"],
    ["an unknown method", "FOO / HTTP/1.1\r\nHost: a\r\n\r\n", "400 http1.codec_error"],
    ["a scheme that is not HTTP's", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 http1.invalid_scheme"],
    ["HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "426 low_version"],
    ["HTTP/0.9", "GET /\r\n\r\n", "426 low_version"],
    ["+1 as length", `${post}Content-Length: +1\r\n\r\na`, "400 http1.codec_error"],
    ["0x1 as length", `${post}Content-Length: 0x1\r\n\r\na`, "400 http1.codec_error"],
    ["-1 as length", `${post}Content-Length: -1\r\n\r\na`, "400 http1.codec_error"],
    ["a list of lengths", `${post}Content-Length: 1, 1\r\n\r\na`, "400 http1.codec_error"],
    ["two lengths", `${post}Content-Length: 1\r\nContent-Length: 1\r\n\r\na`, "400 http1.codec_error"],
    ["an empty length", `${post}Content-Length:\r\n\r\n`, "400 http1.codec_error"],
    ["an endless length", `${post}Content-Length: 99999999999999999999\r\n\r\n`, "400 http1.codec_error"],
    [
      "length and chunked",
      `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`,
      "400 http1.content_length_and_chunked_not_allowed",
    ],
    [
      "chunked and length",
      `${post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n`,
      "400 http1.content_length_and_chunked_not_allowed",
    ],
    ["an unknown coding", `${post}Transfer-Encoding: gzip\r\n\r\n`, "501 http1.invalid_transfer_encoding"],
    ["chunked not last", `${post}Transfer-Encoding: chunked, gzip\r\n\r\n`, "501 http1.invalid_transfer_encoding"],
    [
      "a coding before chunked",
      `${post}Transfer-Encoding: gzip, chunked\r\n\r\n`,
      "501 http1.invalid_transfer_encoding",
    ],
    [
      "chunked twice",
      `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
      "501 http1.invalid_transfer_encoding",
    ],
    ["chunked after a vertical tab", `${post}Transfer-Encoding: \x0bchunked\r\n\r\n`, "400 http1.invalid_characters"],
    ["a chunk size with 0x", `${chunked}0x3\r\nabc\r\n0\r\n\r\n`, "400 http1.codec_error"],
    ["a chunk size after a space", `${chunked} 3\r\nabc\r\n0\r\n\r\n`, "400 http1.codec_error"],
    ["LF-only chunk lines", `${chunked}3\nabc\n0\n\n`, "400 http1.codec_error"],
    ["an endless chunk size", `${chunked}fffffffffffffffff\r\n`, "400 http1.codec_error"],
    ["a chunk longer than its size", `${chunked}3\r\nabcd\r\n0\r\n\r\n`, "400 http1.codec_error"],
    ["a control in a chunk extension", `${chunked}3;a=\0\r\nabc\r\n0\r\n\r\n`, "400 http1.codec_error"],
    ["an overlong chunk extension", `${chunked}3;a=${"x".repeat(2000)}\r\nabc\r\n0\r\n\r\n`, "400 http1.codec_error"],
    ["a length among trailers", `${chunked}0\r\nContent-Length: 1\r\n\r\n`, "400 http1.codec_error"],
    ["a coding among trailers", `${chunked}0\r\nTransfer-Encoding: chunked\r\n\r\n`, "400 http1.codec_error"],
    ["a host among trailers", `${chunked}0\r\nHost: b\r\n\r\n`, "400 http1.codec_error"],
    [
      "Connection that names a client's address",
      `${get}Connection: x-forwarded-for\r\n\r\n`,
      "400 http1.connection_header_rejected",
    ],
    [
      "Connection that names a pseudo header",
      `${get}Connection: :path\r\n\r\n`,
      "400 http1.connection_header_rejected",
    ],
    [
      "an upgrade with a body",
      `${get}Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\na`,
      "400 http1.body_disallowed",
    ],
    ["101 fields", `${get}${"x: 1\r\n".repeat(100)}\r\n`, "431 http1.too_many_headers"],
    ["a head of 60 KiB", `${get}X: ${"x".repeat(61_440)}\r\n\r\n`, "431 http1.headers_too_large"],
    ["a head without end", `${get}X: ${"x".repeat(61_440)}`, "431 http1.headers_too_large"],
    ["TLS on a plain port", "\x16\x03\x01\x00\x05hello\r\n\r\n", "400 http1.codec_error"],
  ];
  test.each(refused)("%s", (_what, bytes, error) => {
    const whole = recordingServer();
    whole.send(bytes);
    expect(whole.events.at(-1)).toBe(`error ${error}`);
    // And the same when it comes byte by byte, with nothing read afterwards.
    const dribbled = recordingServer();
    for (const byte of bytes) dribbled.send(byte);
    dribbled.send(`${get}\r\n`);
    expect(dribbled.events.at(-1)).toMatch(/^error (400|426|431|501) /);
    expect(dribbled.events.filter((event) => event.startsWith("error"))).toHaveLength(1);
  });

  test("HTTP/1.0 with chunked, even where HTTP/1.0 is accepted", () => {
    const { events, send } = recordingServer({ acceptHttp10: true });
    send("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    expect(events).toEqual(["error 400 http1.transfer_encoding_not_allowed"]);
  });

  test("underscores in names: let through, dropped or refused (R-90)", () => {
    const request = `${get}x_y: 1\r\n\r\n`;
    const allowing = recordingServer();
    allowing.send(request);
    expect(allowing.events[0]).toContain("x_y");
    let dropped = 0;
    const dropping = recordingServer({ headersWithUnderscores: "drop", onUnderscoreDropped: () => dropped++ });
    dropping.send(request);
    expect(dropping.events[0]).not.toContain("x_y");
    expect(dropped).toBe(1);
    const rejecting = recordingServer({ headersWithUnderscores: "reject" });
    rejecting.send(request);
    expect(rejecting.events).toEqual(["error 400 http1.unexpected_underscore"]);
  });
});

describe("HTTP/1.1 server codec: responses", () => {
  test("head and small body leave in one write", () => {
    const { send, encoders, connection } = recordingServer();
    send(`${get}\r\n`);
    reply(encoders[0], 200, "hello", { "content-length": "5" });
    expect(connection.written).toBe("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    expect(connection.writes).toBe(1);
  });

  test("a body without length is chunked; a head that waits for its body leaves at the end of the turn", async () => {
    const { send, encoders, connection } = recordingServer();
    send(`${get}\r\n`);
    const headers = HeaderMap.of({ ":status": "200" });
    encoders[0]?.sendHeaders(headers, false);
    expect(connection.written).toBe("");
    await Promise.resolve();
    expect(connection.written).toBe("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    encoders[0]?.sendData(Buffer.from("abc"), false);
    encoders[0]?.sendData("", true);
    expect(connection.written).toMatch(/\r\n\r\n3\r\nabc\r\n0\r\n\r\n$/);
  });

  test.each([204, 304, 199])("%i has no body and no length", (status) => {
    const { send, encoders, connection } = recordingServer();
    send(`${get}\r\n`);
    const headers = new HeaderMap();
    headers.status = status;
    encoders[0]?.sendHeaders(headers, true);
    expect(connection.written).not.toContain("content-length");
  });

  test("HEAD keeps the length and sends no body (R-111)", () => {
    const { send, encoders, connection } = recordingServer();
    send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    reply(encoders[0], 200, "hello", { "content-length": "5" });
    expect(connection.written).toBe("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
  });

  test("an answer before the end of the request ends the connection (R-108)", () => {
    const { send, encoders, codec, events } = recordingServer();
    send(`${post}Content-Length: 10\r\n\r\nabc`);
    reply(encoders[0], 413);
    expect(codec.isDraining).toBe(true);
    send(`defghij${get}\r\n`);
    expect(events).toHaveLength(1);
  });

  test("a connection that drains says so in its last response", () => {
    const { send, encoders, codec, connection } = recordingServer();
    send(`${get}\r\n`);
    codec.drain();
    reply(encoders[0], 200);
    expect(connection.written).toBe("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
  });

  test("to HTTP/1.0 a body without length ends with the connection, whatever was asked", () => {
    const { send, encoders, connection, codec } = recordingServer({ acceptHttp10: true });
    send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    reply(encoders[0], 200, "x");
    expect(connection.written).toBe("HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nx");
    expect(codec.isDraining).toBe(true);
  });

  test("a connection that goes away resets its stream", () => {
    const { send, codec, events } = recordingServer();
    send(`${post}Content-Length: 10\r\n\r\nabc`);
    codec.onClose();
    expect(events.at(-1)).toBe("reset connection termination");
  });
});
