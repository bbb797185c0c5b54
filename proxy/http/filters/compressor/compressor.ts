/** `envoy.filters.http.compressor`: responses, and requests if asked, go on compressed. */
import type { Transform } from "node:stream";
import { isRuntimeFlagOn } from "../../../config-values.ts";
import type { Counter, StatsScope } from "../../../observability/stats.ts";
import type { RuntimeSnapshot } from "../../../runtime-layers.ts";
import type { BodyStatus, FilterStatus, FilterStream, HttpFilter, HttpFilterFactory } from "../../filter.ts";
import type { HeaderMap } from "../../header-map.ts";
import { chooseEncoding, type EncodingChoice } from "./accept-encoding.ts";
import {
  parseCompressor,
  parseRouteCompressor,
  type CompressorConfig,
  type DirectionConfig,
  type RouteCompressorConfig,
} from "./config.ts";

export const compressor: HttpFilterFactory<CompressorConfig, RouteCompressorConfig> = {
  name: "envoy.filters.http.compressor",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor"],
  routeTypeUrls: ["type.googleapis.com/envoy.extensions.filters.http.compressor.v3.CompressorPerRoute"],
  parse: parseCompressor,
  parseRoute: parseRouteCompressor,
  create(config, { scope, runtimeSnapshot }, name) {
    const stats = compressorStats(scope, config);
    return (stream) => new CompressorFilter(config, stream, name, stats, runtimeSnapshot);
  },
};

interface DirectionStats {
  readonly compressed: Counter;
  readonly notCompressed: Counter;
  readonly uncompressedBytes: Counter;
  readonly compressedBytes: Counter;
  readonly tooSmall: Counter;
}

interface CompressorStats {
  readonly request: DirectionStats;
  readonly response: DirectionStats;
  readonly noAcceptHeader: Counter;
  readonly notCompressedEtag: Counter;
  readonly overshadowed: Counter;
  readonly byChoice: Readonly<Record<EncodingChoice["because"], Counter>>;
}

function compressorStats(parent: StatsScope, { library, response }: CompressorConfig): CompressorStats {
  const scope = parent.scope("compressor").scope(library.statName);
  const direction = (own: StatsScope): DirectionStats => ({
    compressed: own.counter("compressed"),
    notCompressed: own.counter("not_compressed"),
    uncompressedBytes: own.counter("total_uncompressed_bytes"),
    compressedBytes: own.counter("total_compressed_bytes"),
    tooSmall: own.counter("content_length_too_small"),
  });
  return {
    request: direction(scope.scope("request")),
    response: direction(response.isConfigured ? scope.scope("response") : scope),
    noAcceptHeader: scope.counter("no_accept_header"),
    notCompressedEtag: scope.counter("not_compressed_etag"),
    overshadowed: scope.counter("header_compressor_overshadowed"),
    byChoice: {
      used: scope.counter("header_compressor_used"),
      identity: scope.counter("header_identity"),
      wildcard: scope.counter("header_wildcard"),
      "not-valid": scope.counter("header_not_valid"),
    },
  };
}

/** The compressors of a stream in the order of the chain: one of them answers. */
const compressorsOf = new WeakMap<FilterStream, CompressorConfig[]>();

class CompressorFilter implements HttpFilter {
  readonly #config: CompressorConfig;
  readonly #stream: FilterStream;
  readonly #name: string;
  readonly #stats: CompressorStats;
  readonly #snapshot: RuntimeSnapshot | undefined;
  #acceptEncoding: string | undefined = undefined;
  #isDisabled = false;
  #request: Transform | undefined = undefined;
  #response: Transform | undefined = undefined;
  #requestTrailers: HeaderMap | undefined = undefined;
  #responseTrailers: HeaderMap | undefined = undefined;

  constructor(
    config: CompressorConfig,
    stream: FilterStream,
    name: string,
    stats: CompressorStats,
    snapshot: RuntimeSnapshot | undefined,
  ) {
    this.#config = config;
    this.#stream = stream;
    this.#name = name;
    this.#stats = stats;
    this.#snapshot = snapshot;
    const all = compressorsOf.get(stream);
    if (all === undefined) compressorsOf.set(stream, [config]);
    else all.push(config);
  }

  decodeHeaders(headers: HeaderMap, endStream: boolean): FilterStatus {
    const route = this.#stream.routeConfig<RouteCompressorConfig>(this.#name);
    this.#isDisabled = route?.isDisabled ?? false;
    this.#acceptEncoding = headers.getJoined("accept-encoding");
    const { request, response } = this.#config;
    const removes = route?.removeAcceptEncoding ?? response.removeAcceptEncoding;
    if (!this.#isDisabled && removes && this.#isOn(response)) headers.remove("accept-encoding");
    const isLongEnough =
      !endStream && !this.#isDisabled && request !== undefined && this.#isOn(request)
        ? isLong(headers, request, this.#stats.request, false)
        : false;
    if (request === undefined || !isLongEnough || !hasType(headers, request) || headers.has("content-encoding")) {
      this.#stats.request.notCompressed.inc();
      return "continue";
    }
    this.#stats.request.compressed.inc();
    headers.remove("content-length");
    headers.set("content-encoding", this.#config.library.encoding);
    this.#request = this.#open(this.#stats.request, {
      pass: (chunk, isLast) => this.#stream.passDecodedData(this, chunk, isLast),
      trailers: () => this.#requestTrailers,
      passTrailers: (trailers) => this.#stream.passDecodedTrailers(this, trailers),
      fail: () => this.#stream.resetStream("compression_failed"),
    });
    return "continue";
  }

  decodeData(chunk: Buffer, endStream: boolean): BodyStatus {
    return feed(this.#request, chunk, endStream, this.#stats.request);
  }

  decodeTrailers(trailers: HeaderMap): BodyStatus {
    if (this.#request === undefined) return "continue";
    this.#requestTrailers = trailers;
    this.#request.end();
    return "consume";
  }

  encodeHeaders(headers: HeaderMap, endStream: boolean): FilterStatus {
    const { response, library } = this.#config;
    const stats = this.#stats.response;
    const isLongEnough =
      this.#isOn(response) && !this.#isDisabled && isLong(headers, response, stats, !endStream && this.#isChunked());
    const isCompressible = isLongEnough && this.#isCompressible(headers);
    const isAccepted = isLongEnough && !endStream && this.#isAccepted(headers);
    if (!isCompressible || !isAccepted) {
      stats.notCompressed.inc();
      if (isCompressible) addVary(headers);
      return "continue";
    }
    stats.compressed.inc();
    this.#changeEtag(headers);
    headers.remove("content-length");
    headers.set("content-encoding", library.encoding);
    addVary(headers);
    this.#response = this.#open(stats, {
      pass: (chunk, isLast) => this.#stream.passEncodedData(this, chunk, isLast),
      trailers: () => this.#responseTrailers,
      passTrailers: (trailers) => this.#stream.passEncodedTrailers(this, trailers),
      fail: () => this.#stream.resetStream("compression_failed"),
    });
    return "continue";
  }

  encodeData(chunk: Buffer, endStream: boolean): BodyStatus {
    const status = feed(this.#response, chunk, endStream, this.#stats.response);
    if (this.#response?.writableNeedDrain === true) this.#stream.setResponseHeldBack(true);
    return status;
  }

  encodeTrailers(trailers: HeaderMap): BodyStatus {
    if (this.#response === undefined) return "continue";
    this.#responseTrailers = trailers;
    this.#response.end();
    return "consume";
  }

  onDestroy(): void {
    this.#request?.destroy();
    this.#response?.destroy();
  }

  #isOn({ enabled }: DirectionConfig): boolean {
    return isRuntimeFlagOn(enabled, this.#snapshot);
  }

  /** A response of HTTP/1.1 that says no length. */
  #isChunked(): boolean {
    return this.#stream.info.upstreamProtocol !== "HTTP/2";
  }

  #isCompressible(headers: HeaderMap): boolean {
    const { response } = this.#config;
    if (this.#stream.requestHeaders.has("upgrade") || headers.has("content-encoding")) return false;
    if (!hasType(headers, response) || response.uncompressibleCodes.has(headers.status)) return false;
    if (/\bno-transform\b/i.test(headers.getJoined("cache-control") ?? "")) return false;
    if (!response.disableOnEtag || response.weakenEtag || !headers.has("etag")) return true;
    this.#stats.notCompressedEtag.inc();
    return false;
  }

  #isAccepted(headers: HeaderMap): boolean {
    if (this.#acceptEncoding === undefined) {
      this.#stats.noAcceptHeader.inc();
      return false;
    }
    const all = compressorsOf.get(this.#stream) ?? [this.#config];
    const allowed = all.filter(({ response }) => hasType(headers, response)).map(({ library }) => library.encoding);
    const choice = chooseEncoding(this.#acceptEncoding, allowed);
    const isOurs = choice.encoding === this.#config.library.encoding;
    (choice.because === "used" && !isOurs ? this.#stats.overshadowed : this.#stats.byChoice[choice.because]).inc();
    return isOurs;
  }

  /** A strong tag is of other bytes than those that are sent. */
  #changeEtag(headers: HeaderMap): void {
    const etag = headers.get("etag");
    if (etag === undefined || /^w\//i.test(etag)) return;
    if (this.#config.response.weakenEtag) headers.set("etag", `W/${etag}`);
    else headers.remove("etag");
  }

  #open(stats: DirectionStats, way: Way): Transform {
    const transform = this.#config.library.create();
    transform.on("data", (chunk: Buffer) => {
      stats.compressedBytes.add(chunk.length);
      way.pass(chunk, false);
    });
    transform.on("drain", () => this.#stream.setResponseHeldBack(false));
    transform.on("end", () => {
      const trailers = way.trailers();
      if (trailers === undefined) way.pass(Buffer.alloc(0), true);
      else way.passTrailers(trailers);
    });
    transform.on("error", way.fail);
    return transform;
  }
}

/** Where what is compressed goes. */
interface Way {
  pass(chunk: Buffer, isLast: boolean): void;
  trailers(): HeaderMap | undefined;
  passTrailers(trailers: HeaderMap): void;
  readonly fail: () => void;
}

function feed(transform: Transform | undefined, chunk: Buffer, endStream: boolean, stats: DirectionStats): BodyStatus {
  if (transform === undefined) return "continue";
  stats.uncompressedBytes.add(chunk.length);
  if (chunk.length > 0) transform.write(Buffer.from(chunk));
  if (endStream) transform.end();
  return "consume";
}

/** A body without a length counts as long where it comes in chunks. */
function isLong(headers: HeaderMap, config: DirectionConfig, stats: DirectionStats, isChunked: boolean): boolean {
  const length = headers.get("content-length");
  if (length === undefined) return isChunked || headers.has("transfer-encoding");
  if (Number(length) >= config.minContentLength) return true;
  stats.tooSmall.inc();
  return false;
}

/** Without a type anything goes. */
function hasType(headers: HeaderMap, { contentTypes, contentTypeMatchers }: DirectionConfig): boolean {
  const type = headers.get("content-type");
  if (type === undefined || type === "") return true;
  const essence = (type.split(";")[0] as string).trim();
  return contentTypes.has(essence) || contentTypeMatchers.some((matches) => matches(essence));
}

function addVary(headers: HeaderMap): void {
  const vary = headers.get("vary");
  if (vary === undefined) headers.set("vary", "Accept-Encoding");
  else if (!/\baccept-encoding\b/i.test(vary)) headers.set("vary", `${vary}, Accept-Encoding`);
}
