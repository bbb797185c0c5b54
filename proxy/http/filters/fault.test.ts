import { describe, expect, test } from "vitest";
import { httpWorld, type HttpWorld, type Json } from "../testing/http-world.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const get = (fields = ""): string => `GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
const always = { numerator: 100 };

async function faultWorld(config: Json, route: Json = {}, runtimeValues: Json = {}): Promise<HttpWorld> {
  const world = await httpWorld({
    runtimeValues,
    filters: [{ name: "envoy.filters.http.fault", typed_config: { "@type": type, ...config } }],
    routes: [{ match: { prefix: "/" }, route: { cluster: "up" }, ...route }],
  });
  if (config["response_rate_limit"] === undefined || "header_limit" in (config["response_rate_limit"] as Json))
    await world.serve(80, () => ok);
  return world;
}

describe("envoy.filters.http.fault", () => {
  test("aborts with a status: FI", async () => {
    const world = await faultWorld({ abort: { http_status: 418, percentage: always } });
    expect(await world.exchange(get())).toMatch(/^HTTP\/1\.1 418 .*\r\n\r\nfault filter abort$/s);
    expect(world.log).toEqual(["418 FI fault_filter_abort"]);
    expect(world.counter("http.in.fault.aborts_injected")).toBe(1);
    expect(world.upstreamRequests).toEqual([]);
  });

  test("delays, then lets through: DI", async () => {
    const world = await faultWorld({ delay: { fixed_delay: "2s", percentage: always } });
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(1900);
    expect(client.take()).toBe("");
    expect(world.stats.gauges().find(({ name }) => name === "http.in.fault.active_faults")?.value).toBe(1);
    await world.runtime.advance(200);
    expect(client.take()).toMatch(/ok$/);
    expect(world.log).toEqual(["200 DI via_upstream"]);
    expect(world.counter("http.in.fault.delays_injected")).toBe(1);
    expect(world.stats.gauges().find(({ name }) => name === "http.in.fault.active_faults")?.value).toBe(0);
  });

  test("delays, then aborts: DI,FI; the body that came meanwhile is thrown away", async () => {
    const world = await faultWorld({
      delay: { fixed_delay: "1s", percentage: always },
      abort: { http_status: 503, percentage: always },
    });
    const client = await world.connect();
    await client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    await world.runtime.advance(1100);
    expect(client.take()).toMatch(/^HTTP\/1\.1 503 /);
    expect(world.log).toEqual(["503 DI,FI fault_filter_abort"]);
  });

  test("a body that waits out a delay arrives whole", async () => {
    const world = await faultWorld({ delay: { fixed_delay: "1s", percentage: always } });
    const client = await world.connect();
    await client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    await client.send("def");
    await world.runtime.advance(1100);
    expect(world.upstreamRequests[0]).toMatch(/\r\n\r\nabcdef$/);
  });

  test("a client that leaves during a delay ends it", async () => {
    const world = await faultWorld({ delay: { fixed_delay: "1s", percentage: always } });
    const client = await world.connect();
    await client.send(get());
    client.connection.destroy();
    await world.runtime.advance(2000);
    expect(world.upstreamRequests).toEqual([]);
    expect(world.log).toEqual(["0 DI,DC downstream_remote_disconnect"]);
  });

  test("a gRPC status answers as gRPC does", async () => {
    const world = await faultWorld({ abort: { grpc_status: 14, percentage: always } });
    expect(await world.exchange(get("content-type: application/grpc\r\n"))).toMatch(
      /^HTTP\/1\.1 200 OK\r\ncontent-type: application\/grpc\r\ngrpc-status: 14\r\n/,
    );
  });

  test("happens to the configured share of requests", async () => {
    const world = await faultWorld({ abort: { http_status: 418, percentage: { numerator: 30 } } });
    const client = await world.connect();
    let aborted = 0;
    for (let i = 0; i < 400; i++) if ((await client.send(get())).includes(" 418 ")) aborted++;
    expect(aborted).toBeGreaterThan(80);
    expect(aborted).toBeLessThan(160);
  });

  test("a percentage that is absent is never", async () => {
    const world = await faultWorld({ abort: { http_status: 418 } });
    expect(await world.exchange(get())).toMatch(/ok$/);
  });

  test("headers of the request say what, where the configuration lets them", async () => {
    const world = await faultWorld({
      abort: { header_abort: {}, percentage: always },
      delay: { header_delay: {}, percentage: always },
    });
    expect(await world.exchange(get())).toMatch(/ok$/);
    expect(await world.exchange(get("x-envoy-fault-abort-request: 429\r\n"))).toMatch(/^HTTP\/1\.1 429 /);
    expect(await world.exchange(get("x-envoy-fault-abort-request: 999\r\n"))).toMatch(/ok$/);
    expect(
      await world.exchange(get("x-envoy-fault-abort-request: 429\r\nx-envoy-fault-abort-request-percentage: 0\r\n")),
    ).toMatch(/ok$/);
    const client = await world.connect();
    expect(await client.send(get("x-envoy-fault-delay-request: 300\r\n"))).toBe("");
    await world.runtime.advance(400);
    expect(client.take()).toMatch(/ok$/);
  });

  test("the route's configuration takes the place of the filter's", async () => {
    const own = { "@type": type, abort: { http_status: 404, percentage: always } };
    const world = await faultWorld(
      { abort: { http_status: 418, percentage: always } },
      { typed_per_filter_config: { "envoy.filters.http.fault": own } },
    );
    expect(await world.exchange(get())).toMatch(/^HTTP\/1\.1 404 /);
  });

  test("only requests with the headers, to the cluster, from the nodes that are named", async () => {
    const abort = { http_status: 418, percentage: always };
    const byHeader = await faultWorld({ abort, headers: [{ name: "x-test", string_match: { exact: "1" } }] });
    expect(await byHeader.exchange(get())).toMatch(/ok$/);
    expect(await byHeader.exchange(get("x-test: 1\r\n"))).toMatch(/ 418 /);
    const byCluster = await faultWorld({ abort, upstream_cluster: "other" });
    expect(await byCluster.exchange(get())).toMatch(/ok$/);
    const byNode = await faultWorld({ abort, downstream_nodes: ["n1"] });
    expect(await byNode.exchange(get())).toMatch(/ok$/);
    expect(await byNode.exchange(get("x-envoy-downstream-service-node: n1\r\n"))).toMatch(/ 418 /);
  });

  test("no more than max_active_faults at a time", async () => {
    const world = await faultWorld({ delay: { fixed_delay: "1s", percentage: always }, max_active_faults: 1 });
    const first = await world.connect();
    await first.send(get());
    expect(await world.exchange(get())).toMatch(/ok$/);
    expect(world.counter("http.in.fault.faults_overflow")).toBe(1);
  });

  test("counts by the client's cluster too", async () => {
    const world = await faultWorld({ abort: { http_status: 418, percentage: always } });
    await world.exchange(get("x-envoy-downstream-service-cluster: web\r\n"));
    expect(world.counter("http.in.fault.web.aborts_injected")).toBe(1);
  });

  test("a response passes at the configured rate: a twentieth of a second's bytes every 50 ms", async () => {
    const world = await faultWorld({ response_rate_limit: { fixed_limit: { limit_kbps: 1 }, percentage: always } });
    await world.serve(80, () => `HTTP/1.1 200 OK\r\ncontent-length: 120\r\n\r\n${"x".repeat(120)}`);
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(20);
    expect(client.take()).toBe("x".repeat(51));
    await world.runtime.advance(60);
    expect(client.take()).toBe("x".repeat(51));
    await world.runtime.advance(60);
    expect(client.take()).toBe("x".repeat(18));
    expect(world.counter("http.in.fault.response_rl_injected")).toBe(1);
    expect(world.stats.gauges().find(({ name }) => name === "http.in.fault.active_faults")?.value).toBe(0);
  });

  test("a header says at what rate, where the configuration lets it", async () => {
    const world = await faultWorld({ response_rate_limit: { header_limit: {}, percentage: always } });
    expect(await world.exchange(get())).toMatch(/ok$/);
    const limited = await world.connect();
    await limited.send(get("x-envoy-fault-throughput-response: 1\r\n"));
    await world.runtime.advance(20);
    expect(limited.take()).toMatch(/ok$/);
    expect(world.counter("http.in.fault.response_rl_injected")).toBe(1);
    const never = "x-envoy-fault-throughput-response: 1\r\nx-envoy-fault-throughput-response-percentage: 0\r\n";
    expect(await world.exchange(get(never))).toMatch(/ok$/);
  });

  test("a client that leaves in the middle of a slow response ends it", async () => {
    const world = await faultWorld({ response_rate_limit: { fixed_limit: { limit_kbps: 1 }, percentage: always } });
    await world.serve(80, () => `HTTP/1.1 200 OK\r\ncontent-length: 120\r\n\r\n${"x".repeat(120)}`);
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(20);
    client.connection.destroy();
    await world.runtime.advance(1000);
    expect(world.log).toEqual(["200 DC downstream_remote_disconnect"]);
  });

  test("runtime keys override percentages, durations and statuses; those of the client's cluster come first", async () => {
    const world = await faultWorld(
      { abort: { http_status: 418, percentage: { numerator: 0 } } },
      {},
      {
        "fault.http.abort.abort_percent": 100,
        "fault.http.abort.http_status": 404,
        "fault.http.web.abort.http_status": 410,
        "fault.http.web.abort.abort_percent": 100,
      },
    );
    expect(await world.exchange(get())).toMatch(/^HTTP\/1\.1 404 /);
    expect(await world.exchange(get("x-envoy-downstream-service-cluster: web\r\n"))).toMatch(/^HTTP\/1\.1 410 /);
  });

  test("filter_metadata is refused by name", async () => {
    const abort = { http_status: 418, percentage: always };
    await expect(faultWorld({ abort, filter_metadata: { a: 1 } })).rejects.toThrow("filter_metadata");
  });
});
