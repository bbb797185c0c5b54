/** The OpenTelemetry access log: entries as OTLP log records, by gRPC or HTTP through a cluster. */
import { MessageReader } from "#protos/reader.ts";
import type { CommonGrpcAccessLogConfig } from "#protos/gen/envoy/extensions/access_loggers/grpc/v3/als_pb.js";
import type { OpenTelemetryAccessLogConfig } from "#protos/gen/envoy/extensions/access_loggers/open_telemetry/v3/logs_service_pb.js";
import type { AnyValue, KeyValueList } from "#protos/gen/opentelemetry/proto/common/v1/common_pb.js";
import { durationMs } from "../../config-values.ts";
import { createCollector, type Sink } from "../collector.ts";
import { parseGrpcService, parseHttpService, type CollectorTarget } from "../collector-target.ts";
import { parseCustomTag, type TagSource } from "../tracing/custom-tags.ts";
import { CHECKING, compileFormat } from "./format.ts";
import type { FormatEnvironment } from "./operator.ts";
import { StreamInfo } from "../../stream-info.ts";
import type { AccessLogConfig, AccessLogger, FormatContext } from "./types.ts";

const GRPC_PATH = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/** An entry, before it is encoded. */
export interface LogRecord {
  readonly timeMs: number;
  readonly traceId: string;
  readonly body: LogValue | undefined;
  readonly attributes: readonly (readonly [string, LogValue])[];
}

/** An `AnyValue` with its texts filled in. */
export type LogValue =
  | string
  | number
  | bigint
  | boolean
  | Uint8Array
  | { readonly list: readonly LogValue[] }
  | { readonly map: readonly (readonly [string, LogValue])[] };

/** Fills a template in for a stream. */
type LogValueOf = (context: FormatContext) => LogValue;
/** Compiles a template for an environment. */
type Template = (environment: FormatEnvironment) => LogValueOf;

/** Reads the configuration; undefined when it has problems, which are on the reader's list. */
export function parseOpenTelemetryLog(
  reader: MessageReader<OpenTelemetryAccessLogConfig>,
): AccessLogConfig["open"] | undefined {
  const common = parseCommon(reader.child("commonConfig"));
  const target = parseTarget(reader, common);
  const logName = reader.get("logName") || (common?.logName ?? "");
  const hasBuiltIns = !reader.get("disableBuiltinLabels");
  const resource = listTemplate(reader.child("resourceAttributes"));
  const bodyReader = reader.child("body");
  const body = bodyReader && valueTemplate(bodyReader);
  const attributes = listTemplate(reader.child("attributes"));
  const statPrefix = reader.get("statPrefix");
  if (reader.get("formatters").length > 0)
    reader.unsupported("formatters", "operators of extensions are not supported");
  const flushIntervalMs = durationMs(reader.get("bufferFlushInterval")) ?? common?.flushIntervalMs;
  reader.ignore("bufferSizeBytes", "a batch holds 256 entries");
  const states = [...reader.get("filterStateObjectsToLog"), ...(common?.filterStateObjects ?? [])];
  const tags = [...reader.children("customTags").map(parseCustomTag), ...(common?.customTags ?? [])].filter(isTag);
  if (reader.get("resourceDetectors").length > 0) reader.unsupported("resourceDetectors");
  reader.finish();
  if (target === undefined || reader.problems.some(({ level }) => level === "error")) return undefined;
  return (host) => {
    const { runtime, clusters, node, environment } = host;
    const scope = host.scope.scope("access_logs").scope("open_telemetry_access_log").scope(statPrefix);
    const none: FormatContext = { info: EMPTY };
    const labels: [string, LogValue][] = hasBuiltIns
      ? [
          ["log_name", logName],
          ["zone_name", node.locality.zone],
          ["cluster_name", node.cluster],
          ["node_name", node.id],
        ]
      : [];
    labels.push(...(resource?.(environment)(none) ?? []));
    const sink = createCollector<LogRecord>({
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
        const { encodeLogsGrpc, encodeLogsHttp } = await import("./encode-otlp-logs.ts");
        const encode = target.path === GRPC_PATH ? encodeLogsGrpc : encodeLogsHttp;
        return (records) => encode(records, labels);
      },
    });
    return new OpenTelemetryLog(sink, body?.(environment), attributes?.(environment), tags, states);
  };
}

/** Resource attributes stand for no stream. */
const EMPTY: StreamInfo = new StreamInfo();

interface Common {
  readonly logName: string;
  readonly grpc: CollectorTarget | undefined;
  readonly flushIntervalMs: number | undefined;
  readonly filterStateObjects: readonly string[];
  readonly customTags: readonly (TagSource | undefined)[];
}

function parseCommon(reader: MessageReader<CommonGrpcAccessLogConfig> | undefined): Common | undefined {
  if (reader === undefined) return undefined;
  const grpc = reader.child("grpcService");
  const common: Common = {
    logName: reader.get("logName"),
    grpc: grpc && parseGrpcService(grpc, GRPC_PATH),
    flushIntervalMs: durationMs(reader.get("bufferFlushInterval")),
    filterStateObjects: reader.get("filterStateObjectsToLog"),
    customTags: reader.children("customTags").map(parseCustomTag),
  };
  reader.ignore("transportApiVersion", "OTLP has its own version");
  reader.ignore("bufferSizeBytes", "a batch holds 256 entries");
  reader.ignore("grpcStreamRetryPolicy", "each batch is a call of its own");
  reader.finish();
  return common;
}

function parseTarget(
  reader: MessageReader<OpenTelemetryAccessLogConfig>,
  common: Common | undefined,
): CollectorTarget | undefined {
  const grpc = reader.child("grpcService");
  const http = reader.child("httpService");
  if (http !== undefined) return parseHttpService(http);
  const target = grpc === undefined ? common?.grpc : parseGrpcService(grpc, GRPC_PATH);
  if (target === undefined)
    reader.invalid("grpcService", "grpc_service, http_service or common_config.grpc_service is needed");
  return target;
}

function listTemplate(
  reader: MessageReader<KeyValueList> | undefined,
): ((environment: FormatEnvironment) => (context: FormatContext) => [string, LogValue][]) | undefined {
  if (reader === undefined) return undefined;
  const pairs = reader.children("values").map((pair) => {
    const key = pair.get("key");
    const value = pair.child("value");
    pair.finish();
    return [key, value === undefined ? () => () => "" : valueTemplate(value)] as const;
  });
  reader.finish();
  return (environment) => {
    const compiled = pairs.map(([key, template]) => [key, template(environment)] as const);
    return (context) => compiled.map(([key, value]) => [key, value(context)]);
  };
}

function valueTemplate(reader: MessageReader<AnyValue>): Template {
  const value = reader.get("value");
  const path = reader.at("value");
  reader.finish();
  switch (value.case) {
    case "stringValue": {
      const text = value.value;
      reader.problems.push(...compileFormat(text, { path, environment: CHECKING }).problems);
      return (environment) => compileFormat(text, { environment }).value ?? (() => text);
    }
    case "arrayValue": {
      const items = value.value.values.map((item, index) =>
        valueTemplate(new MessageReader(item, `${path}.values[${index}]`, reader.problems)),
      );
      return (environment) => {
        const compiled = items.map((item) => item(environment));
        return (context) => ({ list: compiled.map((item) => item(context)) });
      };
    }
    case "kvlistValue": {
      const list = listTemplate(new MessageReader(value.value, path, reader.problems));
      return (environment) => {
        const compiled = list?.(environment);
        return (context) => ({ map: compiled?.(context) ?? [] });
      };
    }
    case undefined:
      return () => () => "";
    default: {
      const fixed = value.value;
      return () => () => fixed;
    }
  }
}

class OpenTelemetryLog implements AccessLogger {
  readonly #sink: Sink<LogRecord>;
  readonly #body: LogValueOf | undefined;
  readonly #attributes: ((context: FormatContext) => [string, LogValue][]) | undefined;
  readonly #tags: readonly TagSource[];
  readonly #states: readonly string[];

  constructor(
    sink: Sink<LogRecord>,
    body: LogValueOf | undefined,
    attributes: ((context: FormatContext) => [string, LogValue][]) | undefined,
    tags: readonly TagSource[],
    states: readonly string[],
  ) {
    this.#sink = sink;
    this.#body = body;
    this.#attributes = attributes;
    this.#tags = tags;
    this.#states = states;
  }

  log(context: FormatContext): void {
    const { info } = context;
    const attributes = this.#attributes?.(context) ?? [];
    for (const source of this.#tags) {
      const value = source.value(context);
      if (value !== undefined) attributes.push([source.tag, value]);
    }
    for (const key of this.#states) {
      const state = info.filterState?.get(key);
      if (state !== undefined) attributes.push([key, typeof state === "string" ? state : JSON.stringify(state)]);
    }
    this.#sink.add({ timeMs: info.startTimeMs, traceId: info.traceId, body: this.#body?.(context), attributes });
  }
}

function isTag(tag: TagSource | undefined): tag is TagSource {
  return tag !== undefined;
}
