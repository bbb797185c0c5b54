import type { Connection } from "#lib/connection.ts";
import { describe, expect, test } from "vitest";
import type { HttpPool } from "../../../upstream/types.ts";
import type { Message } from "@bufbuild/protobuf";
import { messageFromJson } from "#protos/json.ts";
import { router } from "./router.ts";
import { httpWorld, type HttpWorld, type HttpWorldOptions, type Json } from "../../testing/http-world.ts";

const reply = (status: number, body = "", fields = ""): string =>
  `HTTP/1.1 ${status} X\r\n${fields}content-length: ${body.length}\r\n\r\n${body}`;
const get = (fields = ""): string => `GET / HTTP/1.1\r\nHost: svc\r\n${fields}\r\n`;
const post = (body: string): string => `POST / HTTP/1.1\r\nHost: svc\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

function routeWorld(route: Json, more: HttpWorldOptions = {}): Promise<HttpWorld> {
  return httpWorld({ ...more, routes: [{ match: { prefix: "/" }, route: { cluster: "up", ...route } }] });
}

/** Answers one after the other; the last for ever. */
function inTurn(...answers: readonly (string | ((connection: Connection) => string | undefined))[]) {
  let index = 0;
  return (_request: string, connection: Connection): string | undefined => {
    const answer = answers[Math.min(index++, answers.length - 1)];
    return typeof answer === "function" ? answer(connection) : answer;
  };
}

const twoHosts: NonNullable<HttpWorldOptions["clusters"]> = [
  {
    name: "up",
    addresses: [
      { kind: "ip", address: "10.0.0.2", port: 80 },
      { kind: "ip", address: "10.0.0.2", port: 81 },
    ],
  },
];

describe("envoy.filters.http.router: failures and their names", () => {
  test("nobody listens: 503 UF", async () => {
    const world = await routeWorld({});
    const answer = await world.exchange(get());
    expect(answer).toMatch(
      /^HTTP\/1\.1 503 Service Unavailable\r\ncontent-length: \d+\r\ncontent-type: text\/plain\r\n/,
    );
    expect(answer).toMatch(
      /\r\n\r\nupstream connect error or disconnect\/reset before headers\. reset reason: remote connection failure$/,
    );
    expect(world.log[0]).toMatch(/^503 UF upstream_reset_before_response_started\{remote_connection_failure\|/);
    expect(world.counter("cluster.up.upstream_rq_503")).toBe(1);
    expect(world.clusters.get("up")?.hosts[0]?.outcomes).toEqual(["connect-failed"]);
  });

  test("a pool that fails at once is the end: no clock runs on and counts another answer", async () => {
    const world = await routeWorld({ timeout: "1s" });
    const cluster = world.clusters.get("up") as unknown as { httpPool: () => HttpPool };
    cluster.httpPool = () => ({
      newStream(_decoder, callbacks) {
        callbacks.onPoolFailure("overflow", "", undefined);
        return undefined;
      },
    });
    expect(await world.exchange(get())).toMatch(/^HTTP\/1\.1 503 /);
    await world.runtime.advance(2000);
    expect(world.log).toHaveLength(1);
    expect(["rq_503", "rq_504", "rq_timeout"].map((name) => world.counter(`cluster.up.upstream_${name}`))).toEqual([
      1, 0, 0,
    ]);
  });

  test("of upstream_http_filters the codec is taken, any other refused by name", () => {
    const problemsOf = (...types: readonly string[]): readonly string[] => {
      const prefix = "type.googleapis.com/envoy.extensions.filters.http.";
      const upstream_http_filters = types.map((type) => ({ name: "f", typed_config: { "@type": prefix + type } }));
      const message = messageFromJson("envoy.extensions.filters.http.router.v3.Router", { upstream_http_filters });
      return router.parse(message.value as Message, "").problems.map(({ path, message: text }) => `${path}: ${text}`);
    };
    expect(problemsOf("upstream_codec.v3.UpstreamCodec")).toEqual([]);
    expect(problemsOf("buffer.v3.Buffer", "upstream_codec.v3.UpstreamCodec")).toEqual([
      expect.stringMatching(/^upstream_http_filters\[0\]\.typed_config: .*; put f into http_filters$/),
    ]);
  });

  test("start_child_span is refused by name: it would make spans of attempts", () => {
    const problemsOf = (start_child_span: boolean): readonly string[] => {
      const message = messageFromJson("envoy.extensions.filters.http.router.v3.Router", { start_child_span });
      return router.parse(message.value as Message, "").problems.map(({ path, message: text }) => `${path}: ${text}`);
    };
    expect(problemsOf(false)).toEqual([]);
    expect(problemsOf(true)).toEqual([expect.stringMatching(/^start_child_span: .*leave start_child_span out/)]);
  });

  test("dynamic_stats: false counts neither statuses nor times", async () => {
    const typed_config = {
      "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
      dynamic_stats: false,
    };
    const world = await routeWorld({}, { manager: { http_filters: [{ name: "router", typed_config }] } });
    await world.serve(80, () => reply(200));
    expect(await world.exchange(get())).toMatch(/^HTTP\/1\.1 200 /);
    expect(world.counter("cluster.up.upstream_rq_200")).toBe(0);
    expect(world.counter("cluster.up.upstream_rq_completed")).toBe(0);
  });

  test("suppress_grpc_request_failure_code_stats: of gRPC only that there was an answer", async () => {
    const typed_config = {
      "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
      suppress_grpc_request_failure_code_stats: true,
    };
    const world = await routeWorld({}, { manager: { http_filters: [{ name: "router", typed_config }] } });
    await world.serve(80, () => reply(503));
    await world.exchange(get("content-type: application/grpc\r\n"));
    await world.exchange(get());
    expect(world.counter("cluster.up.upstream_rq_503")).toBe(1);
    expect(world.counter("cluster.up.upstream_rq_completed")).toBe(2);
    expect(world.counter("cluster.up.external.upstream_rq_503")).toBe(2);
  });

  test("the upstream closes before it answers: 503 UC", async () => {
    const world = await routeWorld({});
    await world.serve(80, (_request, connection) => {
      connection.destroy();
      return undefined;
    });
    expect(await world.exchange(get())).toMatch(
      /503 .*\r\n\r\nupstream connect error or disconnect\/reset before headers\. reset reason: connection termination$/s,
    );
    expect(world.log).toEqual(["503 UC upstream_reset_before_response_started{connection_termination}"]);
  });

  test("the upstream closes within its answer: the stream is reset, UPE", async () => {
    const world = await routeWorld({});
    await world.serve(80, (_request, connection) => {
      connection.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc");
      connection.end();
      return undefined;
    });
    const client = await world.connect();
    await client.send(get());
    expect(client.isClosed).toBe(true);
    expect(world.log).toEqual(["200 UPE upstream_reset_after_response_started{protocol_error}"]);
    expect(world.counter("http.in.rq_reset_after_downstream_response_started")).toBe(1);
  });

  test("the upstream breaks the protocol: 502 UPE", async () => {
    const world = await routeWorld({});
    await world.serve(80, () => "nonsense\r\n\r\n");
    expect(await world.exchange(get())).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n/);
    expect(world.log).toEqual(["502 UPE upstream_reset_before_response_started{protocol_error}"]);
  });

  test("no healthy host: 503 UH", async () => {
    const world = await routeWorld({}, { clusters: [{ name: "up", addresses: [] }] });
    expect(await world.exchange(get())).toMatch(/\r\n\r\nno healthy upstream$/);
    expect(world.log).toEqual(["503 UH no_healthy_upstream"]);
    expect(world.counter("cluster.up.upstream_cx_none_healthy")).toBe(1);
  });

  test.each([
    [100, "unconditional drop overload", "x-envoy-unconditional-drop-overload", "503 UDO unconditional_drop_overload"],
    [99.9999, "drop overload", "x-envoy-drop-overload", "503 DO drop_overload"],
  ])("drop_overloads of %d %%: %s", async (percent, body, header, line) => {
    const world = await routeWorld({});
    const cluster = world.clusters.get("up");
    if (cluster !== undefined)
      cluster.dropOverload = { numerator: Math.trunc(percent * 10_000), denominator: 1_000_000 };
    const answer = await world.exchange(get());
    expect(answer).toContain(`\r\n\r\n${body}`);
    expect(answer).toContain(`${header}: true\r\n`);
    expect(world.log).toEqual([line]);
    expect(world.counter("cluster.up.upstream_rq_503")).toBe(1);
  });

  test("maintenance: 503 UO, x-envoy-overloaded (R-89)", async () => {
    const world = await routeWorld({});
    const cluster = world.clusters.get("up");
    if (cluster !== undefined) cluster.isMaintenance = true;
    expect(await world.exchange(get())).toContain("x-envoy-overloaded: true\r\n");
    expect(world.log).toEqual(["503 UO maintenance_mode"]);
  });
});

describe("envoy.filters.http.router: timeouts", () => {
  test("R-47 the route's timeout, from the end of the request: 504 UT", async () => {
    const world = await routeWorld({ timeout: "1s" });
    await world.serve(80, () => undefined);
    const client = await world.connect();
    await client.send("POST / HTTP/1.1\r\nHost: svc\r\nContent-Length: 1\r\n\r\n");
    await world.runtime.advance(2000);
    expect(client.take()).toBe("");
    await client.send("a");
    await world.runtime.advance(900);
    expect(client.take()).toBe("");
    await world.runtime.advance(200);
    expect(client.take()).toMatch(/^HTTP\/1\.1 504 Gateway Timeout\r\n.*\r\n\r\nupstream request timeout$/s);
    expect(world.log).toEqual(["504 UT response_timeout"]);
    expect(world.counter("cluster.up.upstream_rq_timeout")).toBe(1);
  });

  test("R-48 a header of an internal request sets the timeout, and goes no further", async () => {
    const internal = {
      use_remote_address: true,
      internal_address_config: { cidr_ranges: [{ address_prefix: "10.0.0.0", prefix_len: 8 }] },
    };
    const world = await routeWorld({}, { manager: internal });
    await world.serve(80, () => undefined);
    const client = await world.connect();
    await client.send(get("x-envoy-upstream-rq-timeout-ms: 500\r\n"));
    expect(world.upstreamRequests[0]).toContain("x-envoy-expected-rq-timeout-ms: 500\r\n");
    expect(world.upstreamRequests[0]).not.toContain("x-envoy-upstream-rq-timeout-ms");
    await world.runtime.advance(600);
    expect(client.take()).toMatch(/^HTTP\/1\.1 504 /);
  });

  test("R-51 each try has its time, and is tried again (R-62)", async () => {
    const world = await routeWorld({ retry_policy: { retry_on: "5xx", num_retries: 1, per_try_timeout: "1s" } });
    await world.serve(
      80,
      inTurn(() => undefined, reply(200, "second")),
    );
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(1200);
    expect(client.take()).toMatch(/second$/);
    expect(world.counter("cluster.up.upstream_rq_per_try_timeout")).toBe(1);
    expect(world.upstreamRequests.map((request) => /expected-rq-timeout-ms: (\d+)/.exec(request)?.[1])).toEqual([
      "1000",
      "1000",
    ]);
  });

  test("R-51 without a retry left: 504 UT upstream_per_try_timeout", async () => {
    const world = await routeWorld({ retry_policy: { retry_on: "connect-failure", per_try_timeout: "1s" } });
    await world.serve(80, () => undefined);
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(1200);
    expect(client.take()).toMatch(/^HTTP\/1\.1 504 /);
    expect(world.log).toEqual(["504 UT upstream_per_try_timeout"]);
  });

  test("R-52 no byte from the upstream for so long", async () => {
    const world = await routeWorld({ retry_policy: { retry_on: "connect-failure", per_try_idle_timeout: "1s" } });
    await world.serve(80, () => undefined);
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(1200);
    expect(world.log).toEqual(["504 UT upstream_per_try_idle_timeout"]);
    expect(world.counter("cluster.up.upstream_rq_per_try_idle_timeout")).toBe(1);
  });

  test("the route's timeout after the response began breaks it off", async () => {
    const world = await routeWorld({ timeout: "1s" });
    await world.serve(80, () => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc");
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(1200);
    expect(client.isClosed).toBe(true);
    expect(world.log).toEqual(["200 UT response_timeout"]);
  });

  test("R-76 hedging: the slow attempt may still win", async () => {
    const world = await routeWorld({
      retry_policy: { retry_on: "5xx", num_retries: 1, per_try_timeout: "1s" },
      hedge_policy: { hedge_on_per_try_timeout: true },
    });
    const connections: Connection[] = [];
    await world.serve(80, (_request, connection) => void connections.push(connection));
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(1200);
    expect(connections).toHaveLength(2);
    connections[0]?.write(reply(200, "slow"));
    await world.runtime.settle();
    expect(client.take()).toMatch(/slow$/);
    expect(world.log).toEqual(["200 - via_upstream"]);
  });
});

describe("envoy.filters.http.router: retries", () => {
  test("R-62, R-72 5xx is tried again after the back-off, with its body", async () => {
    const world = await routeWorld({ retry_policy: { retry_on: "5xx", num_retries: 2 } });
    await world.serve(80, inTurn(reply(500), reply(503), reply(200, "third")));
    const client = await world.connect();
    await client.send(post("payload"));
    await world.runtime.advance(300);
    expect(client.take()).toMatch(/^HTTP\/1\.1 200 .*third$/s);
    expect(world.upstreamRequests.map((request) => request.split("\r\n\r\n")[1])).toEqual([
      "payload",
      "payload",
      "payload",
    ]);
    expect(world.log).toEqual(["200 - via_upstream"]);
    for (const [name, value] of [
      ["upstream_rq_retry", 2],
      ["upstream_rq_retry_success", 1],
      ["upstream_rq_500", 0],
      ["upstream_rq_503", 0],
      ["upstream_rq_200", 1],
    ] as const)
      expect([name, world.counter(`cluster.up.${name}`)]).toEqual([name, value]);
  });

  test("R-74 exhausted: the last response with URX", async () => {
    const world = await routeWorld({ retry_policy: { retry_on: "5xx", num_retries: 1 } });
    await world.serve(80, () => reply(503, "no"));
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(300);
    expect(client.take()).toMatch(/^HTTP\/1\.1 503 .*no$/s);
    expect(world.log).toEqual(["503 URX via_upstream"]);
    expect(world.counter("cluster.up.upstream_rq_retry_limit_exceeded")).toBe(1);
  });

  test("R-73 no room for a retry: the first response with UO", async () => {
    const world = await routeWorld(
      { retry_policy: { retry_on: "5xx" } },
      { clusters: [{ name: "up", maxRetries: 0 }] },
    );
    await world.serve(80, () => reply(503, "no"));
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(300);
    expect(world.log).toEqual(["503 UO via_upstream"]);
    expect(world.counter("cluster.up.upstream_rq_retry_overflow")).toBe(1);
  });

  test("R-65 connect failures go to another host; the body tells of the retry", async () => {
    const world = await routeWorld(
      { retry_policy: { retry_on: "connect-failure", num_retries: 1 } },
      { clusters: twoHosts },
    );
    await world.serve(81, () => reply(200, "other"));
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(300);
    expect(client.take()).toMatch(/other$/);
    const alone = await routeWorld({ retry_policy: { retry_on: "connect-failure", num_retries: 1 } });
    const second = await alone.connect();
    await second.send(get());
    await alone.runtime.advance(300);
    expect(second.take()).toContain("before headers. retried and the latest reset reason: remote connection failure");
    expect(alone.log[0]).toMatch(/^503 URX,UF /);
  });

  test("R-75 previous_hosts: a retry does not go where it failed", async () => {
    const retryPolicy = {
      retry_on: "5xx",
      num_retries: 1,
      host_selection_retry_max_attempts: 5,
      retry_host_predicate: [
        {
          name: "envoy.retry_host_predicates.previous_hosts",
          typed_config: {
            "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
          },
        },
      ],
    };
    const world = await routeWorld({ retry_policy: retryPolicy }, { clusters: twoHosts });
    await world.serve(80, () => reply(500));
    await world.serve(81, () => reply(200, "good"));
    for (let i = 0; i < 4; i++) {
      const client = await world.connect();
      await client.send(get());
      await world.runtime.advance(300);
      expect(client.take()).toMatch(/good$/);
    }
  });

  test("attempts are counted in the request, and in the response where asked", async () => {
    const world = await routeWorld(
      { retry_policy: { retry_on: "5xx", num_retries: 2 } },
      { virtualHost: { include_request_attempt_count: true, include_attempt_count_in_response: true } },
    );
    await world.serve(80, inTurn(reply(500), reply(200)));
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(300);
    expect(client.take()).toContain("x-envoy-attempt-count: 2\r\n");
    expect(world.upstreamRequests.map((request) => /attempt-count: (\d)/.exec(request)?.[1])).toEqual(["1", "2"]);
  });

  test("R-71 a body beyond the buffer limit is not sent again", async () => {
    const world = await routeWorld(
      { retry_policy: { retry_on: "5xx" } },
      { virtualHost: { per_request_buffer_limit_bytes: 10 } },
    );
    await world.serve(80, () => reply(503, "no"));
    const client = await world.connect();
    await client.send("POST / HTTP/1.1\r\nHost: svc\r\nContent-Length: 20\r\n\r\n12345");
    const answer = await client.send("678901234567890");
    expect(answer).toMatch(/^HTTP\/1\.1 503 .*no$/s);
    expect(world.upstreamRequests).toHaveLength(1);
    expect(world.counter("cluster.up.retry_or_shadow_abandoned")).toBe(1);
  });

  test("a client that leaves during the back-off is not tried for", async () => {
    const world = await routeWorld({ retry_policy: { retry_on: "5xx", retry_back_off: { base_interval: "1s" } } });
    await world.serve(80, () => reply(503));
    const client = await world.connect();
    await client.send(get());
    client.connection.destroy();
    await world.runtime.advance(3000);
    expect(world.upstreamRequests).toHaveLength(1);
    expect(world.log).toEqual(["0 DC downstream_remote_disconnect"]);
  });
});

describe("envoy.filters.http.router: the rest", () => {
  test("R-35 a mirror gets a copy; its answer is thrown away", async () => {
    const world = await routeWorld(
      { request_mirror_policies: [{ cluster: "shadow" }] },
      { clusters: [{ name: "up" }, { name: "shadow", addresses: [{ kind: "ip", address: "10.0.0.2", port: 81 }] }] },
    );
    await world.serve(80, () => reply(200, "real"));
    await world.serve(81, () => reply(500, "shadow"));
    expect(await world.exchange(post("body"))).toMatch(/real$/);
    const copy = world.upstreamRequests.find((request) => request.includes("svc-shadow"));
    expect(copy).toMatch(/^POST \/ HTTP\/1\.1\r\nhost: svc-shadow\r\n.*\r\n\r\nbody$/s);
    expect(world.counter("cluster.shadow.upstream_rq_500")).toBe(1);
    expect(world.log).toEqual(["200 - via_upstream"]);
  });

  test("R-46 an internal redirect is followed once", async () => {
    const world = await routeWorld({ internal_redirect_policy: {} });
    await world.serve(
      80,
      inTurn(
        reply(302, "", "location: http://other/new\r\n"),
        reply(200, "there"),
        reply(302, "", "location: http://x/\r\n"),
      ),
    );
    expect(await world.exchange(get())).toMatch(/there$/);
    expect(world.upstreamRequests[1]).toMatch(/^GET \/new HTTP\/1\.1\r\nhost: other\r\n/);
    expect(world.upstreamRequests[1]).toContain("x-envoy-original-url: http://svc/\r\n");
  });

  test("suppress_envoy_headers keeps Envoy's own to itself (R-88)", async () => {
    const suppressing = {
      name: "envoy.filters.http.router",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        suppress_envoy_headers: true,
      },
    };
    const world = await httpWorld({ manager: { http_filters: [suppressing] } });
    await world.serve(80, () => reply(200));
    expect(await world.exchange(get())).not.toContain("x-envoy-");
    expect(world.upstreamRequests[0]).not.toContain("x-envoy-");
  });

  test("strict_check_headers: 400 IH", async () => {
    const strict = {
      name: "envoy.filters.http.router",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        strict_check_headers: ["x-envoy-max-retries"],
      },
    };
    const world = await httpWorld({
      manager: {
        http_filters: [strict],
        use_remote_address: true,
        internal_address_config: { cidr_ranges: [{ address_prefix: "10.0.0.0", prefix_len: 8 }] },
      },
    });
    expect(await world.exchange(get("x-envoy-max-retries: many\r\n"))).toMatch(
      /invalid header 'x-envoy-max-retries' with value 'many'$/,
    );
    expect(world.log).toEqual(["400 IH request_headers_failed_strict_check{x-envoy-max-retries}"]);
  });

  test("a large body streams through, both ways", async () => {
    const world = await routeWorld({});
    const body = "y".repeat(500_000);
    await world.serve(80, (request) => reply(200, request.split("\r\n\r\n")[1]));
    const client = await world.connect();
    let answer = await client.send(post(body));
    await world.runtime.advance(1000);
    answer += client.take();
    expect(answer.endsWith(body)).toBe(true);
  });
});
