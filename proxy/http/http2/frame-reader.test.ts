import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FrameReader, type FrameSink } from "./frame-reader.ts";

/** Writes down what it hears, DATA parts joined. */
class Listing implements FrameSink {
  isDead = false;
  readonly events: string[] = [];
  #data = "";
  onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    this.events.push(`${type} ${flags} ${id} ${bytes.toString("hex", start, end)}`);
  }
  onDataStart(id: number, size: number, padding: number, endStream: boolean): void {
    this.events.push(`data ${id} ${size} ${padding} ${endStream}`);
  }
  onDataPart(chunk: Buffer, isLast: boolean): void {
    this.#data += chunk.toString("hex");
    if (!isLast) return;
    this.events.push(this.#data);
    this.#data = "";
  }
  onFrameError(code: number): void {
    this.isDead = true;
    this.events.push(`error ${code}`);
  }
}

function frame(type: number, flags: number, id: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

function read(chunks: readonly Buffer[]): string[] {
  const sink = new Listing();
  const reader = new FrameReader(sink);
  for (const chunk of chunks) {
    const lent = Buffer.from(chunk);
    reader.read(lent);
    lent.fill(0xdd);
  }
  return sink.events;
}

const anyFrame = fc
  .tuple(
    fc.integer({ min: 0, max: 12 }),
    fc.integer({ min: 0, max: 255 }),
    fc.nat(2 ** 31 - 1),
    fc.uint8Array({ maxLength: 300 }),
  )
  .map(([type, flags, id, payload]) => {
    // DATA whose padding is possible; what is not is another test's.
    if (type === 0 && (flags & 8) !== 0) payload[0] = Math.min(payload[0] ?? 0, payload.length - 1);
    return frame(type, type === 0 && payload.length === 0 ? flags & ~8 : flags, id, payload);
  });

describe("HTTP/2 frames (RFC 9113, 4)", () => {
  test("are the same however the bytes are split", () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 8 }), fc.array(fc.nat(3000), { maxLength: 30 }), (frames, cuts) => {
        const bytes = Buffer.concat(frames);
        const at = [0, ...cuts.filter((cut) => cut < bytes.length).toSorted((a, b) => a - b), bytes.length];
        const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
        expect(read(chunks)).toEqual(read([bytes]));
        expect(read([...bytes].map((byte) => Buffer.of(byte)))).toEqual(read([bytes]));
      }),
    );
  });

  test("the reserved bit of a stream's id means nothing", () => {
    const bytes = frame(6, 0, 0, Buffer.alloc(8));
    bytes[5] = 0x80;
    expect(read([bytes])).toEqual(["6 0 0 0000000000000000"]);
  });

  test("DATA is handed on before it is whole, its padding never", () => {
    const sink = new Listing();
    const reader = new FrameReader(sink);
    const bytes = frame(0, 9, 1, Buffer.from([3, 97, 98, 99, 0, 0, 0]));
    reader.read(bytes.subarray(0, 11));
    expect(sink.events).toEqual(["data 1 7 4 true"]);
    reader.read(bytes.subarray(11));
    expect(sink.events).toEqual(["data 1 7 4 true", "616263"]);
  });

  test("a frame larger than we said is a FRAME_SIZE_ERROR", () => {
    expect(read([frame(1, 4, 1, Buffer.alloc(16_385))])).toEqual(["error 6"]);
    expect(read([frame(0, 0, 1, Buffer.alloc(16_385))])).toEqual(["error 6"]);
  });

  test.each([
    ["all of it and more", [3, 1, 2]],
    ["its own length too", [1]],
    ["nothing to be in", []],
  ])("padding of %s is a PROTOCOL_ERROR", (_what, payload) => {
    expect(read([frame(0, 8, 1, Buffer.from(payload))])).toEqual(["error 1"]);
  });

  test("after an error nothing more is read", () => {
    expect(read([Buffer.concat([frame(0, 8, 1, Buffer.of(9)), frame(6, 0, 0, Buffer.alloc(8))])])).toEqual(["error 1"]);
  });
});
