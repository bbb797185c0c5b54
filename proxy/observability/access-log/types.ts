/** What the connection manager, the TCP proxy and the listener see of access logs. */
import type { Random, Runtime } from "#lib/runtime.ts";
import type { NodeInfo } from "../../http/filter.ts";
import type { HeaderMap } from "../../http/header-map.ts";
import type { RuntimeSnapshot } from "../../runtime-layers.ts";
import type { RouteTracing } from "../../router/route-tracing.ts";
import type { StreamInfo } from "../../stream-info.ts";
import type { ClusterManager, Metadata } from "../../upstream/types.ts";
import type { StatsScope } from "../stats.ts";
import type { FormatEnvironment } from "./operator.ts";

/** Envoy's `ACCESS_LOG_TYPE`. */
export type AccessLogType =
  | "NotSet"
  | "TcpUpstreamConnected"
  | "TcpPeriodic"
  | "TcpConnectionEnd"
  | "DownstreamStart"
  | "DownstreamPeriodic"
  | "DownstreamEnd"
  | "DownstreamTunnelSuccessfullyEstablished"
  | "UpstreamPoolReady"
  | "UpstreamPeriodic"
  | "UpstreamEnd";

/** What a command operator may read. A stream can be passed as it is; a TCP connection has no headers. */
export interface FormatContext {
  readonly info: StreamInfo;
  readonly requestHeaders?: HeaderMap | undefined;
  readonly responseHeaders?: HeaderMap | undefined;
  readonly responseTrailers?: HeaderMap | undefined;
  readonly accessLogType?: AccessLogType | undefined;
  /** Body of a local reply, for `%LOCAL_REPLY_BODY%`. */
  readonly localReplyBody?: string | undefined;
  /** The route in force, for `%METADATA(ROUTE:…)%` and what it says of its spans. */
  readonly route?: { readonly metadata: Metadata; readonly tracing?: RouteTracing | undefined } | undefined;
}

/** A compiled format: one line, or one text, of a context. The result holds one byte a character (latin1). */
export type Format = (context: FormatContext) => string;

/** True when the stream is to be logged. */
export type AccessLogFilter = (context: FormatContext) => boolean;

/** Makes a filter when its log is opened. */
export type AccessLogFilterMaker = (random: Random, snapshot: RuntimeSnapshot | undefined) => AccessLogFilter;

/** One `access_log` entry, checked (`parseAccessLogs`). */
export interface AccessLogConfig {
  /** Called once, when the log is opened. Throws a `MeshError` when it can't be. */
  open(this: void, host: AccessLogHost): AccessLogger;
  readonly filter: AccessLogFilterMaker | undefined;
}

/** What a log may need of its proxy. */
export interface AccessLogHost {
  readonly runtime: Runtime;
  readonly scope: StatsScope;
  readonly clusters: ClusterManager;
  readonly node: NodeInfo;
  readonly environment: FormatEnvironment;
  /** A path that is logged to from several places is opened once; `/dev/stdout` and `/dev/stderr` are the process' own. */
  file(path: string): LineSink;
}

/** Takes whole lines. */
export interface LineSink {
  append(line: string): void;
}

/** Writes lines of ended streams. `log` neither waits nor throws. */
export interface AccessLogger {
  log(context: FormatContext): void;
}

/** The access logs of one proxy. */
export interface AccessLogSinks {
  /** One logger for all of `configs`; undefined when there are none, so that nothing is called. */
  logger(configs: readonly AccessLogConfig[]): AccessLogger | undefined;
}
