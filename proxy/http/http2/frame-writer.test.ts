import { describe, expect, test } from "vitest";
import { RecordingConnection } from "../testing/recording-connection.ts";
import { createStatsStore } from "../../observability/stats-store.ts";
import { FrameWriter } from "./frame-writer.ts";
import { http2Stats } from "./http2-stats.ts";
import { defaultAbuseLimits } from "./options.ts";
import { BufferPool } from "./write-buffer.ts";

/** A connection that says of a write only later that it is gone, as TLS does. */
class LateConnection extends RecordingConnection {
  override write(data: Buffer | string): boolean {
    this.bufferedBytes += data.length;
    return true;
  }
}

function setUp() {
  const connection = new LateConnection();
  const floods: string[] = [];
  const store = createStatsStore();
  const writer = new FrameWriter({
    connection,
    buffers: new BufferPool(),
    limits: { ...defaultAbuseLimits, maxOutboundFrames: 100, maxOutboundControlFrames: 50 },
    stats: http2Stats(store.root),
    sentBytes: undefined,
    atEndOfTurn: () => {},
    onFlood: (details) => void floods.push(details),
  });
  const active = (): number => store.root.gauge("http2.outbound_frames_active").value;
  return { connection, writer, floods, active };
}

describe("HTTP/2 frames out", () => {
  test("what has left the connection counts no more, though there is always something in it", () => {
    const { connection, writer, floods, active } = setUp();
    for (let turn = 0; turn < 1000; turn++) {
      for (let i = 0; i < 10; i++) writer.data(1, "x", 0, 1, false);
      connection.bufferedBytes = 0; // what was written the turn before
      writer.flush();
      expect(active()).toBe(10);
    }
    expect(floods).toEqual([]);
  });

  test("part of a write is still that write", () => {
    const { connection, writer, active } = setUp();
    for (let i = 0; i < 10; i++) writer.data(1, "x", 0, 1, false);
    writer.flush();
    writer.data(1, "x", 0, 1, false);
    writer.flush();
    connection.bufferedBytes = 11;
    writer.drained();
    expect(active()).toBe(11);
    connection.bufferedBytes = 10;
    writer.drained();
    expect(active()).toBe(1);
    connection.bufferedBytes = 0;
    writer.drained();
    expect(active()).toBe(0);
  });

  test("what never leaves is a flood", () => {
    const { writer, floods } = setUp();
    for (let i = 0; i < 101; i++) writer.data(1, "x", 0, 1, false);
    expect(floods).toEqual(["http2.outbound_frames_flood"]);
    const control = setUp();
    for (let i = 0; i < 51; i++) control.writer.settingsAck();
    expect(control.floods).toEqual(["http2.outbound_control_frames_flood"]);
  });

  test("one write a turn, a large batch at once", () => {
    const { connection, writer } = setUp();
    for (let i = 0; i < 4; i++) writer.data(1, "x".repeat(16_384), 0, 16_384, false);
    expect(connection.bufferedBytes).toBe(3 * (16_384 + 9));
  });
});
