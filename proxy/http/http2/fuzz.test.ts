import fc from "fast-check";
import { expect, test } from "vitest";
import { HeaderMap } from "../header-map.ts";
import { frame, get } from "../testing/http2-peer.ts";
import { clientWorld, serverWorld } from "../testing/http2-world.ts";
import { RecordingDecoder } from "../testing/recording-decoder.ts";

const type = fc.oneof(fc.constantFrom(0, 1, 3, 4, 6, 7, 8, 9), fc.integer({ min: 0, max: 255 }));
const id = fc.oneof(fc.constantFrom(0, 1, 3, 5, 7), fc.nat(2 ** 31 - 1));
const anyFrame = fc
  .tuple(type, fc.oneof(fc.constantFrom(0, 1, 4, 5, 8, 13), fc.nat(255)), id, fc.uint8Array({ maxLength: 40 }))
  .map((parts) => frame(...parts));
/** What makes some sense: a stream begins, has a body, ends. */
const goodFrame = fc.constantFrom("headers", "data", "end", "reset", "window", "ping");
const step = fc.oneof({ weight: 3, arbitrary: goodFrame }, { weight: 2, arbitrary: anyFrame });

const codes = fc.array(fc.tuple(step, fc.nat(4)), { maxLength: 40 });

test("a server survives any frames, and ends every stream that it began", async () => {
  await fc.assert(
    fc.asyncProperty(codes, fc.boolean(), async (steps, streamErrorOnInvalidMessage) => {
      const world = await serverWorld({ streamErrorOnInvalidMessage });
      world.onStream = ({ encoder }) => {
        encoder.setReadDisabled(true);
        queueMicrotask(() => {
          encoder.sendHeaders(HeaderMap.of({ ":status": "200" }), false);
          encoder.setReadDisabled(false);
          encoder.sendData("answer", true);
        });
      };
      for (const [one, n] of steps) {
        const stream = n * 2 + 1;
        if (typeof one !== "string") await world.peer.send(one);
        else if (one === "headers") await world.peer.send(world.peer.headers(stream, get, 4));
        else if (one === "data") await world.peer.send(world.peer.data(stream, "body", 0));
        else if (one === "end") await world.peer.send(world.peer.data(stream, "", 1));
        else if (one === "reset") await world.peer.send(frame(3, 0, stream, Buffer.from([0, 0, 0, 8])));
        else if (one === "window") await world.peer.send(frame(8, 0, stream, Buffer.from([0, 0, 0, 8])));
        else await world.peer.send(frame(6, 0, 0, Buffer.alloc(8)));
      }
      world.peer.connection.reset();
      await world.runtime.settle();
      expect(world.codec.activeStreams).toBe(0);
      expect(world.gauge("streams_active")).toBe(0);
      expect(world.gauge("pending_send_bytes")).toBe(0);
      for (const { decoder } of world.streams) {
        const resets = decoder.events.filter((event) => event.startsWith("reset")).length;
        expect(resets).toBeLessThanOrEqual(1);
      }
    }),
    { numRuns: 150 },
  );
});

test("a client survives any frames, and says of every stream exactly once that it ended", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyFrame, { maxLength: 30 }), async (frames) => {
      const world = await clientWorld();
      const decoders = [0, 1, 2].map((n) => {
        const decoder = new RecordingDecoder();
        const encoder = world.codec.newStream(decoder);
        encoder.sendHeaders(HeaderMap.of(get), n === 0);
        return decoder;
      });
      for (const bytes of frames) await world.peer.send(bytes);
      world.peer.connection.reset();
      await world.runtime.settle();
      expect(world.ended).toBe(decoders.length);
      expect(world.codec.activeStreams).toBe(0);
    }),
    { numRuns: 150 },
  );
});

test("bytes that are no HTTP/2 at all", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      const world = await serverWorld();
      await world.peer.send(Buffer.from(bytes));
      world.peer.connection.reset();
      await world.runtime.settle();
      expect(world.codec.activeStreams).toBe(0);
    }),
    { numRuns: 200 },
  );
});
