/** Where spans and log entries go: a queue that is sent in batches, by a POST through a cluster of the proxy. */
import type { Runtime, Timer } from "#lib/runtime.ts";
import { HeaderMap } from "../http/header-map.ts";
import type { StreamDecoder } from "../http/codec.ts";
import type { Counter } from "./stats.ts";
import type { ClusterManager } from "../upstream/types.ts";
import type { CollectorTarget } from "./collector-target.ts";

/** One batch, ready to be posted. */
export interface EncodedBatch {
  readonly contentType: string;
  readonly body: Buffer;
}

/** Takes complete records; they are sent later, in batches. */
export interface Sink<T> {
  add(record: T): void;
}

export interface CollectorDeps<T> {
  readonly runtime: Runtime;
  readonly clusters: ClusterManager;
  readonly stats: CollectorStats;
  readonly target: CollectorTarget;
  /** Loads what encodes; called when the first batch is due. */
  readonly loadEncoder: () => Promise<(records: readonly T[]) => EncodedBatch>;
  /** Default: 1 s. */
  readonly flushIntervalMs?: number | undefined;
}

/** Records, but for `failed`: batches. */
export interface CollectorStats {
  readonly sent: Counter;
  readonly dropped: Counter;
  readonly failed: Counter;
}

const FLUSH_MS = 1000;
const MAX_BATCH = 256;
/** Records beyond this are dropped: a collector that is away must not cost memory. */
const MAX_QUEUE = 4096;

/** The sink in front of one collector. */
export function createCollector<T>(deps: CollectorDeps<T>): Sink<T> {
  return new Collector(deps);
}

class Collector<T> implements Sink<T> {
  readonly #deps: CollectorDeps<T>;
  readonly #stats: CollectorStats;
  #queue: T[] = [];
  #timer: Timer | undefined = undefined;
  #encode: Promise<(records: readonly T[]) => EncodedBatch> | undefined = undefined;

  constructor(deps: CollectorDeps<T>) {
    this.#deps = deps;
    this.#stats = deps.stats;
  }

  add(record: T): void {
    if (this.#queue.length >= MAX_QUEUE) {
      this.#stats.dropped.inc();
      return;
    }
    this.#queue.push(record);
    if (this.#queue.length === MAX_BATCH) this.#flush();
    else if (this.#timer === undefined)
      this.#timer = this.#deps.runtime.clock.wheel.schedule(this.#deps.flushIntervalMs ?? FLUSH_MS, () => {
        this.#timer = undefined;
        this.#flush();
      });
  }

  #flush(): void {
    const records = this.#queue;
    if (records.length === 0) return;
    this.#queue = [];
    this.#encode ??= this.#deps.loadEncoder();
    this.#encode.then(
      (encode) => this.#post(encode(records), records.length),
      (error: unknown) => {
        this.#stats.failed.inc();
        this.#deps.runtime.log.child("tracing").error(`a batch can't be encoded: ${String(error)}`);
      },
    );
  }

  #post({ contentType, body }: EncodedBatch, count: number): void {
    const { clusters, target, runtime } = this.#deps;
    const cluster = clusters.get(target.clusterName);
    const host = cluster?.chooseHost({});
    if (cluster === undefined || host === undefined) {
      this.#stats.failed.inc();
      this.#stats.dropped.add(count);
      return;
    }
    const headers = HeaderMap.of([
      [":method", "POST"],
      [":path", target.path],
      [":authority", target.authority],
      [":scheme", "http"],
      ["content-type", contentType],
      ["content-length", String(body.length)],
      ...target.headers,
    ]);
    const exchange = new Exchange((isGood) => (isGood ? this.#stats.sent.add(count) : this.#stats.failed.inc()));
    const pool = cluster.httpPool(host, { priority: "default", protocol: target.protocol });
    pool.newStream(exchange, {
      onPoolReady(encoder) {
        exchange.timer = runtime.clock.wheel.schedule(target.timeoutMs, () => {
          exchange.finish(false);
          encoder.reset("local reset");
        });
        encoder.sendHeaders(headers, false);
        encoder.sendData(body, true);
      },
      onPoolFailure: () => exchange.finish(false),
    });
  }
}

/** Hears the answer to one batch; only its status matters. */
class Exchange implements StreamDecoder {
  timer: Timer | undefined = undefined;
  #isGood = false;
  #onDone: ((isGood: boolean) => void) | undefined;
  constructor(onDone: (isGood: boolean) => void) {
    this.#onDone = onDone;
  }
  onHeaders(headers: HeaderMap, endStream: boolean): void {
    this.#isGood = headers.status >= 200 && headers.status < 300 && (headers.get("grpc-status") ?? "0") === "0";
    if (endStream) this.finish(this.#isGood);
  }
  onData(_chunk: Buffer, endStream: boolean): void {
    if (endStream) this.finish(this.#isGood);
  }
  onTrailers(trailers: HeaderMap): void {
    this.finish(this.#isGood && (trailers.get("grpc-status") ?? "0") === "0");
  }
  onReset(): void {
    this.finish(false);
  }
  onWritable(): void {
    // The whole batch is handed over at once.
  }
  finish(isGood: boolean): void {
    this.timer?.cancel();
    this.#onDone?.(isGood);
    this.#onDone = undefined;
  }
}

/** One message of a unary or client-streaming gRPC call. */
export function grpcBatch(message: Uint8Array): EncodedBatch {
  const body = Buffer.alloc(5 + message.length);
  body.writeUInt32BE(message.length, 1);
  body.set(message, 5);
  return { contentType: "application/grpc", body };
}
