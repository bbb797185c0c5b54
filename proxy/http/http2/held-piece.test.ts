import { describe, expect, test } from "vitest";
import { HeldPiece, holdPieces } from "./held-piece.ts";
import { StreamOutbox } from "./stream-outbox.ts";

const filled = (length: number, text: string): Buffer => Buffer.alloc(length, text);

describe("pieces of bodies that wait", () => {
  test("are copies", () => {
    const lent = filled(8000, "a");
    const piece = new HeldPiece(lent);
    lent.fill("x");
    expect(piece.bytes.equals(filled(8000, "a"))).toBe(true);
  });

  test("memory is used again once it is released, and not before", () => {
    const first = new HeldPiece(filled(16_384, "a"));
    const second = new HeldPiece(filled(16_384, "b"));
    expect(second.bytes.buffer).not.toBe(first.bytes.buffer);
    first.release();
    first.release();
    const third = new HeldPiece(filled(5000, "c"));
    const fourth = new HeldPiece(filled(5000, "d"));
    expect(third.bytes.buffer).toBe(first.bytes.buffer);
    expect(fourth.bytes.buffer).not.toBe(first.bytes.buffer);
    expect(third.bytes.equals(filled(5000, "c"))).toBe(true);
  });

  test("large ones are cut", () => {
    const pieces: HeldPiece[] = [];
    const chunk = Buffer.concat([filled(16_384, "a"), filled(16_384, "b"), filled(10, "c")]);
    holdPieces(chunk, pieces);
    expect(pieces.map(({ bytes }) => bytes.length)).toEqual([16_384, 16_384, 10]);
    expect(Buffer.concat(pieces.map(({ bytes }) => bytes)).equals(chunk)).toBe(true);
  });

  test("what is being sent is kept until it has been copied", () => {
    const outbox = new StreamOutbox();
    outbox.add(filled(16_384, "a"), 0);
    const { first } = outbox;
    expect(outbox.take(16_384)).toBe(true);
    expect(new HeldPiece(filled(16_384, "b")).bytes.buffer).not.toBe(first?.buffer);
    outbox.releaseSpent();
    expect(new HeldPiece(filled(16_384, "b")).bytes.buffer).toBe(first?.buffer);
  });
});
