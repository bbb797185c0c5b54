import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { httpWorld, type HttpWorld, type Json } from "../../testing/http-world.ts";
import { chooseEncoding } from "./accept-encoding.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor";
const gzip = {
  name: "lib",
  typed_config: { "@type": "type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip" },
};
const text = "all work and no play ".repeat(100);

async function compressing(fields: Json, answer: string): Promise<HttpWorld> {
  const world = await httpWorld({
    filters: [{ name: "c", typed_config: { "@type": type, compressor_library: gzip, ...fields } }],
  });
  await world.serve(80, () => answer);
  return world;
}

/** The bytes of chunks, put together. */
function dechunked(body: string): Buffer {
  let rest = body;
  let out = "";
  for (let size = Number.parseInt(rest, 16); size > 0; size = Number.parseInt(rest, 16)) {
    const start = rest.indexOf("\r\n") + 2;
    out += rest.slice(start, start + size);
    rest = rest.slice(start + size + 2);
  }
  return Buffer.from(out, "latin1");
}

/** Compression is done by threads of Node's own: lets them. */
async function until(world: HttpWorld, holds: () => boolean): Promise<void> {
  while (!holds()) {
    await new Promise((resolve) => setImmediate(resolve));
    await world.runtime.settle();
  }
}

describe("envoy.filters.http.compressor", () => {
  test("a response goes on compressed, without its length", async () => {
    const world = await compressing({}, `HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`);
    const client = await world.connect();
    let received = await client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    await until(world, () => (received += client.take()).endsWith("0\r\n\r\n"));
    const [head = "", ...body] = received.split("\r\n\r\n");
    expect(head).toContain("content-encoding: gzip\r\n");
    expect(head).not.toContain("content-length");
    expect(gunzipSync(dechunked(body.join("\r\n\r\n"))).toString()).toBe(text);
    expect(world.counter("http.in.compressor.lib.gzip.total_uncompressed_bytes")).toBe(text.length);
  });

  test("a request too, if asked", async () => {
    const world = await compressing({ request_direction_config: {} }, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    const client = await world.connect();
    await client.send(
      `POST / HTTP/1.1\r\nHost: a\r\ncontent-type: text/plain\r\ncontent-length: ${text.length}\r\n\r\n${text}`,
    );
    await until(world, () => world.upstreamRequests.length > 0);
    const [head = "", ...body] = (world.upstreamRequests[0] ?? "").split("\r\n\r\n");
    expect(head).toContain("content-encoding: gzip");
    expect(gunzipSync(dechunked(body.join("\r\n\r\n"))).toString()).toBe(text);
  });

  test("a client that leaves in the middle ends it", async () => {
    const world = await compressing({}, `HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n${text}`);
    const client = await world.connect();
    await client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    client.connection.destroy();
    await world.runtime.settle();
    expect(world.log).toEqual(["200 DC downstream_remote_disconnect"]);
  });

  test.each([
    ["a library that is not there", { compressor_library: { name: "x", typed_config: { "@type": type } } }],
    ["status_header_enabled", { response_direction_config: { status_header_enabled: true } }],
  ])("%s is refused by name", async (_what, fields) => {
    await expect(compressing(fields, "")).rejects.toThrow(/not supported/);
  });
});

describe("accept-encoding", () => {
  test.each([
    ["gzip", "gzip used"],
    ["gzip, br", "gzip used"],
    ["br, gzip", "br used"],
    ["gzip;q=0.5, br;q=0.6", "br used"],
    ["*", "gzip wildcard"],
    ["identity", "identity identity"],
    ["gzip;q=0", "identity not-valid"],
    ["gzip;q=abc", "identity not-valid"],
    ["GZIP", "identity not-valid"],
    ["", "identity not-valid"],
  ])("%j → %s", (header, chosen) => {
    const { encoding, because } = chooseEncoding(header, ["gzip", "br"]);
    expect(`${encoding} ${because}`).toBe(chosen);
  });
});
