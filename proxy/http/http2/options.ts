/** How HTTP/2 is spoken: what both sides have in common. Envoy's names and defaults. */
import type { Clock } from "#lib/runtime.ts";
import { Http2FieldNames } from "./field-name.ts";
import { unwatchedHttp2Stats, type Http2Stats } from "./http2-stats.ts";
import { BufferPool } from "./write-buffer.ts";

/** `connection_keepalive`. */
export interface KeepaliveOptions {
  /** 0: no pings of their own accord. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Percent of the interval that is added by chance. */
  readonly intervalJitter: number;
  /** After so long without a byte a new stream is preceded by a ping; 0: never. */
  readonly idleIntervalMs: number;
}

/** Guards against peers that make us work or remember. */
export interface AbuseLimits {
  readonly maxOutboundFrames: number;
  readonly maxOutboundControlFrames: number;
  readonly maxConsecutiveEmptyFrames: number;
  readonly maxPriorityFramesPerStream: number;
  readonly maxWindowUpdateFramesPerData: number;
  /** From this many ended streams on, a connection of which more than half were given up early is refused. */
  readonly prematureResetTotalStreams: number;
  readonly prematureResetMinLifetimeMs: number;
}

export const defaultAbuseLimits: AbuseLimits = {
  maxOutboundFrames: 10_000,
  maxOutboundControlFrames: 1000,
  maxConsecutiveEmptyFrames: 1,
  maxPriorityFramesPerStream: 100,
  maxWindowUpdateFramesPerData: 10,
  prematureResetTotalStreams: 500,
  prematureResetMinLifetimeMs: 1000,
};

/** What the connections of one listener or cluster share. */
export interface Http2Shared {
  readonly names: Http2FieldNames;
  readonly buffers: BufferPool;
  readonly stats: Http2Stats;
}

export function createHttp2Shared(stats: Http2Stats = unwatchedHttp2Stats()): Http2Shared {
  return { names: new Http2FieldNames(), buffers: new BufferPool(), stats };
}

/** What every HTTP/2 connection needs to know. */
export interface SessionOptions {
  /** Server: how many the client may have. Client: the most we use, whatever the server allows. */
  readonly maxConcurrentStreams: number;
  readonly initialStreamWindowBytes: number;
  readonly initialConnectionWindowBytes: number;
  readonly headerTableBytes: number;
  readonly maxHeadersCount: number;
  /** `override_stream_error_on_invalid_http_message`: a malformed message costs its stream, not the connection. */
  readonly streamErrorOnInvalidMessage?: boolean | undefined;
  /** Huffman code for what the peer keeps. Default true. */
  readonly usesHuffman?: boolean | undefined;
  /** Counts what is written. */
  readonly sentBytes?: { add(amount: number): void } | undefined;
  readonly limits?: AbuseLimits | undefined;
  readonly shared?: Http2Shared | undefined;
  /** Without it there is no keepalive and no limit to how long a drain waits for the peer. */
  readonly clock?: Clock | undefined;
  readonly keepalive?: KeepaliveOptions | undefined;
  /** A number in [0, 1), for jitter. */
  readonly random?: (() => number) | undefined;
  /** Runs a function once, before the event loop waits again. Default: a microtask. */
  readonly atEndOfTurn?: ((flush: () => void) => void) | undefined;
}
