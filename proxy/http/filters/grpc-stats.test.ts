import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { httpWorld, type HttpWorld, type Json } from "../testing/http-world.ts";
import { MessageCounter } from "./grpc-stats.ts";

/** A message with its prefix. */
function framed(text: string): string {
  const length = text.length;
  return `\0${String.fromCharCode(length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255)}${text}`;
}

async function grpcWorld(config: Json): Promise<HttpWorld> {
  const world = await httpWorld({
    filters: [
      {
        name: "envoy.filters.http.grpc_stats",
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
          ...config,
        },
      },
    ],
  });
  const body = framed("a") + framed("b");
  await world.serve(
    80,
    () =>
      `HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 0\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  return world;
}

const body = framed("hello") + framed("") + framed("x".repeat(300));
const call = `POST /pkg.Service/Method HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

describe("envoy.filters.http.grpc_stats", () => {
  test("counts messages by cluster", async () => {
    const world = await grpcWorld({ emit_filter_state: true });
    await world.exchange(call);
    expect(world.counter("cluster.up.grpc.request_message_count")).toBe(3);
    expect(world.counter("cluster.up.grpc.response_message_count")).toBe(2);
  });

  test("counts by method where asked, dots replaced where asked", async () => {
    const all = await grpcWorld({ stats_for_all_methods: true });
    await all.exchange(call);
    expect(all.counter("cluster.up.grpc.pkg.Service.Method.request_message_count")).toBe(3);
    const replaced = await grpcWorld({ stats_for_all_methods: true, replace_dots_in_grpc_service_name: true });
    await replaced.exchange(call);
    expect(replaced.counter("cluster.up.grpc.pkg_Service.Method.request_message_count")).toBe(3);
    const listed = await grpcWorld({
      individual_method_stats_allowlist: { services: [{ name: "pkg.Service", method_names: ["Other"] }] },
    });
    await listed.exchange(call);
    expect(listed.counter("cluster.up.grpc.request_message_count")).toBe(3);
  });

  test("a trailers-only answer is counted by its status", async () => {
    const world = await grpcWorld({});
    const failing = await httpWorld({
      filters: [
        {
          name: "envoy.filters.http.grpc_stats",
          typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig" },
        },
      ],
    });
    await failing.serve(80, () => "HTTP/1.1 200 OK\r\ngrpc-status: 14\r\ncontent-length: 0\r\n\r\n");
    await failing.exchange(call);
    for (const name of ["14", "failure", "total"]) expect(failing.counter(`cluster.up.grpc.${name}`)).toBe(1);
    expect(world.counter("cluster.up.grpc.total")).toBe(0);
  });

  test("a request that is not gRPC is not counted", async () => {
    const world = await grpcWorld({});
    await world.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(world.stats.counters().filter(({ name }) => name.includes(".grpc."))).toEqual([]);
  });

  test("messages are counted alike wherever the stream is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 300 })), fc.array(fc.nat()), (messages, cuts) => {
        const bytes = Buffer.from(messages.map(framed).join(""), "latin1");
        const points = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
        const counter = new MessageCounter();
        let counted = 0;
        let from = 0;
        for (const point of [...points, bytes.length]) {
          counted += counter.count(bytes.subarray(from, point));
          from = point;
        }
        expect(counted).toBe(messages.length);
      }),
    );
  });
});
