/** What the connection manager asks of tracing; implemented in `proxy/observability/tracing`. */
import type { Parsed } from "#lib/problem.ts";
import type { HttpConnectionManager_Tracing } from "#protos/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import type { FormatContext } from "../observability/access-log/types.ts";
import type { ResolvedRoute } from "../router/types.ts";
import type { StreamInfo } from "../stream-info.ts";
import type { FilterFactoryContext, StreamTracing } from "./filter.ts";
import type { HeaderMap } from "./header-map.ts";

/** Why a request is traced; `none` when it is not. The connection manager decides, before anything is allocated. */
export type TraceReason = "none" | "sampled" | "service-forced" | "client-forced";

/** Reads the `tracing` block of a connection manager, its provider and custom tags. */
export interface TracingFactory {
  parse(message: HttpConnectionManager_Tracing, path: string): Parsed<TracerMaker>;
}

/** Once per configuration. Undefined: no provider, so no context is touched and no span made. */
export type TracerMaker = (context: FilterFactoryContext) => Tracer | undefined;

export interface Tracer {
  /**
   * Continues or begins a trace; called once the route is known and before the filters run. A request that is not to be
   * recorded gives undefined: then the tracer has written the (unsampled) context into `headers` itself.
   */
  startSpan(
    headers: HeaderMap,
    info: StreamInfo,
    route: ResolvedRoute | undefined,
    reason: TraceReason,
  ): Span | undefined;
}

export interface Span extends StreamTracing {
  /** 32 hex digits. */
  readonly traceId: string;
  /** Names it anew. */
  setOperation(name: string): void;
  /** The stream is complete; `stream.info` is final. */
  finish(stream: FormatContext): void;
}
