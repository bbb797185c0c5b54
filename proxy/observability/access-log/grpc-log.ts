/** Envoy's access log service (ALS): entries by `envoy.service.accesslog.v3.AccessLogService` through a cluster. */
import type { MessageReader } from "#protos/reader.ts";
import type {
  CommonGrpcAccessLogConfig,
  HttpGrpcAccessLogConfig,
  TcpGrpcAccessLogConfig,
} from "#protos/gen/envoy/extensions/access_loggers/grpc/v3/als_pb.js";
import { durationMs } from "../../config-values.ts";
import { createCollector, type Sink } from "../collector.ts";
import { parseGrpcService, type CollectorTarget } from "../collector-target.ts";
import { parseCustomTag, type TagSource } from "../tracing/custom-tags.ts";
import { httpLogEntry, tcpLogEntry, type GrpcLogEntry } from "./grpc-log-entry.ts";
import type { AccessLogConfig, AccessLogger, AccessLogHost, FormatContext } from "./types.ts";

/** Differs from Envoy: each batch is a stream of its own, with the identifier in its only message. */
const PATH = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs";

/** What an entry is to hold beside what every entry holds. */
export interface GrpcLogSettings {
  readonly kind: "http" | "tcp";
  readonly logName: string;
  readonly requestHeaders: readonly string[];
  readonly responseHeaders: readonly string[];
  readonly responseTrailers: readonly string[];
  readonly filterStateObjects: readonly string[];
  readonly customTags: readonly TagSource[];
}

interface Common extends Pick<GrpcLogSettings, "logName" | "filterStateObjects" | "customTags"> {
  readonly target: CollectorTarget | undefined;
  readonly flushIntervalMs: number | undefined;
}

/** Reads the configuration for HTTP; undefined when it has problems, which are on the reader's list. */
export function parseHttpGrpcLog(reader: MessageReader<HttpGrpcAccessLogConfig>): AccessLogConfig["open"] | undefined {
  const lower = (names: readonly string[]): string[] => names.map((name) => name.toLowerCase());
  const headers = {
    requestHeaders: lower(reader.get("additionalRequestHeadersToLog")),
    responseHeaders: lower(reader.get("additionalResponseHeadersToLog")),
    responseTrailers: lower(reader.get("additionalResponseTrailersToLog")),
  };
  const common = parseCommon(reader.child("commonConfig"));
  reader.finish();
  return opener(reader, common, { kind: "http", ...headers });
}

/** Reads the configuration for TCP; undefined when it has problems, which are on the reader's list. */
export function parseTcpGrpcLog(reader: MessageReader<TcpGrpcAccessLogConfig>): AccessLogConfig["open"] | undefined {
  const common = parseCommon(reader.child("commonConfig"));
  reader.finish();
  return opener(reader, common, { kind: "tcp", requestHeaders: [], responseHeaders: [], responseTrailers: [] });
}

function parseCommon(reader: MessageReader<CommonGrpcAccessLogConfig> | undefined): Common | undefined {
  if (reader === undefined) return undefined;
  const grpc = reader.child("grpcService");
  const common: Common = {
    logName: reader.get("logName"),
    target: grpc && parseGrpcService(grpc, PATH),
    flushIntervalMs: durationMs(reader.get("bufferFlushInterval")),
    filterStateObjects: reader.get("filterStateObjectsToLog"),
    customTags: reader
      .children("customTags")
      .map(parseCustomTag)
      .filter((tag) => tag !== undefined),
  };
  reader.ignore("transportApiVersion", "there is one version");
  reader.ignore("bufferSizeBytes", "a batch holds 256 entries");
  reader.ignore("grpcStreamRetryPolicy", "each batch is a stream of its own");
  reader.finish();
  return common;
}

function opener(
  reader: Pick<MessageReader<HttpGrpcAccessLogConfig>, "path" | "problems">,
  common: Common | undefined,
  own: Pick<GrpcLogSettings, "kind" | "requestHeaders" | "responseHeaders" | "responseTrailers">,
): AccessLogConfig["open"] | undefined {
  const target = common?.target;
  if (common === undefined || target === undefined) {
    const message = "common_config.grpc_service is needed";
    reader.problems.push({ code: "invalid-value", level: "error", path: reader.path, message });
    return undefined;
  }
  const settings: GrpcLogSettings = { ...own, ...common };
  return (host) => new GrpcLog(sinkOf(host, target, settings, common.flushIntervalMs), settings);
}

function sinkOf(
  { runtime, clusters, node, scope: root }: AccessLogHost,
  target: CollectorTarget,
  settings: GrpcLogSettings,
  flushIntervalMs: number | undefined,
): Sink<GrpcLogEntry> {
  const scope = root.scope("access_logs").scope("grpc_access_log");
  return createCollector<GrpcLogEntry>({
    runtime,
    clusters,
    target,
    flushIntervalMs,
    stats: {
      sent: scope.counter("logs_written"),
      dropped: scope.counter("logs_dropped"),
      failed: scope.counter("reports_failed"),
    },
    loadEncoder: async () => {
      const { encodeGrpcLog } = await import("./encode-grpc-log.ts");
      return (entries) => encodeGrpcLog(entries, settings, node);
    },
  });
}

class GrpcLog implements AccessLogger {
  readonly #sink: Sink<GrpcLogEntry>;
  readonly #settings: GrpcLogSettings;
  constructor(sink: Sink<GrpcLogEntry>, settings: GrpcLogSettings) {
    this.#sink = sink;
    this.#settings = settings;
  }
  log(context: FormatContext): void {
    const entry = this.#settings.kind === "http" ? httpLogEntry : tcpLogEntry;
    this.#sink.add(entry(context, this.#settings));
  }
}
