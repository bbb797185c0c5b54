/** Lets a body pass at so many KiB a second, a twentieth of it every 50 ms, as Envoy's StreamRateLimiter. */
import type { Runtime, Timer } from "#lib/runtime.ts";
import type { FilterStream, HttpFilter } from "../filter.ts";
import type { HeaderMap } from "../header-map.ts";

const SLICE_MS = 50;

export class StreamRateLimiter {
  readonly #runtime: Runtime;
  readonly #stream: FilterStream;
  readonly #filter: HttpFilter;
  readonly #bytesPerSlice: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #hasEnded = false;
  #trailers: HeaderMap | undefined = undefined;
  #timer: Timer | undefined = undefined;
  #lastSliceMs = Number.NEGATIVE_INFINITY;

  /** For the response body that `filter` consumes. */
  constructor(kibPerSecond: number, runtime: Runtime, stream: FilterStream, filter: HttpFilter) {
    this.#runtime = runtime;
    this.#stream = stream;
    this.#filter = filter;
    this.#bytesPerSlice = Math.max(1, Math.floor((kibPerSecond * 1024 * SLICE_MS) / 1000));
  }

  write(chunk: Buffer, endStream: boolean): void {
    if (chunk.length > 0) {
      this.#waiting.push(Buffer.from(chunk));
      this.#waitingBytes += chunk.length;
    }
    this.#hasEnded = endStream;
    if (this.#waitingBytes > this.#stream.bufferLimitBytes) this.#stream.setResponseHeldBack(true);
    this.#schedule();
  }

  /** They go when all of the body has gone. */
  writeTrailers(trailers: HeaderMap): void {
    this.#trailers = trailers;
    this.#schedule();
  }

  destroy(): void {
    this.#timer?.cancel();
    this.#waiting = [];
  }

  #schedule(): void {
    if (this.#timer !== undefined) return;
    const sinceMs = this.#runtime.clock.monotonic() - this.#lastSliceMs;
    this.#timer = this.#runtime.clock.wheel.schedule(Math.max(0, SLICE_MS - sinceMs), () => {
      this.#timer = undefined;
      this.#pass();
    });
  }

  #pass(): void {
    this.#lastSliceMs = this.#runtime.clock.monotonic();
    const all = Buffer.concat(this.#waiting);
    const now = all.subarray(0, this.#bytesPerSlice);
    const rest = all.subarray(now.length);
    this.#waiting = rest.length === 0 ? [] : [rest];
    this.#waitingBytes = rest.length;
    const isLast = rest.length === 0 && this.#hasEnded && this.#trailers === undefined;
    if (now.length > 0 || isLast) this.#stream.passEncodedData(this.#filter, now, isLast);
    if (rest.length === 0 && this.#trailers !== undefined)
      this.#stream.passEncodedTrailers(this.#filter, this.#trailers);
    if (rest.length > 0) this.#schedule();
    if (rest.length <= this.#stream.bufferLimitBytes / 2) this.#stream.setResponseHeldBack(false);
  }
}
