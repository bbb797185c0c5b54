/** One unary gRPC call to a service behind a cluster of the proxy, as filters make them. */
import type { Runtime, Timer } from "#lib/runtime.ts";
import type { CollectorTarget } from "../observability/collector-target.ts";
import type { ClusterManager } from "../upstream/types.ts";
import type { ResetReason, StreamDecoder, StreamEncoder } from "./codec.ts";
import { HeaderMap } from "./header-map.ts";

/** `message`: the bytes of the answer; undefined: it failed, for the reason given. */
export type OnAnswer = (message: Buffer | undefined, failure: string) => void;

/** An answer that is longer is a failure. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/** Makes the call; `onAnswer` comes exactly once, perhaps before this returns, unless it is cancelled. */
export function callUnary(
  target: CollectorTarget,
  message: Uint8Array,
  { clusters, runtime }: { readonly clusters: ClusterManager; readonly runtime: Runtime },
  onAnswer: OnAnswer,
): { cancel(): void } {
  const cluster = clusters.get(target.clusterName);
  const host = cluster?.chooseHost({});
  if (cluster === undefined || host === undefined) {
    onAnswer(undefined, cluster === undefined ? `no cluster ${target.clusterName}` : "no healthy upstream");
    return { cancel() {} };
  }
  const call = new Call(onAnswer, (status) => cluster.stats.countResponse(status, true));
  call.timer = runtime.clock.wheel.schedule(target.timeoutMs, () => call.fail("timeout", 504));
  const headers = HeaderMap.of([
    [":method", "POST"],
    [":path", target.path],
    [":authority", target.authority],
    [":scheme", "http"],
    ["content-type", "application/grpc"],
    ...target.headers,
  ]);
  const body = Buffer.alloc(5 + message.length);
  body.writeUInt32BE(message.length, 1);
  body.set(message, 5);
  const pool = cluster.httpPool(host, { priority: "default", protocol: target.protocol });
  const waiting = pool.newStream(call, {
    onPoolReady(encoder) {
      call.encoder = encoder;
      encoder.sendHeaders(headers, false);
      encoder.sendData(body, true);
    },
    onPoolFailure: (reason) => call.fail(reason, 503),
  });
  call.waiting = call.encoder === undefined ? waiting : undefined;
  return { cancel: () => call.cancel() };
}

class Call implements StreamDecoder {
  timer: Timer | undefined = undefined;
  encoder: StreamEncoder | undefined = undefined;
  waiting: { cancel(): void } | undefined = undefined;
  #onAnswer: OnAnswer | undefined;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #hasEnded = false;

  readonly #count: (status: number) => void;

  constructor(onAnswer: OnAnswer, count: (status: number) => void) {
    this.#onAnswer = onAnswer;
    this.#count = count;
  }

  onHeaders(headers: HeaderMap, endStream: boolean): void {
    this.#hasEnded = endStream;
    this.#count(headers.status);
    if (headers.status !== 200) this.fail(`status ${headers.status}`);
    else if (endStream) this.#end(headers);
  }

  onData(chunk: Buffer, endStream: boolean): void {
    this.#hasEnded = endStream;
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_ANSWER_BYTES) this.fail("the answer is too long");
    else this.#chunks.push(Buffer.from(chunk));
    if (endStream) this.fail("no grpc-status");
  }

  onTrailers(trailers: HeaderMap): void {
    this.#hasEnded = true;
    this.#end(trailers);
  }

  onReset(reason: ResetReason): void {
    this.#hasEnded = true;
    this.fail(reason, 503);
  }

  onWritable(): void {
    // The whole request is handed over at once.
  }

  /** `status`: what the cluster counts, where no response has begun. */
  fail(reason: string, status?: number): void {
    if (status !== undefined && this.#onAnswer !== undefined) this.#count(status);
    this.#finish(undefined, reason);
    this.#giveUp();
  }

  cancel(): void {
    this.#onAnswer = undefined;
    this.timer?.cancel();
    this.#giveUp();
  }

  #end(headers: HeaderMap): void {
    const status = headers.get("grpc-status");
    if (status !== "0") return this.fail(`grpc-status ${status ?? "is missing"}`);
    const all = Buffer.concat(this.#chunks);
    if (all.length < 5 || all[0] !== 0 || all.readUInt32BE(1) !== all.length - 5)
      return this.fail("the answer is no uncompressed message");
    this.#finish(all.subarray(5), "");
  }

  #finish(message: Buffer | undefined, failure: string): void {
    this.timer?.cancel();
    const onAnswer = this.#onAnswer;
    this.#onAnswer = undefined;
    onAnswer?.(message, failure);
  }

  #giveUp(): void {
    this.waiting?.cancel();
    this.waiting = undefined;
    if (!this.#hasEnded) this.encoder?.reset("local reset");
    this.#hasEnded = true;
  }
}
