/** Where spans go: a queue that is sent in batches, by a POST through a cluster of the proxy. */
import type { Runtime, Timer } from "#lib/runtime.ts";
import { HeaderMap } from "../../http/header-map.ts";
import type { StreamDecoder } from "../../http/codec.ts";
import type { Counter, StatsScope } from "../stats.ts";
import type { ClusterManager } from "../../upstream/types.ts";
import type { SpanRecord, SpanSink } from "./span-record.ts";

/** One batch, ready to be posted. */
export interface EncodedBatch {
  readonly contentType: string;
  readonly body: Buffer;
}

export interface CollectorTarget {
  readonly clusterName: string;
  readonly protocol: "http1" | "http2" | "auto";
  readonly authority: string;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly timeoutMs: number;
}

export interface CollectorDeps {
  readonly runtime: Runtime;
  readonly clusters: ClusterManager;
  /** `tracing.opentelemetry.` or `tracing.zipkin.`. */
  readonly scope: StatsScope;
  readonly target: CollectorTarget;
  /** Loads what encodes; called when the first batch is due. */
  readonly loadEncoder: () => Promise<(spans: readonly SpanRecord[]) => EncodedBatch>;
}

const FLUSH_MS = 1000;
const MAX_BATCH = 256;
/** Spans beyond this are dropped: a collector that is away must not cost memory. */
const MAX_QUEUE = 4096;

/** The sink in front of one collector. */
export function createCollector(deps: CollectorDeps): SpanSink {
  return new Collector(deps);
}

class Collector implements SpanSink {
  readonly #deps: CollectorDeps;
  readonly #sent: Counter;
  readonly #dropped: Counter;
  readonly #failed: Counter;
  #queue: SpanRecord[] = [];
  #timer: Timer | undefined = undefined;
  #encode: Promise<(spans: readonly SpanRecord[]) => EncodedBatch> | undefined = undefined;

  constructor(deps: CollectorDeps) {
    this.#deps = deps;
    this.#sent = deps.scope.counter("spans_sent");
    this.#dropped = deps.scope.counter("spans_dropped");
    this.#failed = deps.scope.counter("reports_failed");
  }

  add(span: SpanRecord): void {
    if (this.#queue.length >= MAX_QUEUE) {
      this.#dropped.inc();
      return;
    }
    this.#queue.push(span);
    if (this.#queue.length === MAX_BATCH) this.#flush();
    else if (this.#timer === undefined)
      this.#timer = this.#deps.runtime.clock.wheel.schedule(FLUSH_MS, () => {
        this.#timer = undefined;
        this.#flush();
      });
  }

  #flush(): void {
    const spans = this.#queue;
    if (spans.length === 0) return;
    this.#queue = [];
    this.#encode ??= this.#deps.loadEncoder();
    this.#encode.then(
      (encode) => this.#post(encode(spans), spans.length),
      (error: unknown) => {
        this.#failed.inc();
        this.#deps.runtime.log.child("tracing").error(`spans can't be encoded: ${String(error)}`);
      },
    );
  }

  #post({ contentType, body }: EncodedBatch, count: number): void {
    const { clusters, target, runtime } = this.#deps;
    const cluster = clusters.get(target.clusterName);
    const host = cluster?.chooseHost({});
    if (cluster === undefined || host === undefined) {
      this.#failed.inc();
      this.#dropped.add(count);
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
    const exchange = new Exchange((isGood) => (isGood ? this.#sent.add(count) : this.#failed.inc()));
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
