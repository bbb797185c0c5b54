import { describe, expect, test } from "vitest";
import { httpWorld, type HttpWorld, type Json } from "../../testing/http-world.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";
const name = "envoy.filters.http.local_ratelimit";
const always = { default_value: { numerator: 100 } };
const on = { stat_prefix: "rl", filter_enabled: always, filter_enforced: always };
const bucket = (max: number, seconds = 60, perFill = max): Json => ({
  max_tokens: max,
  tokens_per_fill: perFill,
  fill_interval: `${seconds}s`,
});
const get = (fields = "", path = "/"): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
const byHeader = (header: string, more: Json = {}): Json => ({
  actions: [{ request_headers: { header_name: header, descriptor_key: header } }],
  ...more,
});
const limitOf = (key: string, value: string, max: number, more: Json = {}): Json => ({
  entries: [{ key, value }],
  token_bucket: bucket(max),
  ...more,
});

async function limited(config: Json, options: Partial<Parameters<typeof httpWorld>[0]> = {}): Promise<HttpWorld> {
  const world = await httpWorld({
    filters: [{ name, typed_config: JSON.parse(JSON.stringify({ "@type": type, ...on, ...config })) as Json }],
    ...options,
  });
  await world.serve(80, () => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  return world;
}

const route = (action: Json): Json => ({ match: { prefix: "/" }, route: { cluster: "up", ...action } });

async function statuses(world: HttpWorld, ...requests: readonly string[]): Promise<string> {
  let all = "";
  for (const request of requests) all += ` ${(await world.exchange(request)).slice(9, 12)}`;
  return all.trim();
}

describe("envoy.filters.http.local_ratelimit", () => {
  test("refuses what the bucket has no token for: 429, RL", async () => {
    const world = await limited({ token_bucket: bucket(2) });
    expect(await statuses(world, get(), get())).toBe("200 200");
    expect(await world.exchange(get())).toMatch(/^HTTP\/1\.1 429 Too Many Requests\r\n[^]*\r\n\r\nlocal_rate_limited$/);
    expect(world.log.at(-1)).toBe("429 RL local_rate_limited");
    const counts = ["enabled", "ok", "rate_limited", "enforced"].map((stat) =>
      world.counter(`rl.http_local_rate_limit.${stat}`),
    );
    expect(counts).toEqual([3, 2, 1, 1]);
  });

  test("the bucket fills steadily", async () => {
    const world = await limited({ token_bucket: bucket(2, 60) });
    expect(await statuses(world, get(), get(), get())).toBe("200 200 429");
    await world.runtime.advance(30_000);
    expect(await statuses(world, get(), get())).toBe("200 429");
    await world.runtime.advance(600_000);
    expect(await statuses(world, get(), get(), get())).toBe("200 200 429");
  });

  test("without filter_enabled nothing is limited, without filter_enforced nothing is refused", async () => {
    const off = await limited({ token_bucket: bucket(1), filter_enabled: undefined });
    expect(await statuses(off, get(), get())).toBe("200 200");
    expect(off.counter("rl.http_local_rate_limit.enabled")).toBe(0);
    const watching = await limited({
      token_bucket: bucket(1),
      filter_enforced: undefined,
      request_headers_to_add_when_not_enforced: [{ header: { key: "x-limited", value: "yes" } }],
    });
    expect(await statuses(watching, get(), get())).toBe("200 200");
    expect(watching.counter("rl.http_local_rate_limit.rate_limited")).toBe(1);
    expect(watching.upstreamRequests.map((request) => /x-limited: yes/.test(request))).toEqual([false, true]);
  });

  test("runtime keys say for which share it is enabled and enforced", async () => {
    const world = await limited(
      { token_bucket: bucket(1), filter_enforced: { ...always, runtime_key: "enforced" } },
      { runtimeValues: { enforced: 0 } },
    );
    expect(await statuses(world, get(), get())).toBe("200 200");
  });

  test("headers tell the limit, what is left, and when there is more", async () => {
    const world = await limited({
      token_bucket: bucket(2, 60),
      enable_x_ratelimit_headers: "DRAFT_VERSION_03",
      enable_retry_after_header: true,
      response_headers_to_add: [{ header: { key: "x-refused", value: "%REQ(:path)%" } }],
    });
    const first = await world.exchange(get());
    expect(first).toContain("x-ratelimit-limit: 2\r\nx-ratelimit-remaining: 1\r\nx-ratelimit-reset: 0\r\n");
    expect(first).not.toContain("retry-after");
    await world.exchange(get());
    const refused = await world.exchange(get());
    expect(refused).toContain("x-ratelimit-limit: 2\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: 30\r\n");
    expect(refused).toContain("x-refused: /\r\nretry-after: 30\r\n");
  });

  test("a status of its own; for gRPC RESOURCE_EXHAUSTED if asked", async () => {
    const world = await limited({
      token_bucket: bucket(0 + 1),
      status: { code: 503 },
      rate_limited_as_resource_exhausted: true,
    });
    expect(await statuses(world, get(), get())).toBe("200 503");
    expect(await world.exchange(get("content-type: application/grpc\r\n"))).toContain("grpc-status: 8\r\n");
  });

  test("descriptors of the route have buckets of their own, beside the default one", async () => {
    const world = await limited(
      { token_bucket: bucket(4), descriptors: [limitOf("x-a", "1", 1)] },
      { routes: [route({ rate_limits: [byHeader("x-a")] })] },
    );
    expect(await statuses(world, get("x-a: 1\r\n"), get("x-a: 1\r\n"), get("x-a: 2\r\n"))).toBe("200 429 200");
    expect(await statuses(world, get(), get(), get())).toBe("200 200 429");
  });

  test("an empty value stands for any: each has a bucket, the longest unused one is forgotten", async () => {
    const world = await limited(
      { token_bucket: bucket(100), max_dynamic_descriptors: 2, descriptors: [limitOf("x-a", "", 1)] },
      { routes: [route({ rate_limits: [byHeader("x-a")] })] },
    );
    const of = (value: string): string => get(`x-a: ${value}\r\n`);
    expect(await statuses(world, of("1"), of("2"), of("1"), of("3"), of("1"), of("2"))).toBe("200 200 429 200 429 200");
  });

  test("shadow_mode counts and lets pass", async () => {
    const world = await limited(
      { token_bucket: bucket(100), descriptors: [limitOf("x-a", "1", 1, { shadow_mode: true })] },
      { routes: [route({ rate_limits: [byHeader("x-a")] })] },
    );
    expect(await statuses(world, get("x-a: 1\r\n"), get("x-a: 1\r\n"))).toBe("200 200");
    expect(world.counter("rl.http_local_rate_limit.shadow_mode")).toBe(1);
  });

  test("always_consume_default_token_bucket: false spares the default one", async () => {
    const world = await limited(
      {
        token_bucket: bucket(1),
        always_consume_default_token_bucket: false,
        descriptors: [limitOf("x-a", "1", 2)],
      },
      { routes: [route({ rate_limits: [byHeader("x-a")] })] },
    );
    expect(await statuses(world, get("x-a: 1\r\n"), get("x-a: 1\r\n"), get(), get())).toBe("200 200 200 429");
  });

  test("rate limits of the virtual host count where the route has none, or it includes them", async () => {
    const descriptors = [limitOf("x-a", "1", 1), limitOf("x-b", "1", 1)];
    const virtualHost = { rate_limits: [byHeader("x-b")] };
    const config = { token_bucket: bucket(100), descriptors };
    const both = [get("x-b: 1\r\n"), get("x-b: 1\r\n")];
    const inherited = await limited(config, { virtualHost });
    expect(await statuses(inherited, ...both)).toBe("200 429");
    const overridden = await limited(config, { virtualHost, routes: [route({ rate_limits: [byHeader("x-a")] })] });
    expect(await statuses(overridden, ...both)).toBe("200 200");
    const including = route({ rate_limits: [byHeader("x-a")], include_vh_rate_limits: true });
    expect(await statuses(await limited(config, { virtualHost, routes: [including] }), ...both)).toBe("200 429");
    const ignoring = await limited({ ...config, vh_rate_limits: "IGNORE" }, { virtualHost });
    expect(await statuses(ignoring, ...both)).toBe("200 200");
  });

  test("only rate limits of its stage, or those that it has itself", async () => {
    const config = { token_bucket: bucket(100), descriptors: [limitOf("x-a", "1", 1)] };
    const routes = [route({ rate_limits: [byHeader("x-a", { stage: 1 })] })];
    const both = [get("x-a: 1\r\n"), get("x-a: 1\r\n")];
    expect(await statuses(await limited(config, { routes }), ...both)).toBe("200 200");
    expect(await statuses(await limited({ ...config, stage: 1 }, { routes }), ...both)).toBe("200 429");
    expect(await statuses(await limited({ ...config, rate_limits: [byHeader("x-a")] }), ...both)).toBe("200 429");
  });

  test("a bucket for each connection", async () => {
    const world = await limited({ token_bucket: bucket(1), local_rate_limit_per_downstream_connection: true });
    const client = await world.connect();
    expect((await client.send(get())).slice(9, 12)).toBe("200");
    expect((await client.send(get())).slice(9, 12)).toBe("429");
    expect(await statuses(world, get())).toBe("200");
  });

  test("the route's configuration takes the place of the filter's", async () => {
    const own = { "@type": type, ...on, stat_prefix: "route", token_bucket: bucket(1) };
    const world = await limited(
      { token_bucket: bucket(100) },
      {
        routes: [{ ...route({}), match: { prefix: "/a" }, typed_per_filter_config: { [name]: own } }, route({})],
      },
    );
    expect(await statuses(world, get("", "/a"), get("", "/a"), get())).toBe("200 429 200");
    expect(world.counter("route.http_local_rate_limit.enforced")).toBe(1);
  });

  test.each([
    ["local_cluster_rate_limit", { token_bucket: bucket(1), local_cluster_rate_limit: {} }],
    ["fill timer must be >= 50ms", { token_bucket: { max_tokens: 1, fill_interval: "0.01s" } }],
    ["duplicate descriptor", { descriptors: [limitOf("a", "1", 1), limitOf("a", "1", 2)] }],
    ["apply_on_stream_done", { rate_limits: [byHeader("a", { apply_on_stream_done: true })] }],
  ])("%s is refused", async (words, config) => {
    await expect(limited(config)).rejects.toThrow(words);
  });
});
