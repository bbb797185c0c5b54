import type { Connection } from "#lib/connection.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { httpWorld, type HttpWorld, type RawClient } from "./testing/http-world.ts";

/** One thing that a client does. */
type Step =
  | { readonly kind: "send"; readonly client: number; readonly bytes: string }
  | { readonly kind: "leave"; readonly client: number }
  | { readonly kind: "stall"; readonly client: number; readonly isPaused: boolean }
  | { readonly kind: "wait"; readonly ms: number };

/** How the upstream treats a request. */
const behaviours = [
  "ok",
  "large",
  "chunked",
  "5xx",
  "silence",
  "close",
  "reset",
  "garbage",
  "half",
  "early-close",
  "100",
  "by-close",
] as const;
type Behaviour = (typeof behaviours)[number];

const head = "HTTP/1.1 200 OK\r\n";

function behave(how: Behaviour, connection: Connection): string | undefined {
  switch (how) {
    case "ok":
      return `${head}content-length: 2\r\n\r\nok`;
    case "large":
      return `${head}content-length: 200000\r\n\r\n${"x".repeat(200_000)}`;
    case "chunked":
      return `${head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`;
    case "5xx":
      return "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    case "100":
      return `HTTP/1.1 100 Continue\r\n\r\n${head}content-length: 0\r\n\r\n`;
    case "garbage":
      return "no HTTP\r\n\r\n";
    case "half":
      return `${head}content-length: 100\r\n\r\nhalf`;
    case "early-close":
      connection.write(`${head}content-length: 100\r\n\r\nhalf`);
      connection.end();
      return undefined;
    case "by-close":
      connection.write(`${head}\r\nuntil the end`);
      connection.end();
      return undefined;
    case "close":
      connection.end();
      return undefined;
    case "reset":
      connection.reset();
      return undefined;
    case "silence":
      return undefined;
  }
}

const requests = fc.constantFrom(
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n",
  "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
  "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
  "GET /direct HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET /none/ HTTP/1.1\r\nHost: a\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
  "llo",
  "POST /mirror HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
  "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
  "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
  "GE",
  "T / HTTP/1.1\r\nHost: a\r\n\r\n",
);

const client = fc.nat({ max: 3 });
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant("send" as const), client, bytes: requests }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("leave" as const), client }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("stall" as const), client, isPaused: fc.boolean() }) },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.constantFrom(0, 5, 40, 700, 3000) }),
    },
  ),
  { minLength: 1, maxLength: 25 },
);

async function makeWorld(script: readonly Behaviour[]): Promise<HttpWorld> {
  const retryPolicy = { retry_on: "5xx,reset,connect-failure", num_retries: 2, per_try_timeout: "1s" };
  const world = await httpWorld({
    manager: {
      http_protocol_options: { accept_http_10: true },
      upgrade_configs: [{ upgrade_type: "websocket" }],
      stream_idle_timeout: "20s",
    },
    filters: [
      {
        name: "envoy.filters.http.fault",
        typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault" },
      },
    ],
    clusters: [
      {
        name: "up",
        addresses: [
          { kind: "ip", address: "10.0.0.2", port: 80 },
          { kind: "ip", address: "10.0.0.2", port: 81 }, // nobody listens
        ],
      },
    ],
    routes: [
      { match: { prefix: "/direct" }, direct_response: { status: 200, body: { inline_string: "direct" } } },
      { match: { prefix: "/none/" }, route: { cluster: "nobody" } },
      {
        match: { prefix: "/slow" },
        route: { cluster: "up", timeout: "2s" },
        typed_per_filter_config: {
          "envoy.filters.http.fault": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            delay: { fixed_delay: "0.5s", percentage: { numerator: 100 } },
          },
        },
      },
      { match: { prefix: "/mirror" }, route: { cluster: "up", request_mirror_policies: [{ cluster: "up" }] } },
      { match: { prefix: "/" }, route: { cluster: "up", timeout: "4s", retry_policy: retryPolicy } },
    ],
  });
  let next = 0;
  await world.serve(80, (_request, connection) => behave(script[next++ % script.length] ?? "ok", connection));
  return world;
}

async function play(world: HttpWorld, plan: readonly Step[]): Promise<void> {
  const clients = new Map<number, RawClient>();
  const clientOf = async (index: number): Promise<RawClient> => {
    let found = clients.get(index);
    if (found === undefined || found.isClosed || found.hasEnded) {
      found = await world.connect();
      clients.set(index, found);
    }
    return found;
  };
  for (const step of plan) {
    if (step.kind === "wait") await world.runtime.advance(step.ms);
    else if (step.kind === "send") await (await clientOf(step.client)).send(step.bytes);
    else if (step.kind === "leave") clients.get(step.client)?.connection.destroy();
    else if (step.isPaused) clients.get(step.client)?.connection.pause();
    else clients.get(step.client)?.connection.resume();
  }
  await world.runtime.advance(60_000);
  for (const left of clients.values()) left.connection.destroy();
  await world.runtime.advance(60_000);
}

describe("whatever clients and upstreams do", () => {
  test("each request is logged once, and nothing is held for ever", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...behaviours), { minLength: 1, maxLength: 8 }),
        steps,
        async (script, plan) => {
          const world = await makeWorld(script);
          await play(world, plan);
          expect(world.log).toHaveLength(world.counter("http.in.downstream_rq_total"));
          const held = world.stats
            .gauges()
            .filter(({ name, value }) => value !== 0 && !name.includes("_open") && !name.startsWith("server."));
          expect(held.map(({ name, value }) => `${name}=${value}`)).toEqual([]);
        },
      ),
      { numRuns: 150 },
    );
  });
});
