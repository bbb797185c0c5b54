import { describe, expect, test } from "vitest";
import { httpWorld } from "./testing/http-world.ts";

const ok = (body: string): string => `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`;

describe("envoy.filters.network.http_connection_manager", () => {
  test("a request goes to the cluster of its route and the answer comes back", async () => {
    const world = await httpWorld();
    await world.serve(80, () => ok("hello"));
    const answer = await world.exchange("GET /a?b HTTP/1.1\r\nHost: svc\r\nX-One: 1\r\n\r\n");
    expect(answer).toMatch(
      /^HTTP\/1\.1 200 OK\r\ncontent-length: 5\r\nx-envoy-upstream-service-time: 0\r\ndate: [^\r]+ GMT\r\nserver: envoy\r\n\r\nhello$/,
    );
    expect(world.upstreamRequests[0]).toMatch(
      /^GET \/a\?b HTTP\/1\.1\r\nhost: svc\r\nx-one: 1\r\nx-forwarded-proto: http\r\nx-request-id: [0-9a-f-]{36}\r\nx-envoy-expected-rq-timeout-ms: 15000\r\n\r\n$/,
    );
    expect(world.log).toEqual(["200 - via_upstream"]);
    expect(world.counter("http.in.downstream_rq_2xx")).toBe(1);
  });
});
