/** Many connections, and more than are allowed. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openConnections } from "#proxy/testing/load/connections.ts";
import { canReadMemory } from "#proxy/testing/load/memory.ts";
import { until } from "#proxy/testing/load/wait.ts";
import { startLoadedProxy, type LoadedProxy } from "./loaded-proxy.ts";

const limit = 50;
const limitMs = 30_000;
let proxy: LoadedProxy;
beforeAll(async () => {
  proxy = await startLoadedProxy(1000, limit);
});
afterAll(() => proxy.stop());

describe("idle connections", () => {
  test.skipIf(!canReadMemory)("a thousand stay open, at some KB each, and are forgotten when they close", async () => {
    const port = await proxy.port("http1");
    let open = 0;
    const grownMb = await proxy.peakDuring(async () => {
      const many = await openConnections(proxy.runtime, port, 1000);
      open = many.open();
      many.close();
    });
    expect(open).toBe(1000);
    // 64 KB each would be the buffers of requests that are kept.
    expect(grownMb).toBeLessThan(64);
    const closed = async (): Promise<boolean> => (await proxy.stat("http.http1.downstream_cx_active")) === 0;
    await expect.poll(closed, { timeout: limitMs }).toBe(true);
  });
});

describe("envoy.resource_limits.listener.<name>.connection_limit", () => {
  test("a flood is refused beyond the limit, those within it are served, and the listener recovers", async () => {
    const port = await proxy.port("limited");
    const many = await openConnections(proxy.runtime, port, 500);
    expect(many).toMatchObject({ answered: limit, refused: 500 - limit, lost: 0 });
    expect(many.open()).toBe(limit);
    many.close();
    const gone = async (): Promise<number> => proxy.stat("http.limited.downstream_cx_active");
    await expect.poll(gone, { timeout: limitMs }).toBe(0);
    const again = await openConnections(proxy.runtime, port, limit);
    expect(again).toMatchObject({ answered: limit, refused: 0 });
    again.close();
    expect(await until(proxy.runtime, limitMs, () => again.open() === 0)).toBe(true);
  });
});
