/** Floods of frames: the connection ends early, others go on. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openConnections } from "#proxy/testing/load/connections.ts";
import { flood, floods } from "#proxy/testing/load/http2-flood.ts";
import { startLoadedProxy, type LoadedProxy } from "./loaded-proxy.ts";

const atMost = 1_000_000;
let proxy: LoadedProxy;
beforeAll(async () => {
  proxy = await startLoadedProxy();
});
afterAll(() => proxy.stop());

describe("floods of HTTP/2 frames", () => {
  test.each(floods)("%s: the connection is closed, and others are served meanwhile", async (kind) => {
    const port = await proxy.port("http2");
    const flooding = flood(proxy.runtime, port, kind, atMost);
    const others = await openConnections(proxy.runtime, port, 20);
    expect(others.answered).toBe(20);
    others.close();
    const { isClosed, sent } = await flooding;
    expect(isClosed).toBe(true);
    expect(sent).toBeLessThan(atMost);
  });
});
