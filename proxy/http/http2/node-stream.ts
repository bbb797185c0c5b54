/** What both sides of a Node HTTP/2 stream have in common: the body, the end, the reset, back-pressure. */
import type { Http2Stream } from "node:http2";
import type { ResetReason, StreamDecoder } from "../codec.ts";
import type { HeaderMap } from "../header-map.ts";
import { headerMapOf, outgoingFields } from "./header-fields.ts";
import { ErrorCode } from "./node-http2.ts";

const noBytes = Buffer.alloc(0);

const codes: Readonly<Partial<Record<ResetReason, number>>> = {
  "local refused stream reset": ErrorCode.refusedStream,
  overflow: ErrorCode.refusedStream,
  "protocol error": ErrorCode.protocolError,
};

export abstract class NodeStream {
  decoder: StreamDecoder | undefined = undefined;
  isReceived = false;
  isSent = false;
  /** Over for its user: ended on both sides, or reset. */
  isOver = false;
  #trailers: HeaderMap | undefined = undefined;
  protected readonly stream: Http2Stream;
  readonly #resetCode: number;

  constructor(stream: Http2Stream, resetCode: number) {
    this.stream = stream;
    this.#resetCode = resetCode;
    stream.on("trailers", (_headers: unknown, _flags: number, raw?: string[]) => {
      if (raw !== undefined) this.#received = headerMapOf(raw);
    });
    stream.on("drain", () => {
      if (!this.isOver) this.decoder?.onWritable();
    });
    stream.on("wantTrailers", () => {
      stream.sendTrailers(this.#trailers === undefined ? {} : outgoingFields(this.#trailers));
    });
    stream.on("error", () => {});
    stream.on("close", () => this.onGone("remote reset"));
  }

  #received: HeaderMap | undefined = undefined;

  /** To be called after the head: Node tells of a response's head later than of data that came with it. */
  startReading(): void {
    this.stream.on("data", (chunk: Buffer) => {
      if (!this.isOver) this.decoder?.onData(chunk, false);
    });
    this.stream.on("end", () => this.#onEnd());
  }

  /** Tells the owner once that the stream is over. */
  protected abstract onOver(): void;

  get canWrite(): boolean {
    return !this.stream.writableNeedDrain;
  }

  sendData(chunk: Buffer | string, endStream: boolean): boolean {
    if (this.isOver || this.stream.destroyed) return true;
    const bytes = typeof chunk === "string" ? Buffer.from(chunk, "latin1") : Buffer.from(chunk);
    if (!endStream) return bytes.length === 0 ? this.canWrite : this.stream.write(bytes);
    if (bytes.length === 0) this.stream.end();
    else this.stream.end(bytes);
    this.sent();
    return true;
  }

  sendTrailers(trailers: HeaderMap): void {
    if (this.isOver || this.stream.destroyed) return;
    this.#trailers = trailers;
    this.stream.end();
    this.sent();
  }

  setReadDisabled(disabled: boolean): void {
    if (this.stream.destroyed) return;
    if (disabled) this.stream.pause();
    else this.stream.resume();
  }

  reset(reason: ResetReason): void {
    if (this.isOver) return;
    this.over();
    this.stream.close(codes[reason] ?? this.#resetCode);
  }

  /** The stream or its connection is gone: a reset for whom it still mattered. */
  onGone(reason: ResetReason): void {
    if (this.isOver) return;
    this.over();
    if (this.isReceived && this.isSent) return;
    const refused = this.stream.rstCode === ErrorCode.refusedStream;
    if (reason !== "remote reset") this.decoder?.onReset(reason, "");
    else if (refused) this.decoder?.onReset("remote refused stream reset", "http2.remote_refuse");
    else this.decoder?.onReset("remote reset", "http2.remote_reset");
  }

  protected sent(): void {
    this.isSent = true;
    if (this.isReceived) this.over();
  }

  protected received(): void {
    this.isReceived = true;
    if (this.isSent) this.over();
  }

  protected over(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.onOver();
  }

  #onEnd(): void {
    if (this.isOver || this.isReceived || this.stream.aborted) return;
    const trailers = this.#received;
    const { decoder } = this;
    this.isReceived = true;
    if (trailers !== undefined && trailers.size > 0) decoder?.onTrailers(trailers);
    else decoder?.onData(noBytes, true);
    if (this.isSent) this.over();
  }
}
