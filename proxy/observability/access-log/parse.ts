/** `access_log` entries of listeners, connection managers and the TCP proxy → what the sinks open. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type { AccessLog } from "#protos/gen/envoy/config/accesslog/v3/accesslog_pb.js";
import type { SubstitutionFormatString } from "#protos/gen/envoy/config/core/v3/substitution_format_string_pb.js";
import type {
  HttpGrpcAccessLogConfig,
  TcpGrpcAccessLogConfig,
} from "#protos/gen/envoy/extensions/access_loggers/grpc/v3/als_pb.js";
import type { OpenTelemetryAccessLogConfig } from "#protos/gen/envoy/extensions/access_loggers/open_telemetry/v3/logs_service_pb.js";
import type { FileAccessLog } from "#protos/gen/envoy/extensions/access_loggers/file/v3/file_pb.js";
import type {
  StderrAccessLog,
  StdoutAccessLog,
} from "#protos/gen/envoy/extensions/access_loggers/stream/v3/stream_pb.js";
import { RegexCache } from "../../router/regex.ts";
import { parseAccessLogFilter } from "./filters.ts";
import { CHECKING, compileFormat, type FormatOptions } from "./format.ts";
import { compileJsonFormat, type JsonTemplate } from "./json-format.ts";
import { parseHttpGrpcLog, parseTcpGrpcLog } from "./grpc-log.ts";
import { parseOpenTelemetryLog } from "./open-telemetry-log.ts";
import type { AccessLogConfig, AccessLogger, Format, FormatContext, LineSink } from "./types.ts";

/** Envoy's own line, for a log without a format. */
export const DEFAULT_FORMAT: string =
  '[%START_TIME%] "%REQUEST_HEADER(:METHOD)% %REQUEST_HEADER(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" ' +
  "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% " +
  '%RESPONSE_HEADER(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQUEST_HEADER(X-FORWARDED-FOR)%" ' +
  '"%REQUEST_HEADER(USER-AGENT)%" "%REQUEST_HEADER(X-REQUEST-ID)%" "%REQUEST_HEADER(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

/** Formatter extensions whose operators are built in. */
const BUILT_IN_FORMATTERS = new Set([
  "envoy.extensions.formatter.metadata.v3.Metadata",
  "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery",
]);

/** Makes a format for an environment; called with a stand-in when a configuration is checked. */
type FormatMaker = (options: FormatOptions) => Parsed<Format>;

/** Reads a list of `access_log` entries; sinks other than files and the standard streams are refused by name. */
export function parseAccessLogs(messages: readonly AccessLog[], path: string): Parsed<readonly AccessLogConfig[]> {
  const problems: Problem[] = [];
  const configs: AccessLogConfig[] = [];
  const regexes = new RegexCache();
  for (const [index, message] of messages.entries()) {
    const reader = new MessageReader(message, `${path}[${index}]`, problems);
    reader.ignore("name", "the type of the configuration chooses the sink");
    const filter = reader.child("filter");
    const parsedFilter = filter === undefined ? undefined : parseAccessLogFilter(filter, regexes);
    const config = reader.get("configType");
    reader.finish();
    if (config.case === undefined) {
      problems.push({ code: "invalid-value", level: "error", path: reader.path, message: "typed_config is missing" });
      continue;
    }
    const opened = unpackAny(config.value, reader.at("configType"));
    problems.push(...opened.problems);
    const sink = opened.value === undefined ? undefined : parseSink(opened.value, reader.at("configType"), problems);
    if (sink !== undefined) configs.push({ open: sink, filter: parsedFilter });
  }
  return problems.length > 0 ? { problems } : { value: configs, problems };
}

function parseSink(message: Message, path: string, problems: Problem[]): AccessLogConfig["open"] | undefined {
  switch (message.$typeName) {
    case "envoy.extensions.access_loggers.file.v3.FileAccessLog": {
      const reader = new MessageReader(message as FileAccessLog, path, problems);
      const file = reader.get("path");
      const format = parseFileFormat(reader);
      reader.finish();
      return checked(file, format, problems);
    }
    case "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog":
      return parseStream(new MessageReader(message as StdoutAccessLog, path, problems), "/dev/stdout");
    case "envoy.extensions.access_loggers.stream.v3.StderrAccessLog":
      return parseStream(new MessageReader(message as StderrAccessLog, path, problems), "/dev/stderr");
    case "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig":
      return parseOpenTelemetryLog(new MessageReader(message as OpenTelemetryAccessLogConfig, path, problems));
    case "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig":
      return parseHttpGrpcLog(new MessageReader(message as HttpGrpcAccessLogConfig, path, problems));
    case "envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig":
      return parseTcpGrpcLog(new MessageReader(message as TcpGrpcAccessLogConfig, path, problems));
    default:
      problems.push({
        code: "unsupported-type",
        level: "error",
        path,
        message: `access log ${message.$typeName} is not supported by this proxy: log to a file (envoy.access_loggers.file)`,
      });
      return undefined;
  }
}

function parseStream(
  reader: MessageReader<StdoutAccessLog> | MessageReader<StderrAccessLog>,
  file: string,
): AccessLogConfig["open"] | undefined {
  const format = (reader as MessageReader<StdoutAccessLog>).get("accessLogFormat");
  const maker =
    format.case === undefined
      ? textMaker(DEFAULT_FORMAT, reader.path)
      : parseFormatString(
          new MessageReader(
            format.value,
            (reader as MessageReader<StdoutAccessLog>).at("accessLogFormat"),
            reader.problems,
          ),
        );
  reader.finish();
  return checked(file, maker, reader.problems);
}

function parseFileFormat(reader: MessageReader<FileAccessLog>): FormatMaker | undefined {
  const format = reader.get("accessLogFormat");
  const path = reader.at("accessLogFormat");
  switch (format.case) {
    case undefined:
      return textMaker(DEFAULT_FORMAT, path);
    case "format":
      return textMaker(format.value === "" ? DEFAULT_FORMAT : format.value, path);
    case "jsonFormat":
    case "typedJsonFormat":
      return jsonMaker(format.value, path, false);
    case "logFormat":
      return parseFormatString(new MessageReader(format.value, path, reader.problems));
  }
}

/** `SubstitutionFormatString` → the maker of its format; undefined when it has problems, which are on the reader's list. */
export function parseFormatString(reader: MessageReader<SubstitutionFormatString>): FormatMaker | undefined {
  const format = reader.get("format");
  const path = reader.at("format");
  const omitEmptyValues = reader.get("omitEmptyValues");
  reader.ignore("contentType", "it is for local replies; a log has none");
  reader.ignore("jsonFormatOptions", "keys are always sorted");
  for (const formatter of reader.children("formatters")) parseFormatter(formatter);
  reader.finish();
  switch (format.case) {
    case "textFormat":
      return textMaker(format.value === "" ? DEFAULT_FORMAT : format.value, path, omitEmptyValues);
    case "jsonFormat":
      return jsonMaker(format.value, path, omitEmptyValues);
    case "textFormatSource": {
      const { specifier } = format.value;
      if (specifier.case === "inlineString") return textMaker(specifier.value, path, omitEmptyValues);
      if (specifier.case === "inlineBytes")
        return textMaker(Buffer.from(specifier.value).toString("utf8"), path, omitEmptyValues);
      reader.unsupported("format", "text_format_source takes inline_string or inline_bytes here");
      return undefined;
    }
    case undefined:
      reader.problems.push({ code: "invalid-value", level: "error", path, message: "a format must be set" });
      return undefined;
  }
}

function parseFormatter(reader: MessageReader<SubstitutionFormatString["formatters"][number]>): void {
  reader.ignore("name", "the type chooses the formatter");
  const config = reader.get("typedConfig");
  reader.finish();
  const typeName = config?.typeUrl.slice(config.typeUrl.lastIndexOf("/") + 1) ?? "";
  if (!BUILT_IN_FORMATTERS.has(typeName))
    reader.unsupported("typedConfig", `the formatter ${typeName} is not supported by this proxy`);
}

function textMaker(text: string, path: string, omitEmptyValues = false): FormatMaker {
  return (options) => compileFormat(text, { ...options, path, omitEmptyValues });
}

function jsonMaker(template: JsonTemplate, path: string, omitEmptyValues: boolean): FormatMaker {
  return (options) => compileJsonFormat(template, { ...options, path, omitEmptyValues });
}

function checked(
  path: string,
  maker: FormatMaker | undefined,
  problems: Problem[],
): AccessLogConfig["open"] | undefined {
  if (maker === undefined) return undefined;
  const trial = maker({ environment: CHECKING });
  problems.push(...trial.problems);
  if (trial.value === undefined) return undefined;
  return (host) => {
    const { value } = maker({ environment: host.environment });
    if (value === undefined) throw new Error(`a format that was fine is not any more: ${path}`);
    return new FileLog(host.file(path), value);
  };
}

class FileLog implements AccessLogger {
  readonly #file: LineSink;
  readonly #format: Format;
  constructor(file: LineSink, format: Format) {
    this.#file = file;
    this.#format = format;
  }
  log(context: FormatContext): void {
    this.#file.append(this.#format(context));
  }
}
