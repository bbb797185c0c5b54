/** A copy of a request to another cluster: sent and forgotten, its answer read and thrown away. */
import type { Connection } from "#lib/connection.ts";
import type { Runtime, Timer } from "#lib/runtime.ts";
import type { Cluster, Host, LbContext, PoolCallbacks, PoolRequest, RoutingPriority } from "../../../upstream/types.ts";
import type { Protocol, StreamDecoder, StreamEncoder } from "../../codec.ts";
import type { HeaderMap } from "../../header-map.ts";
import { BodyBuffer } from "./body-buffer.ts";

const anyHost: LbContext = {};

export class ShadowRequest implements StreamDecoder, PoolCallbacks {
  readonly #headers: HeaderMap;
  readonly #body = new BodyBuffer();
  readonly #cluster: Cluster;
  #encoder: StreamEncoder | undefined = undefined;
  #waiting: PoolRequest | undefined = undefined;
  #timer: Timer | undefined = undefined;
  #isOver = false;

  constructor(cluster: Cluster, headers: HeaderMap) {
    this.#cluster = cluster;
    this.#headers = headers;
  }

  /** `timeoutMs` 0: none. Without a healthy host nothing is sent. */
  start(priority: RoutingPriority, downstream: Protocol | undefined, timeoutMs: number, runtime: Runtime): void {
    const cluster = this.#cluster;
    const host = cluster.chooseHost(anyHost);
    if (host === undefined) {
      this.#isOver = true;
      return;
    }
    if (timeoutMs > 0) this.#timer = runtime.clock.wheel.schedule(timeoutMs, () => this.#onTimeout());
    const options = { priority, protocol: cluster.upstreamProtocol(downstream) };
    const waiting = cluster.httpPool(host, options).newStream(this, this);
    if (this.#encoder === undefined && !this.#isOver) this.#waiting = waiting;
  }

  sendData(chunk: Buffer, endStream: boolean): void {
    if (this.#isOver) return;
    if (this.#encoder !== undefined) {
      this.#encoder.sendData(chunk, endStream);
      return;
    }
    this.#body.add(chunk);
    if (endStream) this.#body.isComplete = true;
  }

  sendTrailers(trailers: HeaderMap): void {
    if (this.#isOver) return;
    if (this.#encoder !== undefined) this.#encoder.sendTrailers(trailers);
    else {
      this.#body.addTrailers(trailers);
      this.#body.isComplete = true;
    }
  }

  /** The original ended before its body was through. */
  cancel(): void {
    if (this.#isOver) return;
    this.#end();
    this.#waiting?.cancel();
    this.#encoder?.reset("local reset");
  }

  /** There is no body to come. */
  complete(): void {
    this.#body.isHeadersOnly = true;
    this.#body.isComplete = true;
  }

  #onTimeout(): void {
    if (this.#isOver) return;
    this.#cluster.stats.rqTimeout.inc();
    this.cancel();
  }

  #end(): void {
    this.#isOver = true;
    this.#timer?.cancel();
  }

  onPoolReady(encoder: StreamEncoder, _host: Host, _connection: Connection): void {
    this.#waiting = undefined;
    this.#encoder = encoder;
    const { isHeadersOnly } = this.#body;
    encoder.sendHeaders(this.#headers, isHeadersOnly);
    if (!isHeadersOnly)
      this.#body.replay({
        sendData: (c, end) => void encoder.sendData(c, end),
        sendTrailers: (t) => encoder.sendTrailers(t),
      });
    this.#body.drop();
  }

  onPoolFailure(): void {
    this.#end();
    this.#cluster.stats.countResponse(503, true);
  }

  onHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.#isOver) return;
    this.#cluster.stats.countResponse(headers.status, true);
    if (endStream) this.#end();
  }

  onData(_chunk: Buffer, endStream: boolean): void {
    if (endStream) this.#end();
  }

  onTrailers(): void {
    this.#end();
  }

  onReset(): void {
    if (!this.#isOver) this.#cluster.stats.countResponse(503, true);
    this.#end();
  }

  onWritable(): void {}
}

/** `host-shadow`, before a port. */
export function shadowAuthority(authority: string): string {
  const colon = authority.lastIndexOf(":");
  const hasPort = colon >= 0 && !authority.endsWith("]") && /^[0-9]+$/.test(authority.slice(colon + 1));
  return hasPort ? `${authority.slice(0, colon)}-shadow${authority.slice(colon)}` : `${authority}-shadow`;
}
