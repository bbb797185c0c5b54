/** The codec with other people's HTTP/2: Node's own in both directions, curl, nghttp2's tools. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import type { Connection } from "#lib/connection.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { ClientCodec, StreamDecoder, StreamEncoder } from "#proxy/http/codec.ts";
import { createHttp2ClientCodec, defaultHttp2ClientOptions } from "#proxy/http/http2/client-codec.ts";
import { HeaderMap } from "#proxy/http/header-map.ts";
import { needProgram, type Need } from "#test/needs.ts";
import { answeringServer } from "./answering-server.ts";

const run = promisify(execFile);
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function ownServer(): Promise<number> {
  const server = await answeringServer();
  closing.push(() => server.close());
  return server.port;
}

async function nodeServer(
  onStream: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
): Promise<number> {
  const server = http2.createServer({ settings: { maxConcurrentStreams: 200 } });
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    stream.on("error", () => {});
    onStream(stream, headers);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function ownClient(port: number): Promise<ClientCodec> {
  const { network } = nodeRuntime({ logLevel: "off" });
  return new Promise((resolve, reject) => {
    const connection: Connection = network.connect(
      { address: { kind: "ip", address: "127.0.0.1", port } },
      {
        onConnect() {
          const handler = {
            onStreamEnd() {},
            onGoAway() {},
            onProtocolError: (e: { message: string }) => reject(new Error(e.message)),
          };
          const codec = createHttp2ClientCodec(connection, handler, defaultHttp2ClientOptions);
          connection.handler = {
            onData: (chunk) => codec.onData(chunk),
            onDrain: () => codec.onDrain(),
            onClose: () => codec.onClose(),
          };
          resolve(codec);
        },
        onData() {},
        onClose: reject,
      },
    );
    closing.push(() => connection.destroy());
  });
}

interface Response {
  readonly headers: HeaderMap;
  readonly body: Buffer;
  readonly trailers: HeaderMap | undefined;
}

/** One exchange over our client; the body is sent as the peer takes it. */
function exchange(
  codec: ClientCodec,
  headers: HeaderMap,
  body = Buffer.alloc(0),
  trailers?: HeaderMap,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let head = new HeaderMap();
    let sent = 0;
    const done = (end?: HeaderMap): void => resolve({ headers: head, body: Buffer.concat(chunks), trailers: end });
    const send = (): void => {
      while (sent < body.length && encoder.canWrite) {
        const end = Math.min(sent + 50_000, body.length);
        encoder.sendData(body.subarray(sent, end), end === body.length && trailers === undefined);
        sent = end;
      }
      if (sent === body.length && trailers !== undefined) encoder.sendTrailers(trailers);
    };
    const decoder: StreamDecoder = {
      onHeaders(response, end) {
        head = response;
        if (end) done();
      },
      onData(chunk, end) {
        chunks.push(Buffer.from(chunk));
        if (end) done();
      },
      onTrailers: done,
      onReset: (reason, details) => reject(new Error(`${reason} ${details}`)),
      onWritable: send,
    };
    const encoder: StreamEncoder = codec.newStream(decoder);
    encoder.sendHeaders(headers, body.length === 0 && trailers === undefined);
    send();
  });
}

const request = (fields: Readonly<Record<string, string>> = {}): HeaderMap =>
  HeaderMap.of({ ":method": "POST", ":scheme": "http", ":authority": "a.example", ":path": "/", ...fields });

const big = randomBytes(3_000_000);

describe("our client with Node's server", () => {
  test("headers of all kinds of bytes, twice, so that the tables are used", async () => {
    const port = await nodeServer((stream, headers) => {
      stream.respond({
        ":status": 200,
        ...Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("x-"))),
      });
      stream.end();
    });
    const codec = await ownClient(port);
    const values = Array.from({ length: 90 }, (_, i) => String.fromCharCode(i + 33));
    const own = Object.fromEntries(values.map((value, i) => [`x-${i}`, `a${value}${value}b`]));
    for (let i = 0; i < 3; i++) {
      const { headers } = await exchange(codec, request(own));
      for (const [name, value] of Object.entries(own)) expect(headers.get(name)).toBe(value);
    }
  });

  test("large bodies both ways, and trailers both ways", async () => {
    const port = await nodeServer((stream) => {
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      let sum: string | undefined;
      stream.on("trailers", (trailers) => (sum = String(trailers["x-sum"])));
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-got": sum ?? "nothing" }));
      stream.pipe(stream);
    });
    const codec = await ownClient(port);
    const { body, trailers } = await exchange(codec, request(), big, HeaderMap.of({ "x-sum": "42" }));
    expect(body.equals(big)).toBe(true);
    expect(trailers?.get("x-got")).toBe("42");
  });

  test("two hundred streams at a time, a thousand in all", async () => {
    const port = await nodeServer((stream, headers) => {
      stream.respond({ ":status": 200, "x-path": headers[":path"] });
      stream.end(String(headers[":path"]));
    });
    const codec = await ownClient(port);
    for (let round = 0; round < 5; round++) {
      const paths = Array.from({ length: 200 }, (_, i) => `/${round}/${i}`);
      const responses = await Promise.all(paths.map((path) => exchange(codec, request({ ":path": path }))));
      expect(responses.map(({ body }) => body.toString())).toEqual(paths);
    }
    expect(codec.activeStreams).toBe(0);
  });

  test("the server refuses, resets, goes away", async () => {
    const port = await nodeServer((stream, headers) => {
      if (headers[":path"] === "/reset") stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      else if (headers[":path"] === "/refuse") stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
      else {
        stream.session?.goaway(http2.constants.NGHTTP2_NO_ERROR);
        stream.respond({ ":status": 204 }, { endStream: true });
      }
    });
    const codec = await ownClient(port);
    await expect(exchange(codec, request({ ":path": "/reset" }))).rejects.toThrow("remote reset http2.remote_reset");
    await expect(exchange(codec, request({ ":path": "/refuse" }))).rejects.toThrow("remote refused stream reset");
    expect((await exchange(codec, request())).headers.status).toBe(204);
    expect(codec.isDraining).toBe(true);
  });
});

describe("Node's client with our server", () => {
  function ask(session: http2.ClientHttp2Session, headers: http2.OutgoingHttpHeaders, body?: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const stream = session.request(headers, { endStream: body === undefined });
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => resolve(Buffer.concat(chunks)));
      stream.on("error", reject);
      if (body !== undefined) stream.end(body);
    });
  }

  test("small and large exchanges at once", async () => {
    const session = http2.connect(`http://127.0.0.1:${await ownServer()}`);
    closing.push(() => session.destroy());
    const all = await Promise.all([
      ...Array.from({ length: 90 }, () => ask(session, { ":path": "/", authorization: "secret", "x-a": "b" })),
      ask(session, { ":path": "/", ":method": "POST" }, big),
    ]);
    expect(all.slice(0, 90).every((body) => body.toString() === "a short answer")).toBe(true);
    expect(all.at(-1)?.equals(big)).toBe(true);
  });

  test("a slow reader gets everything", async () => {
    const session = http2.connect(`http://127.0.0.1:${await ownServer()}`);
    closing.push(() => session.destroy());
    const stream = session.request({ ":path": "/", ":method": "POST" });
    stream.pause();
    stream.end(big);
    await new Promise((resolve) => stream.once("response", resolve));
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      stream.pause();
      setImmediate(() => stream.resume());
    });
    stream.resume();
    await new Promise((resolve) => stream.once("end", resolve));
    expect(Buffer.concat(chunks).equals(big)).toBe(true);
  });

  test("our own client with our own server", async () => {
    const codec = await ownClient(await ownServer());
    const { body } = await exchange(codec, request(), big);
    expect(body.equals(big)).toBe(true);
  });
});

const curl = needProgram("curl", "apt-get install curl");
const h2load = needProgram("h2load", "apt-get install nghttp2-client");
const nghttp = needProgram("nghttp", "apt-get install nghttp2-client");

/** The test's name; where the program is missing it says why it is skipped. */
const named = (what: string, need: Need): string => (need.missing === undefined ? what : `${what}: ${need.missing}`);

describe("other clients with our server", () => {
  test.skipIf(curl.missing !== undefined)(named("curl with prior knowledge", curl), async () => {
    const url = `http://127.0.0.1:${await ownServer()}/`;
    const { stdout } = await run(curl.path, [
      "-sS",
      "--http2-prior-knowledge",
      "-d",
      "sent",
      "-w",
      " %{http_version}",
      url,
    ]);
    expect(stdout).toBe("sent 2");
  });

  test.skipIf(nghttp.missing !== undefined)(
    named("nghttp: trailers, continuation, a window of a kilobyte", nghttp),
    async () => {
      const url = `http://127.0.0.1:${await ownServer()}/`;
      const { stdout } = await run(nghttp.path, [
        "--trailer",
        "x: y",
        "--continuation",
        "-w",
        "10",
        "-d",
        "/etc/services",
        url,
      ]);
      expect(stdout).toContain("tcpmux");
    },
  );

  test.skipIf(h2load.missing !== undefined)(named("h2load: ten thousand requests, none failed", h2load), async () => {
    const url = `http://127.0.0.1:${await ownServer()}/`;
    const { stdout } = await run(h2load.path, ["-n", "10000", "-c", "5", "-m", "50", url]);
    expect(stdout).toContain("10000 succeeded, 0 failed, 0 errored, 0 timeout");
  });
});
