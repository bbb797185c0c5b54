/** A request of the proxy's own to one of its clusters, with its whole answer: what filters ask other programs. */
import type { Connection } from "#lib/connection.ts";
import type { Runtime, Timer } from "#lib/runtime.ts";
import type { Cluster, ClusterManager, Host, PoolCallbacks, PoolOptions, PoolRequest } from "../upstream/types.ts";
import type { StreamDecoder, StreamEncoder } from "./codec.ts";
import type { HeaderMap } from "./header-map.ts";

export interface AsyncRequest {
  readonly clusterName: string;
  readonly headers: HeaderMap;
  /** Belongs to the request from here on. */
  readonly body?: Buffer | undefined;
  /** 0: none. */
  readonly timeoutMs: number;
  /** The call is gRPC: clusters that follow the downstream's protocol speak HTTP/2. */
  readonly isGrpc?: boolean;
}

export interface AsyncResponse {
  readonly headers: HeaderMap;
  readonly body: Buffer;
  readonly trailers: HeaderMap | undefined;
}

/** `unavailable`: there is no such cluster, or no host of it may be asked. */
export type AsyncFailure = "unavailable" | "timeout" | "reset" | "too large";

export interface AsyncCall {
  /** Nothing is heard of it any more. */
  cancel(): void;
}

/** Answers longer than this are given up: what asks keeps them whole. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** Sends at once; `onDone` is called exactly once unless it is cancelled, possibly before this returns. */
export function sendAsyncRequest(
  request: AsyncRequest,
  context: { readonly runtime: Runtime; readonly clusters: ClusterManager },
  onDone: (answer: AsyncResponse | AsyncFailure) => void,
): AsyncCall {
  const cluster = context.clusters.get(request.clusterName);
  const host = cluster?.isMaintenance === true ? undefined : cluster?.chooseHost({});
  if (cluster === undefined || host === undefined) {
    onDone("unavailable");
    return { cancel: () => {} };
  }
  const call = new Call(request, context.runtime, cluster, host, onDone);
  call.start();
  return call;
}

class Call implements StreamDecoder, PoolCallbacks, AsyncCall {
  #encoder: StreamEncoder | undefined = undefined;
  #waiting: PoolRequest | undefined = undefined;
  #timer: Timer | undefined = undefined;
  #isOver = false;
  #isSent = false;
  #headers: HeaderMap | undefined = undefined;
  #bytes = 0;
  readonly #chunks: Buffer[] = [];
  readonly #startedMs: number;
  readonly #request: AsyncRequest;
  readonly #runtime: Runtime;
  readonly #cluster: Cluster;
  readonly #host: Host;
  readonly #onDone: (answer: AsyncResponse | AsyncFailure) => void;

  constructor(
    request: AsyncRequest,
    runtime: Runtime,
    cluster: Cluster,
    host: Host,
    onDone: (answer: AsyncResponse | AsyncFailure) => void,
  ) {
    this.#request = request;
    this.#runtime = runtime;
    this.#cluster = cluster;
    this.#host = host;
    this.#onDone = onDone;
    this.#startedMs = runtime.clock.monotonic();
  }

  start(): void {
    const { timeoutMs } = this.#request;
    if (timeoutMs > 0) this.#timer = this.#runtime.clock.wheel.schedule(timeoutMs, () => this.#onTimeout());
    const waiting = this.#cluster.httpPool(this.#host, this.#poolOptions()).newStream(this, this);
    if (this.#encoder === undefined && !this.#isOver) this.#waiting = waiting;
  }

  #poolOptions(): PoolOptions {
    const { headers, isGrpc } = this.#request;
    const { autoSni, autoSanValidation } = this.#cluster.httpOptions;
    const options: PoolOptions = {
      priority: "default",
      protocol: this.#cluster.upstreamProtocol(isGrpc === true ? "HTTP/2" : "HTTP/1.1"),
    };
    if (!autoSni) return options;
    const name = headers.authority.replace(/:\d+$/, "");
    return { ...options, serverNameOverride: name, subjectAltNamesOverride: autoSanValidation ? [name] : undefined };
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#end();
    this.#cluster.stats.rqCancelled.inc();
    this.#giveUp();
  }

  #onTimeout(): void {
    if (this.#isOver) return;
    this.#cluster.stats.rqTimeout.inc();
    this.#host.stats.rqTimeout++;
    this.#host.outlier.putLocalOrigin("timeout");
    this.#end();
    this.#giveUp();
    this.#cluster.stats.countResponse(504);
    this.#onDone("timeout");
  }

  #giveUp(): void {
    this.#waiting?.cancel();
    this.#encoder?.reset("local reset");
  }

  #end(): void {
    this.#isOver = true;
    this.#timer?.cancel();
  }

  #fail(reason: AsyncFailure): void {
    if (this.#isOver) return;
    this.#end();
    this.#host.stats.rqError++;
    this.#onDone(reason);
  }

  #complete(trailers: HeaderMap | undefined): void {
    const headers = this.#headers;
    if (this.#isOver || headers === undefined) return;
    this.#end();
    if (!this.#isSent) this.#encoder?.reset("local reset");
    const { stats } = this.#cluster;
    stats.countResponse(headers.status);
    stats.rqCompleted.inc();
    stats.recordTime(Math.round(this.#runtime.clock.monotonic() - this.#startedMs));
    if (headers.status >= 500) this.#host.stats.rqError++;
    else this.#host.stats.rqSuccess++;
    this.#host.outlier.putHttpStatus(headers.status);
    this.#onDone({ headers, body: Buffer.concat(this.#chunks), trailers });
  }

  onPoolReady(encoder: StreamEncoder, host: Host, connection: Connection): void {
    void connection;
    this.#waiting = undefined;
    this.#encoder = encoder;
    host.outlier.putLocalOrigin("connect-success");
    const { headers, body } = this.#request;
    encoder.sendHeaders(headers, body === undefined);
    if (body !== undefined && !this.#isOver) encoder.sendData(body, true);
    this.#isSent = true;
  }

  onPoolFailure(reason: string): void {
    if (reason === "connection timeout") this.#host.outlier.putLocalOrigin("connect-timeout");
    else if (reason !== "overflow") this.#host.outlier.putLocalOrigin("connect-failed");
    this.#fail("reset");
  }

  onHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.#isOver) return;
    this.#headers = headers;
    if (endStream) this.#complete(undefined);
  }

  onData(chunk: Buffer, endStream: boolean): void {
    if (this.#isOver) return;
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_BODY_BYTES) {
      this.#fail("too large");
      this.#encoder?.reset("local reset");
      return;
    }
    this.#chunks.push(Buffer.from(chunk));
    if (endStream) this.#complete(undefined);
  }

  onTrailers(trailers: HeaderMap): void {
    this.#complete(trailers);
  }

  onReset(): void {
    if (this.#isOver) return;
    this.#host.outlier.putLocalOrigin("reset");
    this.#fail("reset");
  }

  onWritable(): void {
    // The whole request is handed over at once.
  }
}
