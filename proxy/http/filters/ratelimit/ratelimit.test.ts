import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { messageFromJson } from "#protos/json.ts";
import { schema } from "#protos/registry.ts";
import type { RateLimitRequest, RateLimitResponse } from "#protos/gen/envoy/service/ratelimit/v3/rls_pb.js";
import { httpWorld, type HttpWorld, type Json } from "../../testing/http-world.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit";
const get = (fields = ""): string => `GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
const byHeader = (name: string, more: Json = {}): Json => ({
  actions: [{ request_headers: { header_name: name, descriptor_key: name } }],
  ...more,
});

/** The service speaks HTTP/1.1 here: the message is the same, its status comes in the head. */
function answerOf(fields: Json): string {
  const name = "envoy.service.ratelimit.v3.RateLimitResponse";
  const { value } = messageFromJson(name, fields);
  if (value === undefined) throw new Error("not a RateLimitResponse");
  const message = Buffer.from(toBinary(schema<RateLimitResponse>(name), value as RateLimitResponse));
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  const body = Buffer.concat([frame, message]).toString("latin1");
  return `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\ngrpc-status: 0\r\n\r\n`;
}

interface Limited {
  readonly world: HttpWorld;
  /** What the service was asked: domain, then pairs. */
  readonly asked: string[];
}

async function limited(
  fields: Json,
  answer: (() => string | undefined) | string,
  limits: readonly Json[] = [byHeader("x-a")],
  more = {},
): Promise<Limited> {
  const asked: string[] = [];
  const world = await httpWorld({
    filters: [
      {
        name: "rl",
        typed_config: {
          "@type": type,
          domain: "d",
          timeout: "1s",
          rate_limit_service: { grpc_service: { envoy_grpc: { cluster_name: "rls" } }, transport_api_version: "V3" },
          ...fields,
        },
      },
    ],
    clusters: [
      { name: "up" },
      { name: "rls", enableTrailers: true, addresses: [{ kind: "ip", address: "10.0.0.2", port: 81 }] },
    ],
    routes: [{ match: { prefix: "/" }, route: { cluster: "up", rate_limits: limits } }],
    ...more,
  });
  await world.serve(80, () => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  await world.serve(81, (request) => {
    const body = Buffer.from(request.slice(request.indexOf("\r\n\r\n") + 4), "latin1");
    const start = body.indexOf("\r\n") + 2;
    const message = body.subarray(start + 5, start + Number.parseInt(body.toString("latin1"), 16));
    const name = "envoy.service.ratelimit.v3.RateLimitRequest";
    const { domain, descriptors, hitsAddend } = fromBinary(schema<RateLimitRequest>(name), message);
    const pairs = descriptors.map(({ entries }) => entries.map(({ key, value }) => `${key}=${value}`).join(","));
    asked.push(`${domain} ${pairs.join(" ")}${hitsAddend === 0 ? "" : ` +${hitsAddend}`}`);
    return typeof answer === "string" ? answer : answer();
  });
  return { world, asked };
}

describe("envoy.filters.http.ratelimit", () => {
  test("asks with the descriptors of the route, and lets pass", async () => {
    const { world, asked } = await limited({}, answerOf({ overall_code: "OK" }), [byHeader("x-a"), byHeader("x-b")]);
    expect(await world.exchange(get("x-a: 1\r\nx-b: 2\r\n"))).toMatch(/ok$/);
    expect(asked).toEqual(["d x-a=1 x-b=2"]);
    expect(world.counter("cluster.up.ratelimit.ok")).toBe(1);
  });

  test("nobody is asked where nothing is limited", async () => {
    const { world, asked } = await limited({}, answerOf({ overall_code: "OVER_LIMIT" }));
    expect(await world.exchange(get())).toMatch(/ok$/);
    expect(asked).toEqual([]);
  });

  test("refuses what is over the limit: 429, RL", async () => {
    const { world } = await limited({}, answerOf({ overall_code: "OVER_LIMIT", raw_body: "c29ycnk=" }));
    expect(await world.exchange(get("x-a: 1\r\n"))).toMatch(/^HTTP\/1\.1 429 [^]*x-envoy-ratelimited: true[^]*sorry$/);
    expect(world.log).toEqual(["429 RL request_rate_limited"]);
    expect(world.counter("cluster.up.ratelimit.over_limit")).toBe(1);
  });

  test("no answer in time lets pass, or refuses: RLSE", async () => {
    const open = await limited({}, () => undefined);
    const client = await open.world.connect();
    await client.send(get("x-a: 1\r\n"));
    await open.world.runtime.advance(1100);
    expect(client.take()).toMatch(/ok$/);
    expect(open.world.counter("cluster.up.ratelimit.failure_mode_allowed")).toBe(1);
    const closed = await limited({ failure_mode_deny: true }, () => undefined);
    const other = await closed.world.connect();
    await other.send(get("x-a: 1\r\n"));
    await closed.world.runtime.advance(1100);
    expect(other.take()).toMatch(/^HTTP\/1\.1 500 /);
    expect(closed.world.log).toEqual(["500 RLSE rate_limiter_error"]);
  });

  test("an answer that is none counts as an error", async () => {
    const { world } = await limited({ failure_mode_deny: true }, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc");
    expect(await world.exchange(get("x-a: 1\r\n"))).toMatch(/^HTTP\/1\.1 500 /);
    expect(world.counter("cluster.up.ratelimit.error")).toBe(1);
  });

  test("a client that leaves meanwhile ends the call", async () => {
    const { world } = await limited({}, () => undefined);
    const client = await world.connect();
    await client.send(get("x-a: 1\r\n"));
    client.connection.destroy();
    await world.runtime.advance(2000);
    expect(world.log).toEqual(["0 DC downstream_remote_disconnect"]);
    expect(world.counter("cluster.up.ratelimit.error")).toBe(0);
  });

  test("limits of what was served are told of it at the end", async () => {
    const { world, asked } = await limited({}, answerOf({ overall_code: "OVER_LIMIT" }), [
      byHeader("x-a", { apply_on_stream_done: true }),
    ]);
    expect(await world.exchange(get("x-a: 1\r\n"))).toMatch(/ok$/);
    await world.runtime.settle();
    expect(asked).toEqual(["d x-a=1"]);
  });

  test("a disable_key and the well-known keys of the runtime switch limits off", async () => {
    const over = answerOf({ overall_code: "OVER_LIMIT" });
    const limits = [byHeader("x-a", { disable_key: "k" })];
    const one = await limited({}, over, limits, { runtimeValues: { "ratelimit.k.http_filter_enabled": 0 } });
    expect(await one.world.exchange(get("x-a: 1\r\n"))).toMatch(/ok$/);
    const all = await limited({}, over, limits, { runtimeValues: { "ratelimit.http_filter_enabled": 0 } });
    expect(await all.world.exchange(get("x-a: 1\r\n"))).toMatch(/ok$/);
    const watching = await limited({}, over, limits, { runtimeValues: { "ratelimit.http_filter_enforcing": 0 } });
    expect(await watching.world.exchange(get("x-a: 1\r\n"))).toMatch(/ok$/);
    expect([one.asked.length, all.asked.length, watching.asked.length]).toEqual([0, 0, 1]);
  });

  test.each([
    ["google_grpc", { rate_limit_service: { grpc_service: { google_grpc: { target_uri: "x", stat_prefix: "y" } } } }],
    ["enable_retry_after_header", { enable_retry_after_header: true }],
  ])("%s is refused by name", async (_what, fields) => {
    await expect(limited(fields, "")).rejects.toThrow(/not supported|not made|only envoy_grpc/);
  });
});
