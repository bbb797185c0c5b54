/**
 * The HTTP filters of one stream: requests pass them in the configured order, responses in reverse. A filter may
 * stop; what arrives meanwhile waits in order. Filters without a hook are not called, streams without filters that
 * listen to data do not loop over them.
 */
import { disabledFilter } from "../router/types.ts";
import type { BodyStatus, FilterStream, HeadersStatus, HttpFilter, StreamFilterFactory } from "./filter.ts";
import type { HeaderMap } from "./header-map.ts";

const Hook = { headers: 1, data: 2, trailers: 4 } as const;

/** One configured filter: its name, its maker, and the hooks that its filters have (known after the first). */
export interface FilterChainEntry {
  readonly name: string;
  /** Read for every stream: an entry whose configuration changes gives another one. */
  readonly create: StreamFilterFactory;
  /** Takes part only where the route's `typed_per_filter_config` enables it. */
  readonly isDisabled?: boolean | undefined;
}

interface KnownEntry {
  readonly entry: FilterChainEntry;
  readonly name: string;
  /** The maker whose hooks are known. */
  learnedOf: StreamFilterFactory | undefined;
  decodeHooks: number;
  encodeHooks: number;
}

/** The filters of a connection manager, in order; the last is terminal. One a configuration. */
export class FilterChainFactory {
  readonly entries: readonly KnownEntry[];

  constructor(entries: readonly FilterChainEntry[]) {
    this.entries = entries.map((entry) => ({
      entry,
      name: entry.name,
      learnedOf: undefined,
      decodeHooks: 0,
      encodeHooks: 0,
    }));
  }
}

/** Where the two passes end: the connection manager's side of the stream. */
export interface FilterChainEnds {
  onEncodedHeaders(headers: HeaderMap, endStream: boolean): void;
  onEncodedData(chunk: Buffer | string, endStream: boolean): boolean;
  onEncodedTrailers(trailers: HeaderMap): void;
  /** More is waiting for a stopped filter than may. */
  onBufferOverflow(direction: "decode" | "encode"): void;
  /** Stops and restarts the source of what is waiting. */
  readonly bufferLimitBytes: number;
}

export class FilterChain {
  readonly #filters: (HttpFilter | undefined)[] = [];
  readonly #decode: DecodePass;
  readonly #encode: EncodePass;

  constructor(factory: FilterChainFactory, stream: FilterStream, ends: FilterChainEnds) {
    const { entries } = factory;
    const { route } = stream;
    let decodeHooks = 0;
    let encodeHooks = 0;
    for (let i = 0; i < entries.length; i++) {
      const known = entries[i] as KnownEntry;
      const { entry } = known;
      const isDisabled =
        entry.isDisabled === true
          ? route?.isFilterEnabled(entry.name) !== true
          : route !== undefined && route.perFilter(entry.name) === disabledFilter;
      const { create } = entry;
      const filter = isDisabled ? undefined : create(stream);
      this.#filters.push(filter);
      if (filter === undefined) continue;
      if (known.learnedOf !== create) learnHooks(known, create, filter);
      decodeHooks |= known.decodeHooks;
      encodeHooks |= known.encodeHooks;
    }
    this.#decode = new DecodePass(entries, this.#filters, ends, decodeHooks);
    this.#encode = new EncodePass(entries, this.#filters, ends, encodeHooks);
  }

  decodeHeaders(headers: HeaderMap, endStream: boolean): void {
    this.#decode.headers(0, headers, endStream);
  }

  decodeData(chunk: Buffer, endStream: boolean): void {
    this.#decode.data(0, chunk, endStream);
  }

  decodeTrailers(trailers: HeaderMap): void {
    this.#decode.trailers(0, trailers);
  }

  continueDecoding(): void {
    this.#decode.continue();
  }

  /** No more of the request goes to the filters: it has been answered, or is gone. */
  abortDecoding(): void {
    this.#decode.abort();
  }

  encodeHeaders(headers: HeaderMap, endStream: boolean): void {
    this.#encode.headers(this.#filters.length - 1, headers, endStream);
  }

  /** A response of our own passes the filters that saw the request; an interrupted pass is forgotten. */
  encodeLocalReply(headers: HeaderMap, body: string): void {
    this.#encode.restart();
    const first = this.#decode.reached;
    this.#encode.headers(first, headers, body === "");
    if (body !== "") this.#encode.data(first, body, true);
  }

  encodeData(chunk: Buffer | string, endStream: boolean): boolean {
    return this.#encode.data(this.#filters.length - 1, chunk, endStream);
  }

  encodeTrailers(trailers: HeaderMap): void {
    this.#encode.trailers(this.#filters.length - 1, trailers);
  }

  continueEncoding(): void {
    this.#encode.continue();
  }

  passDecodedData(from: HttpFilter, chunk: Buffer, endStream: boolean): void {
    this.#decode.data(this.#filters.indexOf(from) + 1, chunk, endStream);
  }

  passDecodedTrailers(from: HttpFilter, trailers: HeaderMap): void {
    this.#decode.trailers(this.#filters.indexOf(from) + 1, trailers);
  }

  /** False: the downstream is slow. */
  passEncodedData(from: HttpFilter, chunk: Buffer, endStream: boolean): boolean {
    return this.#encode.data(this.#filters.indexOf(from) - 1, chunk, endStream);
  }

  passEncodedTrailers(from: HttpFilter, trailers: HeaderMap): void {
    this.#encode.trailers(this.#filters.indexOf(from) - 1, trailers);
  }

  onDownstreamWritable(): void {
    this.#filters.at(-1)?.onDownstreamWritable?.();
  }

  complete(): void {
    for (const filter of this.#filters) filter?.onStreamComplete?.();
  }

  destroy(): void {
    this.#decode.abort();
    this.#encode.abort();
    for (const filter of this.#filters) filter?.onDestroy?.();
  }
}

/** Hooks only become more: streams that are on their way have filters of the maker before. */
function learnHooks(entry: KnownEntry, create: StreamFilterFactory, filter: HttpFilter): void {
  entry.learnedOf = create;
  entry.decodeHooks |=
    (filter.decodeHeaders === undefined ? 0 : Hook.headers) |
    (filter.decodeData === undefined ? 0 : Hook.data) |
    (filter.decodeTrailers === undefined ? 0 : Hook.trailers);
  entry.encodeHooks |=
    (filter.encodeHeaders === undefined ? 0 : Hook.headers) |
    (filter.encodeData === undefined ? 0 : Hook.data) |
    (filter.encodeTrailers === undefined ? 0 : Hook.trailers);
}

/** Something that arrived while a filter was stopped. `from`: the filter that is to see it next. */
type Waiting =
  | { readonly kind: "headers"; readonly from: number; readonly headers: HeaderMap; readonly endStream: boolean }
  | { readonly kind: "data"; readonly from: number; readonly chunk: Buffer | string; readonly endStream: boolean }
  | { readonly kind: "trailers"; readonly from: number; readonly trailers: HeaderMap };

/** One direction: walks the filters from a start to an end, stops and continues. */
abstract class Pass {
  /** The last filter that was called, or is about to be. */
  reached = 0;
  #isStopped = false;
  /** The filter that holds the headers and goes on seeing data; -1: none. */
  #holder = -1;
  #isAborted = false;
  #waiting: Waiting[] | undefined = undefined;
  #waitingBytes = 0;
  protected readonly entries: readonly KnownEntry[];
  protected readonly filters: readonly (HttpFilter | undefined)[];
  protected readonly ends: FilterChainEnds;
  /** Hooks that any filter of this stream has. */
  readonly #hooks: number;

  constructor(
    entries: readonly KnownEntry[],
    filters: readonly (HttpFilter | undefined)[],
    ends: FilterChainEnds,
    hooks: number,
  ) {
    this.entries = entries;
    this.filters = filters;
    this.ends = ends;
    this.#hooks = hooks;
  }

  protected abstract readonly direction: "decode" | "encode";
  protected abstract next(index: number): number;
  /** Whether what begins at `from` comes to `index`. */
  protected abstract reaches(from: number, index: number): boolean;
  protected abstract hooksAt(index: number): number;
  protected abstract headersAt(index: number, headers: HeaderMap, endStream: boolean): HeadersStatus;
  protected abstract dataAt(index: number, chunk: Buffer, endStream: boolean): BodyStatus;
  protected abstract trailersAt(index: number, trailers: HeaderMap): BodyStatus;
  protected abstract headersEnd(headers: HeaderMap, endStream: boolean): void;
  protected abstract dataEnd(chunk: Buffer | string, endStream: boolean): boolean;
  protected abstract trailersEnd(trailers: HeaderMap): void;

  headers(from: number, headers: HeaderMap, endStream: boolean): void {
    if (this.#isStopped) return this.#wait({ kind: "headers", from, headers, endStream });
    for (let i = from; i >= 0 && i < this.filters.length; i = this.next(i)) {
      if ((this.hooksAt(i) & Hook.headers) === 0) continue;
      this.reached = i;
      const status = this.headersAt(i, headers, endStream);
      if (this.#isAborted) return;
      if (status !== "continue") {
        this.#isStopped = true;
        this.#holder = status === "hold" && (this.hooksAt(i) & Hook.data) !== 0 ? i : -1;
        this.#wait({ kind: "headers", from: this.next(i), headers, endStream });
        return;
      }
    }
    this.headersEnd(headers, endStream);
  }

  data(from: number, chunk: Buffer | string, endStream: boolean): boolean {
    if (this.#isAborted) return true;
    if (this.#isStopped && !this.#comesToHolder(from)) {
      this.#wait({ kind: "data", from, chunk: copyOf(chunk), endStream });
      return true;
    }
    if ((this.#hooks & Hook.data) === 0) return this.dataEnd(chunk, endStream);
    const bytes = typeof chunk === "string" ? Buffer.from(chunk, "latin1") : chunk;
    for (let i = from; i >= 0 && i < this.filters.length; i = this.next(i)) {
      if ((this.hooksAt(i) & Hook.data) === 0) continue;
      const status = this.dataAt(i, bytes, endStream);
      if (this.#isAborted || status === "consume") return true;
      if (status === "stop" || i === this.#holder) {
        this.#isStopped = true;
        this.#wait({ kind: "data", from: this.next(i), chunk: copyOf(chunk), endStream });
        if (status === "continue") this.continue();
        return true;
      }
    }
    return this.dataEnd(chunk, endStream);
  }

  trailers(from: number, trailers: HeaderMap): void {
    if (this.#isAborted) return;
    if (this.#isStopped && !this.#comesToHolder(from)) return this.#wait({ kind: "trailers", from, trailers });
    for (let i = from; i >= 0 && i < this.filters.length; i = this.next(i)) {
      const isHolder = i === this.#holder;
      if ((this.hooksAt(i) & Hook.trailers) === 0 && !isHolder) continue;
      const status = this.trailersAt(i, trailers);
      if (this.#isAborted || status === "consume") return;
      if (status === "stop" || isHolder) {
        this.#isStopped = true;
        this.#wait({ kind: "trailers", from: this.next(i), trailers });
        if (status === "continue") this.continue();
        return;
      }
    }
    this.trailersEnd(trailers);
  }

  /** Lets what waits pass on, in order; each item begins after the filter that has seen it. */
  continue(): void {
    if (!this.#isStopped || this.#isAborted) return;
    this.#isStopped = false;
    this.#holder = -1;
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    this.#waitingBytes = 0;
    for (const item of waiting) {
      if (this.#isAborted) return;
      if (item.kind === "headers") this.headers(item.from, item.headers, item.endStream);
      else if (item.kind === "data") this.data(item.from, item.chunk, item.endStream);
      else this.trailers(item.from, item.trailers);
    }
  }

  abort(): void {
    this.#isAborted = true;
    this.#waiting = undefined;
  }

  restart(): void {
    this.#isStopped = false;
    this.#holder = -1;
    this.#isAborted = false;
    this.#waiting = undefined;
    this.#waitingBytes = 0;
  }

  #comesToHolder(from: number): boolean {
    return this.#holder >= 0 && this.reaches(from, this.#holder);
  }

  #wait(item: Waiting): void {
    if (this.#isAborted) return;
    (this.#waiting ??= []).push(item);
    if (item.kind !== "data") return;
    this.#waitingBytes += item.chunk.length;
    if (this.#waitingBytes > this.ends.bufferLimitBytes) this.ends.onBufferOverflow(this.direction);
  }
}

class DecodePass extends Pass {
  protected readonly direction = "decode";
  protected next(index: number): number {
    return index + 1;
  }
  protected reaches(from: number, index: number): boolean {
    return from <= index;
  }
  protected hooksAt(index: number): number {
    return this.filters[index] === undefined ? 0 : (this.entries[index] as KnownEntry).decodeHooks;
  }
  protected headersAt(index: number, headers: HeaderMap, endStream: boolean): HeadersStatus {
    return this.filters[index]?.decodeHeaders?.(headers, endStream) ?? "continue";
  }
  protected dataAt(index: number, chunk: Buffer, endStream: boolean): BodyStatus {
    return this.filters[index]?.decodeData?.(chunk, endStream) ?? "continue";
  }
  protected trailersAt(index: number, trailers: HeaderMap): BodyStatus {
    return this.filters[index]?.decodeTrailers?.(trailers) ?? "continue";
  }
  // The terminal filter has it: nothing lies behind.
  protected headersEnd(): void {}
  protected dataEnd(): boolean {
    return true;
  }
  protected trailersEnd(): void {}
}

class EncodePass extends Pass {
  protected readonly direction = "encode";
  protected next(index: number): number {
    return index - 1;
  }
  protected reaches(from: number, index: number): boolean {
    return from >= index;
  }
  protected hooksAt(index: number): number {
    return this.filters[index] === undefined ? 0 : (this.entries[index] as KnownEntry).encodeHooks;
  }
  protected headersAt(index: number, headers: HeaderMap, endStream: boolean): HeadersStatus {
    return this.filters[index]?.encodeHeaders?.(headers, endStream) ?? "continue";
  }
  protected dataAt(index: number, chunk: Buffer, endStream: boolean): BodyStatus {
    return this.filters[index]?.encodeData?.(chunk, endStream) ?? "continue";
  }
  protected trailersAt(index: number, trailers: HeaderMap): BodyStatus {
    return this.filters[index]?.encodeTrailers?.(trailers) ?? "continue";
  }
  protected headersEnd(headers: HeaderMap, endStream: boolean): void {
    this.ends.onEncodedHeaders(headers, endStream);
  }
  protected dataEnd(chunk: Buffer | string, endStream: boolean): boolean {
    return this.ends.onEncodedData(chunk, endStream);
  }
  protected trailersEnd(trailers: HeaderMap): void {
    this.ends.onEncodedTrailers(trailers);
  }
}

function copyOf(chunk: Buffer | string): Buffer | string {
  return typeof chunk === "string" ? chunk : Buffer.from(chunk);
}
