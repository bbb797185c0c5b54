import { describe, expect, test } from "vitest";
import { FrameText } from "./grpc-frame-text.ts";

function frame(length: number): Buffer {
  const bytes = Buffer.alloc(5 + length, 7);
  bytes[0] = 0;
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

describe("application/grpc-web-text", () => {
  test("each frame is base64 for itself, wherever the bytes are cut", () => {
    const frames = [frame(0), frame(1), frame(2), frame(3), frame(100)];
    const all = Buffer.concat(frames);
    const whole = frames.map((one) => one.toString("base64")).join("");
    for (const step of [1, 2, 3, 5, 7, 64, all.length]) {
      const text = new FrameText();
      let written = "";
      for (let at = 0; at < all.length; at += step) written += text.write(all.subarray(at, at + step));
      expect(written).toBe(whole);
    }
  });

  test("a frame that claims to be huge is not waited for", () => {
    const head = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
    expect(new FrameText().write(Buffer.concat([head, Buffer.alloc(3000)])).length).toBeGreaterThan(3000);
  });
});
