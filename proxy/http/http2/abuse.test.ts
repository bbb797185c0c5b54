import { describe, expect, test } from "vitest";
import { HeaderMap } from "../header-map.ts";
import { frame, get, post, settings, uint32, type Fields } from "../testing/http2-peer.ts";
import { serverWorld } from "../testing/http2-world.ts";
import { FrameType } from "./frames.ts";
import { defaultAbuseLimits } from "./options.ts";

const times = (count: number, bytes: Buffer): Buffer[] => Array.from({ length: count }, () => bytes);
const calm = "enhanceYourCalm";

describe("HTTP/2 floods (hardening: HTTP/2 denial of service)", () => {
  test("frames that carry nothing and end nothing", async () => {
    const world = await serverWorld();
    const empty = world.peer.data(1, "", 0);
    expect(await world.peer.send(world.peer.headers(1, post, 4), empty)).toEqual([]);
    expect(await world.peer.send(world.peer.data(1, "x", 0), empty)).toEqual([]);
    expect(await world.peer.send(empty)).toEqual([`GOAWAY 1 ${calm}`]);
    expect(world.streams[0]?.decoder.events.at(-1)).toBe("reset protocol error http2.inbound_empty_frames_flood");
    expect(world.counter("inbound_empty_frames_flood")).toBe(1);
  });

  test("padding alone is nothing", async () => {
    const world = await serverWorld();
    const padded = frame(FrameType.data, 8, 1, "\x02\0\0");
    expect(await world.peer.send(world.peer.headers(1, post, 4), padded, padded)).toEqual([`GOAWAY 1 ${calm}`]);
  });

  test("CONTINUATION without end (CVE-2024-27316 and its kin)", async () => {
    const world = await serverWorld();
    const seen = await world.peer.send(
      frame(FrameType.headers, 1, 1, world.peer.block(get)),
      ...times(8, frame(FrameType.continuation, 0, 1, Buffer.alloc(16_000, "\x82"))),
    );
    expect(seen).toEqual([`GOAWAY 0 ${calm}`]);
    expect(world.streams).toEqual([]);
  });

  test("empty CONTINUATION frames", async () => {
    const world = await serverWorld();
    const seen = await world.peer.send(
      frame(FrameType.headers, 1, 1, world.peer.block(get)),
      ...times(2, frame(FrameType.continuation, 0, 1)),
    );
    expect(seen).toEqual([`GOAWAY 0 ${calm}`]);
  });

  test("PRIORITY: a hundred for each stream that ever began, and a hundred more", async () => {
    const priority = frame(FrameType.priority, 0, 3, Buffer.from([0, 0, 0, 1, 1]));
    const world = await serverWorld();
    expect(await world.peer.send(world.peer.headers(1, get), ...times(200, priority))).toEqual([]);
    expect(await world.peer.send(priority)).toEqual([`GOAWAY 1 ${calm}`]);
    expect(world.counter("inbound_priority_frames_flood")).toBe(1);
  });

  test("WINDOW_UPDATE: 5, and two for each stream, and twenty for each DATA frame that we sent", async () => {
    const update = frame(FrameType.windowUpdate, 0, 0, uint32(1));
    const world = await serverWorld();
    expect(await world.peer.send(...times(5, update))).toEqual([]);
    await world.peer.send(world.peer.headers(1, get));
    world.streams[0]?.encoder.sendHeaders(HeaderMap.of({ ":status": "200" }), false);
    world.streams[0]?.encoder.sendData("x", false);
    await world.runtime.settle();
    world.peer.take();
    expect(await world.peer.send(...times(22, update))).toEqual([]);
    expect(await world.peer.send(update)).toEqual([`GOAWAY 1 ${calm}`]);
    expect(world.counter("inbound_window_update_frames_flood")).toBe(1);
  });

  test.each([
    ["PING", frame(FrameType.ping, 0, 0, "12345678")],
    ["SETTINGS", settings()],
  ])("%s to a peer that reads no answers: the connection is dropped", async (_what, bytes) => {
    const world = await serverWorld();
    world.peer.connection.pause();
    for (let i = 0; i < 12 && world.errors.length === 0; i++) await world.peer.send(...times(1000, bytes));
    expect(world.errors).toEqual(["http2.outbound_control_frames_flood"]);
    expect(world.counter("outbound_control_flood")).toBe(1);
    await world.runtime.settle();
    expect(world.codec.isDraining).toBe(true);
  });

  test("as many PINGs as it likes for a peer that reads", async () => {
    const world = await serverWorld();
    const pings = times(2000, frame(FrameType.ping, 0, 0, "12345678"));
    for (let i = 0; i < 10; i++) expect((await world.peer.send(...pings)).length).toBe(2000);
  });

  test("responses that nobody reads", async () => {
    const world = await serverWorld({ limits: { ...defaultAbuseLimits, maxOutboundFrames: 500 } });
    world.onStream = ({ encoder }) =>
      queueMicrotask(() => encoder.sendHeaders(HeaderMap.of({ ":status": "200", x: "y".repeat(4000) }), true));
    world.peer.connection.pause();
    for (let id = 1; id < 4000 && world.errors.length === 0; id += 2)
      await world.peer.send(world.peer.headers(id, get));
    expect(world.errors).toEqual(["http2.outbound_frames_flood"]);
    expect(world.counter("outbound_flood")).toBe(1);
  });

  test("rapid resets (CVE-2023-44487)", async () => {
    let told = 0;
    const world = await serverWorld({ onTooManyPrematureResets: () => void told++ });
    let id = 1;
    for (; id < 3000 && world.errors.length === 0; id += 2)
      await world.peer.send(world.peer.headers(id, get), frame(FrameType.rstStream, 0, id, uint32(8)));
    expect(world.streams.length).toBe(501);
    expect(world.errors).toEqual(["http2.too_many_premature_resets"]);
    expect(world.peer.take().at(-1) ?? `GOAWAY ${id - 2} ${calm}`).toBe(`GOAWAY ${id - 2} ${calm}`);
    expect(told).toBe(1);
  });

  test("resets that we are made to send count as well (CVE-2025-8671)", async () => {
    const world = await serverWorld({ streamErrorOnInvalidMessage: true });
    for (let id = 1; id < 3000 && world.errors.length === 0; id += 2)
      await world.peer.send(world.peer.headers(id, get, 4), frame(FrameType.windowUpdate, 0, id, uint32(0)));
    expect(world.errors).toEqual(["http2.too_many_premature_resets"]);
  });

  test("a client that gives up late is no attacker", async () => {
    const world = await serverWorld();
    for (let id = 1; id < 1400; id += 2) {
      await world.peer.send(world.peer.headers(id, get));
      await world.runtime.advance(1001);
      await world.peer.send(frame(FrameType.rstStream, 0, id, uint32(8)));
    }
    expect(world.errors).toEqual([]);
  });

  test("a header list that is small on the wire and large in memory (HPACK bomb)", async () => {
    const world = await serverWorld();
    const value: Fields = [["x-bomb", "v".repeat(1900)]];
    await world.peer.send(world.peer.headers(1, [...get, ...value]));
    const bomb = Array.from({ length: 10_000 }, (): readonly [string, string] => ["x-bomb", "v".repeat(1900)]);
    const block = world.peer.block([...get, ...bomb]);
    expect(block.length).toBeLessThan(16_384);
    expect(await world.peer.send(frame(FrameType.headers, 5, 3, block))).toEqual(["RST_STREAM 3 internalError"]);
    expect(await world.peer.send(world.peer.headers(5, get))).toEqual([]);
  });
});
