/** HTTP/2 frame by frame, to a real Envoy and to ours: what comes back must be the same. */
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Connection } from "#lib/connection.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { FrameType, Setting } from "#proxy/http/http2/frames.ts";
import { prefaceText } from "#proxy/http/http2/preface.ts";
import { frame, get, Http2Peer, post, settings, uint32, type Fields } from "#proxy/http/testing/http2-peer.ts";
import { httpWorld, type HttpWorld } from "#proxy/http/testing/http-world.ts";
import { needEnvoy } from "../needs.ts";
import { startEnvoy, type RealEnvoy } from "./envoy.ts";

type Frames = (peer: Http2Peer) => readonly Buffer[];

const without = (name: string): Fields => get.filter(([other]) => other !== name);
const replaced = (name: string, value: string): Fields => get.map(([n, v]) => [n, n === name ? value : v]);
const one =
  (fields: Fields, flags = 5): Frames =>
  (peer) => [peer.headers(1, fields, flags)];
const body =
  (fields: Fields, text: string): Frames =>
  (peer) => [peer.headers(1, fields, 4), peer.data(1, text)];
const many = (count: number): Fields => Array.from({ length: count }, (_, i) => [`x-${i}`, "1"]);

const same: Readonly<Record<string, Frames>> = {
  "a request": one(get),
  "a direct response": one(replaced(":path", "/direct")),
  "HEAD of a direct response": one([[":method", "HEAD"], ...replaced(":path", "/direct").slice(1)]),
  "a body": body(post, "some body"),
  "a body with a length": body([...post, ["content-length", "4"]], "abcd"),
  padding: (peer) => [peer.headers(1, post, 4), frame(FrameType.data, 9, 1, "\x03abc\0\0\0")],
  trailers: (peer) => [peer.headers(1, post, 4), peer.data(1, "abc", 0), peer.headers(1, [["t", "1"]])],
  "crumbs of a cookie": one([...get, ["cookie", "a=1"], ["cookie", "b=2"]]),
  "te: trailers": one([...get, ["te", "trailers"]]),
  "host beside :authority": one([...get, ["host", "b"]]),
  "host alone": one([...without(":authority"), ["host", "b"]]),
  "* for OPTIONS": one([[":method", "OPTIONS"], ...replaced(":path", "*").slice(1)]),
  "a fragment": one(replaced(":path", "/a#b")),
  "bytes above ASCII in the path": one(replaced(":path", "/\u00e9")),
  "characters that no path has": one(replaced(":path", "/!\"$&'()*+,;<=>@[]^_`{|}~")),
  "characters that no query has": one(replaced(":path", "/?!\"$&'()*+,;<=>@[]^_`{|}~\u00e9")),
  "bytes above ASCII in a value": one([...get, ["x", "\u00e9\u00ff"]]),
  "a scheme in capitals": one(replaced(":scheme", "HTTP")),
  "a method of one's own": one(replaced(":method", "FOO")),
  "an authority with a port": one(replaced(":authority", "a:80")),
  "an underscore in a name": one([...get, ["a_b", "1"]]),
  "a name in capitals": one([...get, ["X-Up", "1"]]),
  "a name with a space": one([...get, ["x y", "1"]]),
  "an empty name": one([...get, ["", "1"]]),
  connection: one([...get, ["connection", "close"]]),
  "keep-alive": one([...get, ["keep-alive", "1"]]),
  "proxy-connection": one([...get, ["proxy-connection", "close"]]),
  "transfer-encoding": one([...get, ["transfer-encoding", "chunked"]]),
  upgrade: one([...get, ["upgrade", "h2c"]]),
  "te: gzip": one([...get, ["te", "gzip"]]),
  "a line feed in a value": one([...get, ["x", "a\nb"]]),
  "NUL in a value": one([...get, ["x", "a\0b"]]),
  "a control in a value": one([...get, ["x", "a\x01b"]]),
  "DEL in a value": one([...get, ["x", "a\x7fb"]]),
  "no method": one(without(":method")),
  "no scheme": one(without(":scheme")),
  "no path": one(without(":path")),
  "no authority": one(without(":authority")),
  "an empty authority": one(replaced(":authority", "")),
  "an empty path": one(replaced(":path", "")),
  "a path without slash": one(replaced(":path", "abc")),
  "* for GET": one(replaced(":path", "*")),
  "a space in the path": one(replaced(":path", "/a b")),
  "a method that is no token": one(replaced(":method", "G T")),
  "an authority with a user": one(replaced(":authority", "u@a")),
  "an authority with a space": one(replaced(":authority", "a b")),
  "an unknown pseudo header": one([...get, [":foo", "1"]]),
  "a pseudo header after a field": one([...without(":path"), ["x", "1"], [":path", "/"]]),
  "a pseudo header twice": one([...get, [":path", "/b"]]),
  ":status in a request": one([...get, [":status", "200"]]),
  "content-length twice": body([...post, ["content-length", "1"], ["content-length", "1"]], "x"),
  "a length that is none": body([...post, ["content-length", "+1"]], "x"),
  "a length and no body": one([...get, ["content-length", "2"]]),
  "extended CONNECT that is not allowed": one([[":method", "CONNECT"], [":protocol", "websocket"], ...get.slice(1)], 4),
  "101 fields": one([...get, ...many(101)]),
  "100 fields": one([...get, ...many(96)]),
  "a head of more than 60 KiB": (peer) => {
    const block = peer.block([
      ...get,
      ...Array.from({ length: 31 }, (_, i): [string, string] => [`y-${i}`, "z".repeat(2000)]),
    ]);
    const parts = Array.from({ length: Math.ceil(block.length / 16_000) }, (_, i) =>
      block.subarray(i * 16_000, (i + 1) * 16_000),
    );
    return parts.map((part, i) =>
      frame(
        i === 0 ? FrameType.headers : FrameType.continuation,
        (i === 0 ? 1 : 0) | (i === parts.length - 1 ? 4 : 0),
        1,
        part,
      ),
    );
  },
  "a head in many small frames": (peer) => {
    const block = peer.block([...get, ["x", "y".repeat(30)]]);
    return [...block].map((byte, i) =>
      frame(
        i === 0 ? FrameType.headers : FrameType.continuation,
        (i === 0 ? 1 : 0) | (i === block.length - 1 ? 4 : 0),
        1,
        Buffer.of(byte),
      ),
    );
  },
  "an early answer": (peer) => [peer.headers(1, [[":method", "POST"], ...replaced(":path", "/direct").slice(1)], 4)],
  PING: () => [frame(FrameType.ping, 0, 0, "12345678")],
  "an unknown frame": (peer) => [frame(0x42, 3, 5, "what"), peer.headers(1, get)],
  PRIORITY: (peer) => [frame(FrameType.priority, 0, 1, Buffer.from([0, 0, 0, 3, 16])), peer.headers(1, get)],
  "a window of 0, then more": (peer) => [
    settings([Setting.initialWindowSize, 0]),
    peer.headers(1, replaced(":path", "/direct")),
    frame(FrameType.windowUpdate, 0, 1, uint32(100)),
  ],
  "a smaller table": (peer) => [settings([Setting.headerTableSize, 0]), peer.headers(1, get)],
  "two requests": (peer) => [
    peer.headers(1, replaced(":path", "/direct")),
    peer.headers(3, replaced(":path", "/direct")),
  ],
};

/** Envoy matches a value with the blanks around it, which the next hop takes off: we do so before anything is judged. */
const blanks = one([...get, ["x", " a\t"]]);

/** What ends the connection: Envoy only closes it, we say why first (RFC 9113 §5.4.1 asks for GOAWAY). */
const fatal: Readonly<Record<string, Frames>> = {
  "an even stream": (peer) => [peer.headers(2, get)],
  "DATA on a stream that never began": (peer) => [peer.data(1, "x")],
  "WINDOW_UPDATE on a stream that never began": () => [frame(FrameType.windowUpdate, 0, 1, uint32(1))],
  "WINDOW_UPDATE of nothing": () => [frame(FrameType.windowUpdate, 0, 0, uint32(0))],
  "a frame that is too large": () => [frame(FrameType.headers, 4, 1, Buffer.alloc(16_385))],
  "SETTINGS on a stream": () => [frame(FrameType.settings, 0, 1, "")],
  "SETTINGS that are cut off": () => [frame(FrameType.settings, 0, 0, "12345")],
  "a PING that is cut off": () => [frame(FrameType.ping, 0, 0, "1234")],
  "padding of more than there is": (peer) => [peer.headers(1, post, 4), frame(FrameType.data, 8, 1, "\x09ab")],
  "a block that is none": () => [frame(FrameType.headers, 5, 1, "\x80")],
  "CONTINUATION of nothing": () => [frame(FrameType.continuation, 4, 1, "\x82")],
  "a block that is interrupted": (peer) => [
    frame(FrameType.headers, 1, 1, peer.block(get)),
    frame(FrameType.ping, 0, 0, "12345678"),
  ],
  "empty frames": (peer) => [peer.headers(1, post, 4), peer.data(1, "", 0), peer.data(1, "", 0)],
  "PRIORITY without end": () =>
    Array.from({ length: 300 }, () => frame(FrameType.priority, 0, 1, Buffer.from([0, 0, 0, 3, 16]))),
  "WINDOW_UPDATE without end": () => Array.from({ length: 300 }, () => frame(FrameType.windowUpdate, 0, 0, uint32(1))),
};

const manager = {
  stat_prefix: "in",
  codec_type: "HTTP2",
  normalize_path: true,
  http2_protocol_options: { override_stream_error_on_invalid_http_message: true },
  route_config: {
    virtual_hosts: [
      {
        name: "all",
        domains: ["*"],
        routes: [
          { match: { prefix: "/direct" }, direct_response: { status: 200, body: { inline_string: "hello" } } },
          { match: { prefix: "/" }, route: { cluster: "up" } },
        ],
      },
    ],
  },
  http_filters: [
    {
      name: "envoy.filters.http.router",
      typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    },
  ],
};

function echo(request: string): string {
  return `HTTP/1.1 200 OK\r\nx-up: 1\r\ncontent-length: ${request.length}\r\n\r\n${request}`;
}

/** What matters of what came back, and the body as the upstream showed it. */
function outcome(peer: Http2Peer): readonly string[] {
  const kept = peer.seen
    .filter((line) => !/^(SETTINGS|WINDOW_UPDATE|DATA)/.test(line))
    .map((line) =>
      line
        .replace(/ date=[^=]* GMT/, "")
        .replace(/x-envoy-upstream-service-time=\d+/, "x-envoy-upstream-service-time=N"),
    );
  const bodies = [...peer.bodies].map(
    ([id, text]) => `${id}: ${text.replaceAll(/x-request-id: [0-9a-f-]{36}/g, "x-request-id: ID")}`,
  );
  return [...kept, ...bodies];
}

const need = needEnvoy();
if (need.missing !== undefined) process.stderr.write(`tests beside a real Envoy are skipped: ${need.missing}\n`);

describe.skipIf(need.missing !== undefined)("HTTP/2, frame by frame, beside a real Envoy", () => {
  let envoy: RealEnvoy;
  let ours: HttpWorld;
  beforeAll(async () => {
    envoy = await startEnvoy(need.path, manager, echo);
    ours = await httpWorld({ manager });
    await ours.serve(80, (request) => echo(request));
  });
  afterAll(() => envoy.stop());

  async function askOurs(frames: Frames): Promise<Http2Peer> {
    const client = await ours.connect();
    const peer = new Http2Peer(client.connection, ours.runtime, false);
    await peer.send(Buffer.from(prefaceText), settings());
    peer.seen = await peer.send(...frames(peer));
    return peer;
  }

  /** Waits until `isEnough`, and a little longer for what should not come. */
  async function askEnvoy(frames: Frames, isEnough: (peer: Http2Peer) => boolean): Promise<Http2Peer> {
    const { network } = nodeRuntime({ logLevel: "off" });
    const connection = await new Promise<Connection>((resolve, reject) => {
      const opened: Connection = network.connect(
        { address: { kind: "ip", address: "127.0.0.1", port: envoy.port } },
        { onConnect: () => resolve(opened), onData() {}, onClose: reject },
      );
    });
    const peer: Http2Peer = new Http2Peer(connection, { settle: () => sleep(0) }, false);
    connection.write(Buffer.concat([Buffer.from(prefaceText), settings(), ...frames(peer)]));
    for (let ms = 0; ms < 5000 && !isEnough(peer); ms += 20) await sleep(20);
    await sleep(100);
    connection.destroy();
    return peer;
  }

  test.concurrent.each(Object.entries(same))("the same: %s", async (_what, frames) => {
    const mine = outcome(await askOurs(frames));
    expect(mine).not.toEqual([]);
    const theirs = await askEnvoy(frames, (peer) => isDeepStrictEqual(outcome(peer), mine));
    expect(mine).toEqual(outcome(theirs));
  });

  test("white space around a value is kept by Envoy, taken off by us", async () => {
    const theirs = await askEnvoy(blanks, (peer) => peer.bodies.has(1));
    expect(theirs.bodies.get(1)).toContain("x:  a\t\r\n");
    expect((await askOurs(blanks)).bodies.get(1)).toContain("x: a\r\n");
  });

  test.concurrent.each(Object.entries(fatal))("the end of the connection: %s", async (_what, frames) => {
    const hasEnded = (peer: Http2Peer): boolean => peer.hasEnded || peer.isClosed;
    expect(hasEnded(await askEnvoy(frames, hasEnded)), "Envoy ends it").toBe(true);
    const mine = await askOurs(frames);
    expect(mine.seen.at(-1)).toMatch(/^GOAWAY /);
    expect(mine.hasEnded).toBe(true);
  });
});
