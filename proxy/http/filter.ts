/**
 * The contract of an HTTP filter: one file with a config type, `parse`, `create`, and hooks
 * decode/encode × headers/data/trailers. `filters/registry.ts` lists them all.
 */
import type { Parsed } from "#lib/problem.ts";
import type { SocketAddress } from "#lib/connection.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { Message } from "@bufbuild/protobuf";
import type { AccessLogSinks } from "../observability/access-log/types.ts";
import type { StatsScope } from "../observability/stats.ts";
import type { ExtensionConfigProvider } from "../extension-configs.ts";
import type { RuntimeSnapshot } from "../runtime-layers.ts";
import type { ClusterManager } from "../upstream/types.ts";
import type { StreamInfo } from "../stream-info.ts";
import type { HeaderMap } from "./header-map.ts";
import type { ForwardRoute, ResolvedRoute } from "../router/types.ts";

export interface HttpFilterFactory<Config = unknown, RouteConfig = unknown> {
  /** Canonical name: `envoy.filters.http.fault`. */
  readonly name: string;
  /** Full type URLs of the configuration (`type.googleapis.com/…`); TypedStruct is unwrapped before. */
  readonly typeUrls: readonly string[];
  /** The one that makes the response: last in a chain, and only there. */
  readonly isTerminal?: boolean;
  /** Message (or, for a TypedStruct of a type we have no descriptor of, plain JSON) → config; every field is read or refused. */
  parse(message: Message, path: string): Parsed<Config>;
  /** Type URLs and parser of `typed_per_filter_config`. */
  readonly routeTypeUrls?: readonly string[];
  parseRoute?(message: Message, path: string): Parsed<RouteConfig>;
  /**
   * Called once per configuration: resolve statistics here, return the maker of per-stream filters. `name` is what this
   * instance is called in the chain: the key of its per-route configuration.
   */
  create(config: Config, context: FilterFactoryContext, name: string): StreamFilterFactory;
}

export interface FilterFactoryContext {
  readonly runtime: Runtime;
  /** `http.<stat_prefix>.` */
  readonly scope: StatsScope;
  readonly rootScope: StatsScope;
  readonly clusters: ClusterManager;
  /** `sidecar inbound` or not, for the filters that report a side. */
  readonly trafficDirection: "inbound" | "outbound" | "unspecified";
  /** The node of the bootstrap: id, cluster, metadata. */
  readonly node: NodeInfo;
  /** Opens the files of access logs that `parseAccessLogs` has read. */
  readonly accessLogs: AccessLogSinks;
  /** Values of runtime keys; absent: the defaults of the messages are in force. */
  readonly runtimeSnapshot?: RuntimeSnapshot | undefined;
  /** ECDS; absent: filters that wait for it fail. */
  readonly extensionConfigs?: ExtensionConfigProvider | undefined;
  /** `/healthcheck/fail` has been asked for; absent: never. */
  readonly isHealthCheckFailed?: (() => boolean) | undefined;
}

export interface NodeInfo {
  readonly id: string;
  readonly cluster: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
}

/**
 * Makes a stream's filter; undefined: this filter has nothing to do for this stream (costs nothing further). All filters
 * that one factory makes have the same hooks: the chain looks at the first and remembers.
 */
export type StreamFilterFactory = (stream: FilterStream) => HttpFilter | undefined;

/**
 * `continue`: on to the next filter. `stop`: this filter resumes with `continueDecoding`/`continueEncoding`; what
 * arrives meanwhile is buffered up to the buffer limit (413 / 500 beyond it), or reading is paused.
 */
export type FilterStatus = "continue" | "stop";

/**
 * `hold`: the headers wait, but this filter goes on to see data and trailers, each of which may `stop` (it waits too) or
 * `continue` (everything is let go), as Envoy's StopIteration. Only from filters that have a data hook.
 */
export type HeadersStatus = FilterStatus | "hold";

/** `consume`: the filter has taken it, and passes on what it makes of it with `passDecodedData` and its kin. */
export type BodyStatus = FilterStatus | "consume";

/** All hooks are optional; the chain skips filters without the hook. Data chunks are borrowed. */
export interface HttpFilter {
  decodeHeaders?(headers: HeaderMap, endStream: boolean): HeadersStatus;
  decodeData?(chunk: Buffer, endStream: boolean): BodyStatus;
  decodeTrailers?(trailers: HeaderMap): BodyStatus;
  encodeHeaders?(headers: HeaderMap, endStream: boolean): HeadersStatus;
  encodeData?(chunk: Buffer, endStream: boolean): BodyStatus;
  encodeTrailers?(trailers: HeaderMap): BodyStatus;
  /** The downstream reads again after `encodeData` (of the stream) was false. For the terminal filter. */
  onDownstreamWritable?(): void;
  /** The stream is complete (or gone): the last chance to count. `info` is final. */
  onStreamComplete?(): void;
  /** Release timers; called exactly once, after everything else. */
  onDestroy?(): void;
}

export interface FilterStream {
  readonly info: StreamInfo;
  readonly requestHeaders: HeaderMap;
  /** Undefined until the response begins. */
  readonly responseHeaders: HeaderMap | undefined;
  readonly responseTrailers: HeaderMap | undefined;
  /** The route in force, resolved on first use and kept until `clearRouteCache`. */
  readonly route: ResolvedRoute | undefined;
  clearRouteCache(): void;
  /** The most specific `typed_per_filter_config` for this filter (route > virtual host > route configuration), parsed. */
  routeConfig<T>(filterName: string): T | undefined;
  /** The same of every level that has one, the most specific first: for filters that merge them. */
  routeConfigs<T>(filterName: string): readonly T[];
  continueDecoding(): void;
  continueEncoding(): void;
  /** Passes on to the filters after `from` what it makes of consumed data. `chunk` is borrowed. */
  passDecodedData(from: HttpFilter, chunk: Buffer, endStream: boolean): void;
  passDecodedTrailers(from: HttpFilter, trailers: HeaderMap): void;
  passEncodedData(from: HttpFilter, chunk: Buffer, endStream: boolean): void;
  passEncodedTrailers(from: HttpFilter, trailers: HeaderMap): void;
  /** How much of the request may wait in this stream, in place of `bufferLimitBytes`. */
  setDecoderBufferLimit(bytes: number): void;
  /** A filter has more of the response than it may pass on yet: the upstream is not read meanwhile. */
  setResponseHeldBack(isHeldBack: boolean): void;
  /** Answers in the upstream's stead. Passes the encode hooks of the filters that saw the request. */
  sendLocalReply(reply: LocalReply): void;
  /** 64 random bits, the same for the whole stream. */
  readonly streamRandom: bigint;
  readonly runtimeSnapshot: RuntimeSnapshot | undefined;
  /** Options for the upstream connection set by filters (istio.alpn). */
  upstreamAlpnOverride: readonly string[] | undefined;
  /** Whether local replies have gRPC's form; undefined: as the request's `content-type` says. */
  isAnsweredAsGrpc: boolean | undefined;
  /** The host that a filter wants for the first attempt (stateful sessions). */
  upstreamOverrideHost: UpstreamOverrideHost | undefined;
  /** True while the peer of the downstream connection has shown a verified certificate. */
  readonly isMutualTls: boolean;
  readonly forwardRoute: ForwardRoute | undefined;
  /** Destination of the connection before redirection, for ORIGINAL_DST clusters. */
  readonly originalDestination: SocketAddress;

  // For the terminal filter, which makes the response.

  /** The response begins; it passes the encode hooks in reverse order. `headers` belongs to the stream from here on. */
  encodeHeaders(headers: HeaderMap, endStream: boolean): void;
  /** `chunk` is borrowed. False: the downstream is slow, `onDownstreamWritable` follows. */
  encodeData(chunk: Buffer | string, endStream: boolean): boolean;
  encodeTrailers(trailers: HeaderMap): void;
  /**
   * Ends this stream for itself, as `responseStatus` and details say, and begins another for the same client with the
   * request's headers as they now are and this body (one piece; absent: none): all filters see it anew.
   */
  recreate(responseStatus: number, body: Buffer | undefined, redirects: InternalRedirects): void;
  /** Of the streams that this one was made from. */
  readonly redirects: InternalRedirects | undefined;
  /** 100 or 103, past the filters. */
  encodeInformational(headers: HeaderMap): void;
  /** Gives up after the response has begun (before, `sendLocalReply` is the way). */
  resetStream(details: string): void;
  /** Back-pressure: stops and restarts reading the request. */
  setReadDisabled(disabled: boolean): void;
  /** The whole request has been received. */
  readonly isRequestComplete: boolean;
  /** `per_connection_buffer_limit_bytes`: how much a filter may hold of one direction. */
  readonly bufferLimitBytes: number;
  readonly tracing: StreamTracing | undefined;
}

export interface UpstreamOverrideHost {
  /** `ip:port`. */
  readonly address: string;
  /** No other host will do. */
  readonly isStrict: boolean;
  /** The answer where it is strict and the host is not there. */
  readonly statusWhenMissing: number;
}

/** What an internal redirect knows of those before it. */
export interface InternalRedirects {
  readonly count: number;
  /** Names of the routes that were redirected to, by the route that did it. */
  readonly visited: ReadonlyMap<string, ReadonlySet<string>>;
}

/** The span of a traced stream, as the router needs it. */
export interface StreamTracing {
  /** Writes the trace context into the headers of an attempt. */
  inject(headers: HeaderMap): void;
}

export interface LocalReply {
  readonly status: number;
  /** One byte a character. */
  readonly body?: string;
  /** `RESPONSE_CODE_DETAILS`. */
  readonly details: string;
  /** Bits of `ResponseFlag`. */
  readonly flag?: number;
  readonly grpcStatus?: number;
  readonly headers?: readonly (readonly [string, string])[] | undefined;
}
