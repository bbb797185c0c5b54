import { describe, expect, test } from "vitest";
import { httpWorld, type HttpWorld } from "../testing/http-world.ts";

const filter = {
  name: "gw",
  typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb" },
};
const frame = (text: string): string => `\0\0\0\0${String.fromCharCode(text.length)}${text}`;
const base64 = (text: string): string => Buffer.from(text, "latin1").toString("base64");
const post = (type: string, body: string, more = ""): string =>
  `POST /s/m HTTP/1.1\r\nHost: a\r\ncontent-type: ${type}\r\n${more}content-length: ${body.length}\r\n\r\n${body}`;
const grpcAnswer = (body: string): string =>
  `HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\ngrpc-status: 0\r\n\r\n`;

async function worldOf(answer: string): Promise<HttpWorld> {
  const world = await httpWorld({ filters: [filter], clusters: [{ name: "up", enableTrailers: true }] });
  await world.serve(80, () => answer);
  return world;
}

describe("envoy.filters.http.grpc_web", () => {
  test("a call is gRPC for the upstream; its trailers come as a frame of the body", async () => {
    const world = await worldOf(grpcAnswer(frame("hello")));
    const answer = await world.exchange(post("application/grpc-web", frame("abc")));
    expect(world.upstreamRequests[0]).toMatch(/content-type: application\/grpc\r\n[^]*te: trailers\r\n/);
    expect(world.upstreamRequests[0]).toContain(frame("abc"));
    expect(answer).toContain("content-type: application/grpc-web+proto\r\n");
    expect(answer).toContain(frame("hello"));
    expect(answer).toContain("\x80\0\0\0\x0fgrpc-status:0\r\n");
    expect(world.counter("cluster.up.grpc-web.s.m.success")).toBe(1);
  });

  test("base64 that is cut anywhere is put together", async () => {
    const world = await worldOf(grpcAnswer(frame("hello")));
    const client = await world.connect();
    const request = post("application/grpc-web-text", base64(frame("abcd")), "accept: application/grpc-web-text\r\n");
    let answer = "";
    for (const char of request) answer += await client.send(char);
    expect(world.upstreamRequests[0]?.replaceAll(/\r\n[0-9a-f]+\r\n/g, "")).toContain("abcd");
    expect(answer).toContain(base64(frame("hello")));
  });

  test("an answer that is not gRPC becomes a status and a message", async () => {
    const world = await worldOf("HTTP/1.1 503 X\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\n100%ok");
    const answer = await world.exchange(post("application/grpc-web", frame("abc")));
    expect(answer).toMatch(/^HTTP\/1\.1 503 [^]*grpc-message: 100%25ok\r\ngrpc-status: 14\r\n/);
  });

  test("what is no base64 is refused, whatever it is", async () => {
    const world = await worldOf(grpcAnswer(""));
    for (const body of ["a", "ab=c", "a-_=", "\0\0\0\0"])
      expect(await world.exchange(post("application/grpc-web-text", body))).toMatch(/^HTTP\/1\.1 400 /);
  });

  test("anything else passes as it is", async () => {
    const world = await worldOf("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    expect(await world.exchange(post("text/plain", "abc"))).toMatch(/ok$/);
    expect(world.upstreamRequests[0]).toContain("content-length: 3\r\n");
  });
});
