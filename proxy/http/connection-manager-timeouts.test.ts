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

describe("envoy.filters.network.http_connection_manager: time and the end of connections", () => {
  test("a client that reads slowly gets the last response whole, however long it takes", async () => {
    const body = "x".repeat(400_000);
    const world = await httpWorld();
    await world.serve(80, () => ok(body));
    const client = await world.connect();
    client.connection.pause();
    await client.send(get("/", "Connection: close\r\n"));
    for (let i = 0; i < 20 && !client.isClosed; i++) {
      client.connection.resume();
      await world.runtime.settle();
      client.connection.pause();
      await world.runtime.advance(700);
    }
    client.connection.resume();
    await world.runtime.advance(2000);
    expect(client.take().endsWith(body)).toBe(true);
  });

  test("R-60 the handshake of an upgrade is under the route's timeout", async () => {
    const world = await httpWorld({ manager: { upgrade_configs: [{ upgrade_type: "websocket" }] } });
    await world.serve(80, () => undefined);
    const client = await world.connect();
    await client.send(get("/", "Connection: upgrade\r\nUpgrade: websocket\r\n"));
    await world.runtime.advance(15_100);
    expect(client.take()).toMatch(/^HTTP\/1\.1 504 /);
  });

  test("a drained listener: the response says close, the connection ends", async () => {
    let isDraining = false;
    const world = await helloWorld({ isDraining: () => isDraining });
    const client = await world.connect();
    expect(await client.send(get())).not.toContain("connection: close");
    isDraining = true;
    expect(await client.send(get())).toContain("connection: close\r\n");
    expect(client.hasEnded).toBe(true);
    expect(world.counter("http.in.downstream_cx_drain_close")).toBe(1);
  });

  test("a client that asks to close is answered and closed", async () => {
    const world = await helloWorld();
    const client = await world.connect();
    expect(await client.send(get("/", "Connection: close\r\n"))).toContain("connection: close\r\n");
    expect(client.hasEnded).toBe(true);
  });

  test("R-57 an idle connection is closed, requests by connection are limited", async () => {
    const world = await helloWorld({
      manager: { common_http_protocol_options: { idle_timeout: "10s", max_requests_per_connection: 2 } },
    });
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(9000);
    expect(await client.send(get())).toContain("connection: close\r\n");
    expect(world.counter("http.in.downstream_cx_max_requests_reached")).toBe(1);
    const idle = await world.connect();
    await idle.send(get());
    await world.runtime.advance(9900);
    expect(idle.hasEnded).toBe(false);
    await world.runtime.advance(200);
    expect(idle.hasEnded).toBe(true);
    expect(world.counter("http.in.downstream_cx_idle_timeout")).toBe(1);
  });

  test("R-54 a stream in which nothing moves: 504 SI, or 408 while the request is incomplete", async () => {
    const world = await httpWorld({
      manager: { stream_idle_timeout: "2s" },
      routes: [{ match: { prefix: "/" }, route: { cluster: "up", timeout: "0s" } }],
    });
    await world.serve(80, () => undefined);
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(2100);
    expect(client.take()).toMatch(/^HTTP\/1\.1 504 Gateway Timeout\r\n.*stream timeout$/s);
    const other = await world.connect();
    await other.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    await world.runtime.advance(1500);
    await other.send("a"); // a byte begins the time anew
    await world.runtime.advance(1500);
    expect(other.take()).toBe("");
    await world.runtime.advance(600);
    expect(other.take()).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    expect(world.log).toEqual(["504 SI stream_idle_timeout", "408 SI stream_idle_timeout"]);
  });

  test("R-55 the whole request has to come in time", async () => {
    const world = await helloWorld({ manager: { request_timeout: "1s" } });
    const client = await world.connect();
    await client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    await world.runtime.advance(1100);
    expect(client.take()).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n.*request timeout$/s);
    expect(world.log).toEqual(["408 - request_overall_timeout"]);
  });

  test("R-55 the headers have to come in time", async () => {
    const world = await helloWorld({ manager: { request_headers_timeout: "1s" } });
    const client = await world.connect();
    await client.send("GET / HTTP/1.1\r\nHost: a");
    await world.runtime.advance(900);
    await client.send("b\r\n");
    await world.runtime.advance(200);
    expect(client.take()).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n.*request header timeout$/s);
    expect(world.log).toEqual(["408 - request_header_timeout"]);
    expect(world.counter("http.in.downstream_rq_header_timeout")).toBe(1);
    const inTime = await world.connect();
    await inTime.send("GET / HTTP/1.1\r\n");
    expect(await inTime.send("Host: a\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /);
    await world.runtime.advance(2000);
    expect(inTime.hasEnded).toBe(false);
  });

  test("R-50 a gRPC request lasts as long as its grpc-timeout, at most as the route says", async () => {
    const world = await httpWorld({
      routes: [
        {
          match: { prefix: "/" },
          route: {
            cluster: "up",
            max_stream_duration: { grpc_timeout_header_max: "2s", grpc_timeout_header_offset: "0.5s" },
          },
        },
      ],
    });
    await world.serve(80, () => undefined);
    const grpc = (timeout: string): string =>
      get("/", `content-type: application/grpc\r\ngrpc-timeout: ${timeout}\r\n`);
    const short = await world.connect();
    await short.send(grpc("1S"));
    await world.runtime.advance(600);
    expect(short.take()).toContain("grpc-status: 4\r\n");
    const long = await world.connect();
    await long.send(grpc("1H"));
    await world.runtime.advance(1400);
    expect(long.take()).toBe("");
    await world.runtime.advance(200);
    expect(long.take()).toContain("grpc-message: downstream duration timeout\r\n");
  });

  test("R-56 a stream may last so long", async () => {
    const world = await httpWorld({
      manager: { common_http_protocol_options: { max_stream_duration: "1s" } },
    });
    await world.serve(80, () => undefined);
    const client = await world.connect();
    await client.send(get());
    await world.runtime.advance(1100);
    expect(client.take()).toMatch(/^HTTP\/1\.1 504 .*downstream duration timeout$/s);
    expect(world.log).toEqual(["504 - max_duration_timeout"]);
  });

  test("R-115 a slow client slows the upstream down, and gets everything", async () => {
    const body = "x".repeat(3_000_000);
    const world = await httpWorld();
    await world.serve(80, () => ok(body));
    const client = await world.connect();
    client.connection.pause();
    await client.send(get());
    await world.runtime.advance(1000);
    client.connection.resume();
    await world.runtime.advance(10_000);
    expect(client.received.length + client.take().length).toBeGreaterThan(body.length);
    expect(world.log).toEqual(["200 - via_upstream"]);
  });
});
