/** A connection that remembers what was written to it. */
import type { Connection, ConnectionHandler, SocketAddress } from "#lib/connection.ts";

const nowhere: SocketAddress = { kind: "ip", address: "127.0.0.1", port: 1 };

export class RecordingConnection implements Connection {
  readonly id = 1;
  handler: ConnectionHandler = { onData() {}, onClose() {} };
  readonly localAddress: SocketAddress = nowhere;
  readonly remoteAddress: SocketAddress = nowhere;
  bufferedBytes = 0;
  isClosed = false;
  isPaused = false;
  hasEnded = false;
  written = "";
  writes = 0;

  write(data: string | Buffer): boolean {
    this.written += typeof data === "string" ? data : data.toString("latin1");
    this.writes++;
    return true;
  }
  end(): void {
    this.hasEnded = true;
  }
  destroy(): void {
    this.isClosed = true;
  }
  reset(): void {
    this.isClosed = true;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  unshift(): void {}
}
