import { describe, expect, test } from "vitest";
import { httpWorld, type HttpWorldOptions } from "./testing/http-world.ts";

const ok = (body: string, fields = ""): string =>
  `HTTP/1.1 200 OK\r\n${fields}content-length: ${body.length}\r\n\r\n${body}`;
const get = (path = "/", fields = ""): string => `GET ${path} HTTP/1.1\r\nHost: svc\r\n${fields}\r\n`;

/** A world with an upstream that answers `hello`. */
async function helloWorld(options: HttpWorldOptions = {}): ReturnType<typeof httpWorld> {
  const world = await httpWorld(options);
  await world.serve(80, () => ok("hello"));
  return world;
}

describe("envoy.filters.network.http_connection_manager", () => {
  test("a request goes to the cluster of its route and the answer comes back", async () => {
    const world = await helloWorld();
    const answer = await world.exchange("GET /a?b HTTP/1.1\r\nHost: svc\r\nX-One: 1\r\n\r\n");
    expect(answer).toMatch(
      /^HTTP\/1\.1 200 OK\r\ncontent-length: 5\r\nx-envoy-upstream-service-time: 0\r\ndate: [^\r]+ GMT\r\nserver: envoy\r\n\r\nhello$/,
    );
    expect(world.upstreamRequests[0]).toMatch(
      /^GET \/a\?b HTTP\/1\.1\r\nhost: svc\r\nx-one: 1\r\nx-forwarded-proto: http\r\nx-request-id: [0-9a-f-]{36}\r\nx-envoy-expected-rq-timeout-ms: 15000\r\n\r\n$/,
    );
    expect(world.log).toEqual(["200 - via_upstream"]);
  });

  test("statistics of a request and its connection", async () => {
    const world = await helloWorld();
    const client = await world.connect();
    await client.send(get());
    await client.send(get());
    for (const [name, value] of Object.entries({
      "http.in.downstream_cx_total": 1,
      "http.in.downstream_cx_http1_total": 1,
      "http.in.downstream_rq_total": 2,
      "http.in.downstream_rq_http1_total": 2,
      "http.in.downstream_rq_completed": 2,
      "http.in.downstream_rq_2xx": 2,
      "http.in.rq_total": 2,
      "listener.0.0.0.0_80.http.in.downstream_rq_2xx": 2,
    }))
      expect([name, world.counter(name)]).toEqual([name, value]);
    client.connection.destroy();
    await world.runtime.settle();
    expect(world.counter("http.in.downstream_cx_destroy_remote")).toBe(1);
    const active = world.stats.gauges().filter(({ name }) => name.endsWith("_active"));
    expect(active.filter(({ value }) => value !== 0)).toEqual([]);
  });

  test("access_log_options: a stream is logged at its beginning and again and again, too", async () => {
    const access_log_options = { flush_access_log_on_new_request: true, access_log_flush_interval: "1s" };
    const world = await httpWorld({ manager: { access_log_options } });
    let answer = (): void => undefined;
    await world.serve(80, (_request, connection) => {
      answer = () => void connection.write(Buffer.from(ok("late")));
      return undefined;
    });
    const client = await world.connect();
    await client.send(get());
    expect(world.log).toEqual(["0 - -"]);
    await world.runtime.advance(2500);
    expect(world.log).toEqual(["0 - -", "0 - -", "0 - -"]);
    answer();
    await world.runtime.advance(5000);
    expect(world.log).toEqual(["0 - -", "0 - -", "0 - -", "200 - via_upstream"]);
  });

  test("R-06 no route: 404, NR", async () => {
    const world = await helloWorld({ routes: [{ match: { prefix: "/x" }, route: { cluster: "up" } }] });
    expect(await world.exchange(get())).toMatch(
      /^HTTP\/1\.1 404 Not Found\r\ndate: [^\r]+\r\nserver: envoy\r\ncontent-length: 0\r\n\r\n$/,
    );
    expect(world.log).toEqual(["404 NR route_not_found"]);
    expect(world.counter("http.in.no_route")).toBe(1);
  });

  test("R-28 an unknown cluster: 503, NC", async () => {
    const world = await helloWorld({ routes: [{ match: { prefix: "/" }, route: { cluster: "nobody" } }] });
    expect(await world.exchange(get())).toMatch(/^HTTP\/1\.1 503 /);
    expect(world.log).toEqual(["503 NC cluster_not_found"]);
  });

  test("routes over RDS: 404 until they come", async () => {
    const world = await helloWorld({ manager: { rds: { route_config_name: "80", config_source: { ads: {} } } } });
    await world.exchange(get());
    expect(world.log).toEqual(["404 NR route_configuration_not_found"]);
  });

  test("R-44 a direct response, R-45 its type and length, R-111 for HEAD", async () => {
    const routes = [{ match: { prefix: "/" }, direct_response: { status: 200, body: { inline_string: "hé" } } }];
    const world = await helloWorld({ routes });
    expect(await world.exchange(get())).toMatch(
      /^HTTP\/1\.1 200 OK\r\ncontent-length: 3\r\ncontent-type: text\/plain\r\n.*\r\n\r\nh\xc3\xa9$/s,
    );
    expect(await world.exchange("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")).toMatch(/content-length: 3\r\n.*\r\n\r\n$/s);
    expect(world.log[0]).toBe("200 - direct_response");
  });

  test("R-43 a redirect", async () => {
    const world = await helloWorld({ routes: [{ match: { prefix: "/" }, redirect: { https_redirect: true } }] });
    expect(await world.exchange(get("/a?b"))).toMatch(
      /^HTTP\/1\.1 301 Moved Permanently\r\nlocation: https:\/\/svc\/a\?b\r\n/,
    );
  });

  test("R-91 a host that is missing or empty: 400, and the connection ends", async () => {
    const world = await helloWorld();
    for (const request of ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n"])
      expect(await world.exchange(request)).toMatch(
        /^HTTP\/1\.1 400 Bad Request\r\n.*connection: close\r\ncontent-length: 0\r\n\r\n$/s,
      );
    expect(world.log).toEqual(["400 - missing_host_header", "400 - missing_host_header"]);
  });

  test("R-92 a target that is no path: 404; a fragment: 400", async () => {
    const world = await helloWorld();
    expect(await world.exchange("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")).toMatch(/^HTTP\/1\.1 404 /);
    expect(await world.exchange(get("/a#b"))).toMatch(/^HTTP\/1\.1 400 /);
    expect(world.log).toEqual(["404 - absolute_path_rejected", "400 - path_normalization_failed"]);
  });

  test("R-93 the path that was judged is the one that is forwarded", async () => {
    const world = await helloWorld({ manager: { normalize_path: true } });
    await world.exchange(get("/a/%2e%2e/b%41?x=/../y"));
    expect(world.upstreamRequests[0]).toMatch(/^GET \/bA\?x=\/\.\.\/y /);
    expect(await world.exchange(get("/a%00"))).toMatch(/^HTTP\/1\.1 400 /);
  });

  test("R-95 escaped slashes: refused, redirected, forwarded", async () => {
    const action = (name: string): HttpWorldOptions => ({ manager: { path_with_escaped_slashes_action: name } });
    const rejecting = await helloWorld(action("REJECT_REQUEST"));
    expect(await rejecting.exchange(get("/a%2Fb"))).toMatch(/^HTTP\/1\.1 400 /);
    const redirecting = await helloWorld(action("UNESCAPE_AND_REDIRECT"));
    expect(await redirecting.exchange(get("/a%2Fb?c"))).toMatch(/^HTTP\/1\.1 307 [^\r]+\r\nlocation: \/a\/b\?c\r\n/);
    const forwarding = await helloWorld(action("UNESCAPE_AND_FORWARD"));
    await forwarding.exchange(get("/a%2Fb"));
    expect(forwarding.upstreamRequests[0]).toMatch(/^GET \/a\/b /);
  });

  test("a request that breaks the protocol is answered, logged with DPE, and the connection ends", async () => {
    const world = await helloWorld();
    const client = await world.connect();
    expect(await client.send("GET / HTTP/1.1\r\nHost : a\r\n\r\n")).toMatch(
      /^HTTP\/1\.1 400 Bad Request\r\ncontent-length: 11\r\ncontent-type: text\/plain\r\ndate: [^\r]+\r\nserver: envoy\r\nconnection: close\r\n\r\nBad Request$/,
    );
    expect(world.log).toEqual(["400 DPE http1.codec_error"]);
    expect(world.counter("http.in.downstream_cx_protocol_error")).toBe(1);
    await world.runtime.advance(1100);
    expect(client.isClosed).toBe(true);
  });

  test("a body that breaks the protocol after the route was found: 400", async () => {
    const world = await helloWorld();
    const client = await world.connect();
    await client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    expect(await client.send("zz\r\n")).toMatch(/^HTTP\/1\.1 400 /);
    expect(world.log).toEqual(["400 DPE http1.codec_error"]);
  });

  test("a client that goes away: DC, and the upstream request is given up", async () => {
    const world = await httpWorld();
    let upstreamClosed = 0;
    await world.serve(80, (_request, connection) => {
      const { handler } = connection;
      connection.handler = { ...handler, onData: () => {}, onClose: () => upstreamClosed++ };
      return undefined;
    });
    const client = await world.connect();
    await client.send(get());
    client.connection.destroy();
    await world.runtime.settle();
    expect(world.log).toEqual(["0 DC downstream_remote_disconnect"]);
    expect(upstreamClosed).toBe(1);
    expect(world.counter("http.in.downstream_cx_destroy_remote_active_rq")).toBe(1);
  });

  test("pipelined requests are answered in order", async () => {
    const world = await httpWorld();
    await world.serve(80, (request) => ok(request.split(" ")[1] ?? ""));
    const client = await world.connect();
    const answers = await client.send(get("/1") + get("/2") + get("/3"));
    expect(answers.match(/\r\n\r\n\/\d/g)).toEqual(["\r\n\r\n/1", "\r\n\r\n/2", "\r\n\r\n/3"]);
  });

  test("R-97 limits: 101 headers, 60 KiB", async () => {
    const world = await helloWorld();
    expect(await world.exchange(get("/", "x: 1\r\n".repeat(100)))).toMatch(
      /^HTTP\/1\.1 431 Request Header Fields Too Large\r\n/,
    );
    expect(await world.exchange(get("/", `x: ${"x".repeat(61_440)}\r\n`))).toMatch(/^HTTP\/1\.1 431 /);
  });

  test("R-106 Expect is answered here, or passed on with proxy_100_continue", async () => {
    const request = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    const here = await helloWorld();
    const client = await here.connect();
    expect(await client.send(request)).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    expect(await client.send("a")).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(here.upstreamRequests[0]).not.toContain("expect:");
    const there = await httpWorld({ manager: { proxy_100_continue: true } });
    await there.serve(80, () => `HTTP/1.1 100 Continue\r\n\r\n${ok("x")}`);
    const other = await there.connect();
    expect(await other.send(`${request}a`)).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
    expect(there.upstreamRequests[0]).toContain("expect: 100-continue\r\n");
  });

  test("R-108 an answer before the request's end: it is sent, and the connection ends", async () => {
    const world = await httpWorld();
    const runtime = world.runtime;
    await runtime
      .at("10.0.0.2")
      .network.listen({ address: { kind: "ip", address: "10.0.0.2", port: 80 } }, (connection) => {
        connection.handler = {
          onData: () => void connection.write("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n"),
          onClose() {},
        };
      });
    const client = await world.connect();
    expect(await client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")).toMatch(
      /^HTTP\/1\.1 413 Payload Too Large\r\n.*connection: close\r\n/s,
    );
    expect(world.counter("http.in.downstream_rq_response_before_rq_complete")).toBe(1);
    expect(client.hasEnded).toBe(true);
  });

  test("R-109 a local reply to a gRPC request is gRPC's", async () => {
    const world = await helloWorld({ routes: [{ match: { prefix: "/x" }, route: { cluster: "up" } }] });
    expect(await world.exchange(get("/", "content-type: application/grpc\r\n"))).toMatch(
      /^HTTP\/1\.1 200 OK\r\ncontent-type: application\/grpc\r\ngrpc-status: 12\r\n/,
    );
    const failing = await httpWorld();
    expect(await failing.exchange(get("/", "content-type: application/grpc\r\n"))).toMatch(
      /grpc-status: 14\r\ngrpc-message: upstream connect error or disconnect\/reset before headers\. reset reason: remote connection failure/,
    );
  });

  test("R-110 local_reply_config rewrites the proxy's own answers", async () => {
    const world = await helloWorld({
      routes: [{ match: { prefix: "/x" }, route: { cluster: "up" } }],
      manager: {
        local_reply_config: {
          mappers: [
            {
              filter: {
                status_code_filter: { comparison: { op: "EQ", value: { default_value: 404, runtime_key: "k" } } },
              },
              status_code: 410,
              body: { inline_string: "gone" },
              headers_to_add: [{ header: { key: "x-why", value: "%RESPONSE_CODE_DETAILS%" } }],
            },
          ],
          body_format: { json_format: { said: "%LOCAL_REPLY_BODY%" } },
        },
      },
    });
    const answer = await world.exchange(get());
    expect(answer).toMatch(/^HTTP\/1\.1 410 Gone\r\n/);
    expect(answer).toContain("x-why: route_not_found\r\n");
    expect(answer).toContain("content-type: application/json\r\n");
    expect(answer).toMatch(/\{"said":"gone"\}\n?$/);
  });

  test("R-103 an upgrade that is not enabled: 403", async () => {
    const world = await helloWorld();
    const request = get("/", "Connection: upgrade\r\nUpgrade: websocket\r\n");
    expect(await world.exchange(request)).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
    expect(world.log).toEqual(["403 - upgrade_failed"]);
    const disabled = await helloWorld({
      manager: { upgrade_configs: [{ upgrade_type: "websocket" }] },
      routes: [
        {
          match: { prefix: "/" },
          route: { cluster: "up", upgrade_configs: [{ upgrade_type: "websocket", enabled: false }] },
        },
      ],
    });
    expect(await disabled.exchange(request)).toMatch(/^HTTP\/1\.1 403 /);
  });

  test("R-105 CONNECT: 404 without a route, 403 where no upgrade is configured for it", async () => {
    const connect = "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n";
    const without = await helloWorld();
    expect(await without.exchange(connect)).toMatch(/^HTTP\/1\.1 404 /);
    const matching = await helloWorld({ routes: [{ match: { connect_matcher: {} }, route: { cluster: "up" } }] });
    expect(await matching.exchange(connect)).toMatch(/^HTTP\/1\.1 403 /);
  });

  test("R-104 a websocket: 101 passes, then bytes both ways until one side ends", async () => {
    const world = await httpWorld({ manager: { upgrade_configs: [{ upgrade_type: "WebSocket" }] } });
    await world.serve(80, (_request, connection) => {
      connection.handler = {
        onData: (chunk) => void connection.write(`echo ${chunk.toString()}`),
        onEnd: () => connection.end(),
        onClose() {},
      };
      return "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    });
    const client = await world.connect();
    expect(await client.send(get("/", "Connection: upgrade\r\nUpgrade: websocket\r\n"))).toMatch(
      /^HTTP\/1\.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n/,
    );
    expect(await client.send("one")).toBe("echo one");
    await world.runtime.advance(20_000); // no route timeout any more
    expect(await client.send("two")).toBe("echo two");
    expect(world.counter("http.in.downstream_cx_upgrades_total")).toBe(1);
    client.connection.destroy();
    await world.runtime.settle();
    expect(world.stats.gauges().find(({ name }) => name === "http.in.downstream_cx_upgrades_active")?.value).toBe(0);
    expect(world.log).toHaveLength(1);
  });

  test("R-112 a route switches a filter off", async () => {
    const fault = {
      name: "envoy.filters.http.fault",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
        abort: { http_status: 418, percentage: { numerator: 100 } },
      },
    };
    const disabled = { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", disabled: true };
    const world = await helloWorld({
      filters: [fault],
      routes: [
        { match: { prefix: "/free" }, route: { cluster: "up" }, typed_per_filter_config: { [fault.name]: disabled } },
        { match: { prefix: "/" }, route: { cluster: "up" } },
      ],
    });
    expect(await world.exchange(get("/"))).toMatch(/^HTTP\/1\.1 418 /);
    expect(await world.exchange(get("/free"))).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("virtual clusters are counted by themselves", async () => {
    const world = await helloWorld({
      virtualHost: {
        virtual_clusters: [{ name: "reads", headers: [{ name: ":method", string_match: { exact: "GET" } }] }],
      },
    });
    await world.exchange(get());
    expect(world.counter("vhost.all.vcluster.reads.upstream_rq_200")).toBe(1);
    expect(world.counter("vhost.all.vcluster.reads.upstream_rq_total")).toBe(1);
  });
});
