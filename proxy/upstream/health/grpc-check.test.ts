import { describe, expect, test } from "vitest";
import type { StreamDecoder } from "../../http/codec.ts";
import { HeaderMap } from "../../http/header-map.ts";
import { serverOn } from "../../http/testing/http2-world.ts";
import { createWorld, staticCluster } from "../testing/world.ts";

const serving = Buffer.from([0, 0, 0, 0, 2, 0x08, 1]);
const notServing = Buffer.from([0, 0, 0, 0, 2, 0x08, 2]);

interface Answer {
  readonly status?: string;
  readonly contentType?: string;
  readonly body?: Buffer;
  readonly grpcStatus?: string;
}

/** A cluster with a gRPC check against a server that answers so; the flags of its host, and what the server saw. */
async function ask(answer: Answer, check: object = {}) {
  const world = createWorld();
  const requests: Record<string, string>[] = [];
  const bodies: Buffer[] = [];
  await world.runtime
    .at("10.0.0.1")
    .network.listen({ address: { kind: "ip", address: "10.0.0.1", port: 80 } }, (raw) => {
      serverOn(world.runtime, raw, (encoder): StreamDecoder => {
        const respond = (): void => {
          encoder.sendHeaders(
            HeaderMap.of([
              [":status", answer.status ?? "200"],
              ["content-type", answer.contentType ?? "application/grpc"],
            ]),
            false,
          );
          encoder.sendData(answer.body ?? serving, false);
          encoder.sendTrailers(HeaderMap.of([["grpc-status", answer.grpcStatus ?? "0"]]));
        };
        return {
          onHeaders: (headers) => void requests.push(Object.fromEntries(headers.entries())),
          onData(chunk, endStream) {
            bodies.push(Buffer.from(chunk));
            if (endStream) respond();
          },
          onTrailers() {},
          onReset() {},
          onWritable() {},
        };
      });
    });
  const healthChecks = [
    { timeout: "1s", interval: "5s", unhealthyThreshold: 1, healthyThreshold: 1, grpcHealthCheck: check },
  ];
  expect(world.add(staticCluster("c", ["10.0.0.1:80"], { healthChecks }))).toEqual([]);
  await world.runtime.advance(1001);
  const flags = [...world.cluster("c").hosts()][0]?.healthFlags;
  return { flags, requests, body: Buffer.concat(bodies) };
}

describe("gRPC health checks", () => {
  test("L-59: grpc.health.v1.Health/Check is asked for the service, SERVING is good", async () => {
    const { flags, requests, body } = await ask({}, { serviceName: "svc", authority: "a.test" });
    expect(flags).toBe("healthy");
    expect(requests[0]).toMatchObject({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      ":authority": "a.test",
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": "Envoy/HC",
    });
    expect(body).toEqual(Buffer.from([0, 0, 0, 0, 5, 0x0a, 3, ...Buffer.from("svc")]));
  });

  test.each<[string, Answer]>([
    ["another status than SERVING", { body: notServing }],
    ["a gRPC error", { grpcStatus: "12" }],
    ["an HTTP error", { status: "503" }],
    ["no gRPC", { contentType: "text/plain" }],
    ["no message", { body: Buffer.alloc(0) }],
    ["a message that is cut off", { body: serving.subarray(0, 6) }],
  ])("%s is a failure", async (_name, answer) => {
    expect((await ask(answer)).flags).toBe("/failed_active_hc");
  });
});
