/** Clients that begin and never come to the end. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openConnections } from "#proxy/testing/load/connections.ts";
import { sendSlowHeads } from "#proxy/testing/load/slow-heads.ts";
import { startLoadedProxy, type LoadedProxy } from "./loaded-proxy.ts";

/** `request_headers_timeout`; the idle timeout is twice as long. */
const hastyMs = 500;
const count = 100;
let proxy: LoadedProxy;
beforeAll(async () => {
  proxy = await startLoadedProxy(hastyMs);
});
afterAll(() => proxy.stop());

describe("request_headers_timeout", () => {
  test("heads that come a byte at a time are answered with 408, and others are served meanwhile", async () => {
    const port = await proxy.port("hasty");
    const slow = sendSlowHeads(proxy.runtime, port, { count, everyMs: 20, kind: "http1" });
    const others = await openConnections(proxy.runtime, port, 50);
    expect(others.answered).toBe(50);
    others.close();
    const { endings, shortestMs } = await slow;
    expect(endings).toEqual({ "HTTP/1.1 408 Request Timeout": count });
    expect(shortestMs).toBeGreaterThanOrEqual(hastyMs);
    expect(await proxy.stat("http.hasty.downstream_rq_header_timeout")).toBe(count);
  });

  test("holds for what might still become HTTP/2", async () => {
    const before = await proxy.stat("http.hasty.downstream_rq_header_timeout");
    const port = await proxy.port("hasty");
    const { endings } = await sendSlowHeads(proxy.runtime, port, { count, everyMs: 20, kind: "preface" });
    expect(endings).toEqual({ "HTTP/1.1 408 Request Timeout": count });
    expect(await proxy.stat("http.hasty.downstream_rq_header_timeout")).toBe(before + count);
  });
});

describe("idle_timeout", () => {
  test("connections that send nothing are closed", async () => {
    const port = await proxy.port("hasty");
    const { endings, shortestMs } = await sendSlowHeads(proxy.runtime, port, { count, everyMs: 20, kind: "silence" });
    expect(endings).toEqual({ closed: count });
    // Counted from when a busy client has heard that it is connected.
    expect(shortestMs).toBeGreaterThanOrEqual(hastyMs);
    expect(await proxy.stat("http.hasty.downstream_cx_idle_timeout")).toBe(count);
  });
});
