/** Bodies much larger than what the proxy may hold, at full speed and to readers that stop. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { canReadMemory } from "#proxy/testing/load/memory.ts";
import { download, upload } from "#proxy/testing/load/transfer.ts";
import { until, untilQuiet } from "#proxy/testing/load/wait.ts";
import { startLoadedProxy, type LoadedProxy } from "./loaded-proxy.ts";

const MB = 2 ** 20;
const length = 192 * MB;
/** Of 192: what a young heap takes while it grows, and two hops' buffers. */
const flatMb = 96;
/** Four buffers of the system, of 6 MB at most, and what the proxy holds. */
const heldMb = 64;
const limitMs = 30_000;

let proxy: LoadedProxy;
beforeAll(async () => {
  proxy = await startLoadedProxy();
});
afterAll(() => proxy.stop());

describe.skipIf(!canReadMemory).each(["http1", "http2"] as const)("long bodies over %s", (protocol) => {
  test("a download passes through in flat memory", async () => {
    const port = await proxy.port(protocol);
    const grownMb = await proxy.peakDuring(async () => {
      const transfer = await download(proxy.runtime, port, protocol, length);
      expect((await transfer.done).status).toBe("200");
      expect(transfer.bytes).toBe(length);
    });
    expect(grownMb).toBeLessThan(flatMb);
  });

  test("an upload passes through in flat memory", async () => {
    const port = await proxy.port(protocol);
    const grownMb = await proxy.peakDuring(async () => {
      const transfer = await upload(proxy.runtime, port, protocol, length);
      expect(await transfer.done).toEqual({ status: "200", text: String(length) });
    });
    expect(grownMb).toBeLessThan(flatMb);
  });

  test("a client that stops reading stops the origin", async () => {
    const { runtime, origin } = proxy;
    const port = await proxy.port(protocol);
    const before = origin.sent;
    const grownMb = await proxy.peakDuring(async () => {
      const transfer = await download(runtime, port, protocol, length);
      transfer.hold(true);
      expect(await until(runtime, limitMs, () => origin.sent > before)).toBe(true);
      await untilQuiet(runtime, 200, () => origin.sent);
      expect((origin.sent - before) / MB).toBeLessThan(heldMb);
      transfer.hold(false);
      await transfer.done;
      expect(transfer.bytes).toBe(length);
    });
    expect(grownMb).toBeLessThan(flatMb);
  });

  test("an origin that stops reading stops the client", async () => {
    const { runtime, origin } = proxy;
    const port = await proxy.port(protocol);
    const grownMb = await proxy.peakDuring(async () => {
      origin.holdsBodies = true;
      const transfer = await upload(runtime, port, protocol, length);
      await untilQuiet(runtime, 200, () => transfer.bytes);
      expect(transfer.bytes / MB).toBeLessThan(heldMb);
      origin.holdsBodies = false;
      // The request may still be on its way: it is held until then.
      expect(await until(runtime, limitMs, () => origin.readHeld() > 0)).toBe(true);
      expect(await transfer.done).toEqual({ status: "200", text: String(length) });
    });
    expect(grownMb).toBeLessThan(flatMb);
  });
});
