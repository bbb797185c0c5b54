/**
 * One stream interface over HTTP/1.1 and HTTP/2, both sides. A codec turns the bytes of a `Connection` into streams;
 * above it nobody knows which protocol is spoken, but for `Protocol` in the stream's info.
 */
import type { HeaderMap } from "./header-map.ts";

export type Protocol = "HTTP/1.0" | "HTTP/1.1" | "HTTP/2";

/** Receives one direction of a stream. Chunks are borrowed: valid only during the call. */
export interface StreamDecoder {
  /** A final header block (for a client: status ≥ 200, or 101). */
  onHeaders(headers: HeaderMap, endStream: boolean): void;
  /** Client side only: an informational response (100, 103). */
  onInformational?(headers: HeaderMap): void;
  onData(chunk: Buffer, endStream: boolean): void;
  /** Ends the stream. */
  onTrailers(trailers: HeaderMap): void;
  /** The stream is gone before both sides ended. Nothing follows. `details` is Envoy's (`http1.codec_error`, …). */
  onReset(reason: ResetReason, details: string): void;
  /** The peer reads again after `canWrite` was false. */
  onWritable(): void;
}

/** Sends one direction of a stream. */
export interface StreamEncoder {
  /** `headers` may be changed by the codec's owner afterwards; the codec does not keep it. */
  sendHeaders(headers: HeaderMap, endStream: boolean): void;
  /** `chunk` is borrowed. Returns false when the peer is slow: `onWritable` follows. */
  sendData(chunk: Buffer | string, endStream: boolean): boolean;
  sendTrailers(trailers: HeaderMap): void;
  /** Server side only: 100 or 103. */
  sendInformational(headers: HeaderMap): void;
  /** Gives the stream up. In HTTP/1.1 that costs the connection. No `onReset` is called back for one's own reset. */
  reset(reason: ResetReason): void;
  /** Back-pressure: stops and restarts reading this stream (HTTP/1.1: the connection). */
  setReadDisabled(disabled: boolean): void;
  readonly canWrite: boolean;
  /** Server side only: who hears of the request from here on. */
  decoder?: StreamDecoder | undefined;
}

/** Envoy's `StreamResetReason`, in the words of its log (§4.1 maps each to a response flag). */
export type ResetReason =
  | "local connection failure"
  | "remote connection failure"
  | "connection timeout"
  | "connection termination"
  | "local reset"
  | "local refused stream reset"
  | "overflow"
  | "remote reset"
  | "remote refused stream reset"
  | "remote error with CONNECT request"
  | "protocol error"
  | "overload manager reset"
  | "HTTP/1 premature upstream half close";

/** What a server codec tells its connection manager. */
export interface ServerCodecHandler {
  /** A new request begins; its decoder is called as it arrives. */
  onStream(encoder: StreamEncoder): StreamDecoder;
  /**
   * The peer broke the protocol. HTTP/1.1: `status` is what to answer before the connection is closed (a local reply is
   * made from it even when no stream exists yet); HTTP/2: the connection is already being closed.
   */
  onProtocolError(error: CodecError): void;
  /** A request has begun whose head is not complete: `onStream` will follow, or `abortHead`. */
  onHeadBegun?(): void;
  /** HTTP/2: the peer sent GOAWAY. */
  onGoAway?(): void;
  /** HTTP/2: `drain` is through: the client knows, no stream is left, everything is written. The owner closes. */
  onDrained?(): void;
}

export interface CodecError {
  readonly status: 400 | 408 | 413 | 426 | 431 | 501 | 503;
  /** Envoy's response code details, such as `http1.codec_error`. */
  readonly details: string;
  readonly message: string;
}

export interface ServerCodec {
  readonly protocol: Protocol;
  /** Bytes from the connection (borrowed). */
  onData(chunk: Buffer): void;
  /** The connection is gone: resets what is active. */
  onClose(): void;
  onDrain(): void;
  /** No new streams: HTTP/1.1 answers `connection: close`, HTTP/2 sends GOAWAY. */
  drain(): void;
  /** Gives up a head that has begun; the handler hears of `error`. Without one, nothing happens. */
  abortHead?(error: CodecError): void;
  readonly activeStreams: number;
  /** True once the connection is to be closed when the last stream has ended (asked by the peer, by `drain`, or by an error). */
  readonly isDraining: boolean;
}

export interface ClientCodec {
  readonly protocol: Protocol;
  /** Starts a stream; its answer goes to `decoder`. The pool sees to it that there is room. */
  newStream(decoder: StreamDecoder): StreamEncoder;
  onData(chunk: Buffer): void;
  /** The connection is gone. `isError`: not by an orderly close (a response that is framed by close is then cut off). */
  onClose(isError?: boolean): void;
  onDrain(): void;
  readonly activeStreams: number;
  /** HTTP/1.1: 1. HTTP/2: the peer's SETTINGS_MAX_CONCURRENT_STREAMS. */
  readonly maxConcurrentStreams: number;
  /** No further streams (connection: close, GOAWAY, an error). */
  readonly isDraining: boolean;
}

export interface ClientCodecHandler {
  /**
   * A stream ended: exactly once per `newStream`, however it ended, and after its decoder heard of it. HTTP/1.1
   * connections may be used again unless `isDraining`; one that is draining is to be closed by its owner.
   */
  onStreamEnd(): void;
  onGoAway(): void;
  onSettings?(): void;
  onProtocolError(error: { readonly details: string; readonly message: string }): void;
}
