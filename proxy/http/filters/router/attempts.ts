/** The attempts of one request that are under way: the current one and, with hedging, slow ones that may still answer. */
import type { HeaderMap } from "../../header-map.ts";
import type { UpstreamRequest } from "./upstream-request.ts";

export class Attempts {
  current: UpstreamRequest | undefined = undefined;
  #slow: UpstreamRequest[] | undefined = undefined;

  get hasSlow(): boolean {
    return this.#slow !== undefined && this.#slow.length > 0;
  }

  sendData(chunk: Buffer, endStream: boolean): void {
    this.current?.sendData(chunk, endStream);
    if (this.#slow !== undefined) for (const slow of this.#slow) slow.sendData(chunk, endStream);
  }

  sendTrailers(trailers: HeaderMap): void {
    this.current?.sendTrailers(trailers);
    if (this.#slow !== undefined) for (const slow of this.#slow) slow.sendTrailers(trailers);
  }

  /** The attempt goes on beside the next one. */
  setAside(attempt: UpstreamRequest): void {
    (this.#slow ??= []).push(attempt);
    if (this.current === attempt) this.current = undefined;
  }

  /** Forgets an attempt that is over. True: it was a slow one, and another is still under way. */
  forget(attempt: UpstreamRequest): boolean {
    if (this.current === attempt) {
      this.current = undefined;
      return false;
    }
    const index = this.#slow?.indexOf(attempt) ?? -1;
    if (index < 0) return false;
    this.#slow?.splice(index, 1);
    return this.current !== undefined || this.hasSlow;
  }

  /** The first good answer wins: the others are given up. */
  keepOnly(winner: UpstreamRequest): void {
    if (this.#slow === undefined) return;
    for (const other of this.all()) if (other !== winner) other.cancel();
    this.#slow = undefined;
    this.current = winner;
  }

  all(): readonly UpstreamRequest[] {
    return this.current === undefined ? (this.#slow ?? []) : [this.current, ...(this.#slow ?? [])];
  }

  cancel(): void {
    this.current?.cancel();
    if (this.#slow !== undefined) for (const slow of this.#slow) slow.cancel();
  }
}
