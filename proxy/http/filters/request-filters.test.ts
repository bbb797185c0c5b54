import { describe, expect, test } from "vitest";
import { httpWorld, type HttpWorld, type Json } from "../testing/http-world.ts";

const http = "type.googleapis.com/envoy.extensions.filters.http";
const post = (...chunks: readonly string[]): string =>
  `POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("")}0\r\n\r\n`;
const get = (path = "/", fields = ""): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;

async function worldOf(
  filters: readonly Json[],
  more: Partial<Parameters<typeof httpWorld>[0]> = {},
): Promise<HttpWorld> {
  const world = await httpWorld({ filters, ...more });
  await world.serve(80, () => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  return world;
}

const filter = (type: string, fields: Json = {}): Json => ({
  name: "f",
  typed_config: { "@type": `${http}.${type}`, ...fields },
});

describe("envoy.filters.http.buffer", () => {
  const buffer = (max: number): Json => filter("buffer.v3.Buffer", { max_request_bytes: max });

  test("a request goes on when all of it is there, with its length", async () => {
    const world = await worldOf([buffer(100)]);
    const client = await world.connect();
    const whole = post("abc", "de");
    const [head, rest] = [whole.slice(0, -12), whole.slice(-12)];
    await client.send(head);
    expect(world.upstreamRequests).toEqual([]);
    await client.send(rest);
    expect(world.upstreamRequests[0]).toMatch(/content-length: 5\r\n[^]*abcde$/);
  });

  test("more than the limit is 413; the limit may be above the connection's", async () => {
    const world = await worldOf([buffer(4)]);
    expect(await world.exchange(post("abc", "de"))).toMatch(/^HTTP\/1\.1 413 /);
    expect(world.log).toEqual(["413 - request_payload_too_large"]);
    const large = await worldOf([buffer(3_000_000)]);
    await large.exchange(post("x".repeat(2_000_000)));
    expect(large.upstreamRequests[0]).toContain("content-length: 2000000\r\n");
  });

  test("a client that leaves in the middle is forgotten", async () => {
    const world = await worldOf([buffer(100)]);
    const client = await world.connect();
    await client.send(post("abc").slice(0, -8));
    client.connection.destroy();
    await world.runtime.settle();
    expect(world.log).toEqual(["0 DC downstream_remote_disconnect"]);
    expect(world.upstreamRequests).toEqual([]);
  });
});

describe("envoy.filters.http.header_mutation", () => {
  const mutation = (fields: Json): Json => filter("header_mutation.v3.HeaderMutation", { mutations: fields });
  const append = (key: string, value: string): Json => ({ append: { header: { key, value } } });

  test("a parameter that is kept can't become another one", async () => {
    const world = await worldOf([mutation({ query_parameter_mutations: [{ remove: "z" }] })]);
    await world.exchange(get("/p?a=1%26b%3d2%23&n%3dx=1"));
    expect(world.upstreamRequests[0]).toMatch(/^GET \/p\?a=1%26b=2%23&n%3Dx=1 /);
  });

  test.each([":path", "host", ":authority", "Host"])("%s is refused", async (name) => {
    await expect(worldOf([mutation({ request_mutations: [append(name, "x")] })])).rejects.toThrow(
      "may not be modified",
    );
    await expect(worldOf([mutation({ request_mutations: [{ remove: name }] })])).rejects.toThrow("may not be removed");
  });

  test("what has no operator is not compiled, what is wrong in one is refused", async () => {
    await expect(worldOf([mutation({ response_mutations: [append("x", "%NO_SUCH%")] })])).rejects.toThrow("NO_SUCH");
  });
});

describe("envoy.filters.http.health_check", () => {
  const check = (fields: Json): Json =>
    filter("health_check.v3.HealthCheck", { headers: [{ name: ":path", string_match: { exact: "/hc" } }], ...fields });

  test("an answer is given again until cache_time is over", async () => {
    const world = await worldOf([check({ pass_through_mode: true, cache_time: "10s" })]);
    await world.exchange(get("/hc"));
    await world.exchange(get("/hc"));
    expect(world.upstreamRequests.length).toBe(1);
    await world.runtime.advance(10_000);
    await world.exchange(get("/hc"));
    expect(world.upstreamRequests.length).toBe(2);
  });

  test("a proxy that is to fail says so, and tells the callers of everything else", async () => {
    const world = await worldOf([check({ pass_through_mode: true })], { isHealthCheckFailed: () => true });
    expect(await world.exchange(get("/hc"))).toMatch(/^HTTP\/1\.1 503 /);
    expect(world.log).toEqual(["503 LH health_check_failed"]);
    expect(await world.exchange(get())).toContain("x-envoy-immediate-health-check-fail: true\r\n");
  });

  test("cache_time needs pass_through_mode", async () => {
    await expect(worldOf([check({ pass_through_mode: false, cache_time: "1s" })])).rejects.toThrow("cache_time");
  });
});

describe("envoy.filters.http.set_filter_state", () => {
  test("an object that nobody here reads is refused by name", async () => {
    const value = { object_key: "envoy.no_such_object", format_string: { text_format: "x" } };
    const state = filter("set_filter_state.v3.Config", { on_request_headers: [value] });
    await expect(worldOf([state])).rejects.toThrow("envoy.no_such_object");
  });
});

describe("envoy.filters.http.on_demand", () => {
  test("is taken without ODCDS, which is refused", async () => {
    expect(await (await worldOf([filter("on_demand.v3.OnDemand")])).exchange(get())).toMatch(/ok$/);
    const odcds = filter("on_demand.v3.OnDemand", { odcds: { source: { ads: {} } } });
    await expect(worldOf([odcds])).rejects.toThrow("odcds");
  });
});

describe("HTTP filters that this proxy does not have", () => {
  test.each([
    ["lua.v3.Lua", {}],
    ["wasm.v3.Wasm", {}],
    ["composite.v3.Composite", {}],
    ["grpc_json_transcoder.v3.GrpcJsonTranscoder", {}],
    ["grpc_http1_bridge.v3.Config", {}],
    ["cache.v3.CacheConfig", {}],
    ["cdn_loop.v3.CdnLoopConfig", { cdn_id: "x" }],
  ])("%s is refused by name", async (type, fields) => {
    await expect(worldOf([filter(type, fields)])).rejects.toThrow(/(?:is not supported by this proxy|unknown|no type)/);
  });
});
