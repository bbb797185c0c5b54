/** `envoy.config.core.v3.HealthCheck` → `HealthCheckConfig`. */
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type { Cluster } from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import type { HeaderValueOption } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type {
  HealthCheck,
  HealthCheck_GrpcHealthCheck,
  HealthCheck_HttpHealthCheck,
  HealthCheck_Payload,
  HealthCheck_TcpHealthCheck,
} from "#protos/gen/envoy/config/core/v3/health_check_pb.js";
import type { HealthCheckEventFileSink } from "#protos/gen/envoy/extensions/health_check/event_sinks/file/v3/file_pb.js";
import type { Int64Range } from "#protos/gen/envoy/type/v3/range_pb.js";
import { durationMs } from "../../config-values.ts";
import { parseHeaderMutations } from "../../router/header-mutations.ts";
import { RegexCache } from "../../router/regex.ts";
import { parseStringMatcher } from "../../router/string-matcher.ts";
import type { HeaderMutations } from "../../router/types.ts";
import type {
  GrpcCheckConfig,
  HealthCheckConfig,
  HealthCheckIntervals,
  HttpCheckConfig,
  TcpCheckConfig,
} from "./health-check-config.ts";

const DEFAULT_NO_TRAFFIC_MS = 60_000;
const DEFAULT_BODY_BYTES = 1024;

/** Names of `envoy.config.core.v3.RequestMethod` by number; without a method it is GET. */
const methods = ["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
const methodsWithBody: ReadonlySet<string> = new Set(["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]);

/** Reads `health_checks`; with several, each host must pass all of them. Problems are on the reader's list. */
export function parseHealthChecks(reader: MessageReader<Cluster>): readonly HealthCheckConfig[] {
  const checks = reader.children("healthChecks").map((child) => parseHealthCheck(child));
  const names = new Set(checks.map((check) => check?.name ?? ""));
  if (checks.length > 1 && (names.size < checks.length || names.has("")))
    reader.invalid("healthChecks", "several health checks need a name each, and no two the same");
  return checks.filter((check) => check !== undefined);
}

function parseHealthCheck(reader: MessageReader<HealthCheck>): HealthCheckConfig | undefined {
  const specifier = reader.get("healthChecker");
  const at = reader.at("healthChecker");
  const tls = reader.child("tlsOptions");
  const alpn = tls?.get("alpnProtocols") ?? [];
  tls?.finish();
  const base = {
    name: reader.get("name"),
    timeoutMs: durationMs(reader.get("timeout")) ?? 0,
    intervals: parseIntervals(reader),
    unhealthyThreshold: reader.get("unhealthyThreshold") ?? 0,
    healthyThreshold: reader.get("healthyThreshold") ?? 0,
    reuseConnection: reader.get("reuseConnection") ?? true,
    alpn,
    transportCriteria: reader.get("transportSocketMatchCriteria"),
    eventLogs: parseEventLogs(reader),
    logsEveryFailure: reader.get("alwaysLogHealthCheckFailures"),
    logsEverySuccess: reader.get("alwaysLogHealthCheckSuccess"),
  };
  reader.finish();
  switch (specifier.case) {
    case "httpHealthCheck":
      return { ...base, check: parseHttp(new MessageReader(specifier.value, at, reader.problems)) };
    case "tcpHealthCheck":
      return { ...base, check: parseTcp(new MessageReader(specifier.value, at, reader.problems)) };
    case "grpcHealthCheck":
      return { ...base, check: parseGrpc(new MessageReader(specifier.value, at, reader.problems)) };
    case "customHealthCheck":
      reader.unsupported(
        "healthChecker",
        `the health checker ${specifier.value.name} is not supported; http, tcp, grpc are`,
      );
      return undefined;
    case undefined:
      reader.invalid("healthChecker", "one of http_health_check, tcp_health_check, grpc_health_check must be set");
      return undefined;
  }
}

function parseIntervals(reader: MessageReader<HealthCheck>): HealthCheckIntervals {
  const healthyMs = durationMs(reader.get("interval")) ?? 0;
  const unhealthyMs = durationMs(reader.get("unhealthyInterval")) ?? healthyMs;
  const noTrafficMs = durationMs(reader.get("noTrafficInterval")) ?? DEFAULT_NO_TRAFFIC_MS;
  return {
    healthyMs,
    unhealthyMs,
    healthyEdgeMs: durationMs(reader.get("healthyEdgeInterval")) ?? healthyMs,
    unhealthyEdgeMs: durationMs(reader.get("unhealthyEdgeInterval")) ?? unhealthyMs,
    noTrafficMs,
    noTrafficHealthyMs: durationMs(reader.get("noTrafficHealthyInterval")) ?? noTrafficMs,
    initialJitterMs: durationMs(reader.get("initialJitter")) ?? 0,
    jitterMs: durationMs(reader.get("intervalJitter")) ?? 0,
    jitterPercent: reader.get("intervalJitterPercent"),
  };
}

function parseEventLogs(reader: MessageReader<HealthCheck>): string[] {
  const path = reader.get("eventLogPath");
  const paths = path === "" ? [] : [path];
  for (const logger of reader.children("eventLogger")) {
    logger.ignore("name", "the type says what it is");
    const config = logger.get("typedConfig");
    logger.finish();
    const at = logger.at("typedConfig");
    const opened = config === undefined ? undefined : unpackAny(config, at).value;
    if (opened?.$typeName === "envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink")
      paths.push(parseFileSink(new MessageReader(opened as HealthCheckEventFileSink, at, reader.problems)));
    else logger.unsupported("typedConfig", "events of health checks are written to files only");
  }
  return paths;
}

function parseFileSink(reader: MessageReader<HealthCheckEventFileSink>): string {
  const path = reader.get("eventLogPath");
  reader.finish();
  return path;
}

function parseHttp(reader: MessageReader<HealthCheck_HttpHealthCheck>): HttpCheckConfig {
  const method = methods[reader.get("method")] ?? "GET";
  const send = payloadOf(reader.child("send"));
  const buffer = reader.get("responseBufferSize");
  const matcher = reader.child("serviceNameMatcher");
  const expected = ranges(reader, "expectedStatuses");
  const retriable = ranges(reader, "retriableStatuses");
  if (method === "CONNECT") reader.invalid("method", "CONNECT can't be used for a health check");
  if (send !== undefined && !methodsWithBody.has(method))
    reader.invalid("send", `a request of method ${method} has no body; use POST, PUT, PATCH, DELETE or OPTIONS`);
  if (reader.get("codecClientType") === 2) reader.unsupported("codecClientType", "HTTP/3 is not supported");
  reader.ignore("useAlpnProtocol", "concerns HTTP/3 and its fallback only");
  const config: HttpCheckConfig = {
    kind: "http",
    protocol: reader.get("codecClientType") === 1 ? "http2" : "http1",
    host: reader.get("host"),
    path: reader.get("path"),
    method,
    headers: mutations(reader, "requestHeadersToAdd", reader.get("requestHeadersToRemove")),
    send,
    receive: reader.children("receive").flatMap((child) => payloadOf(child) ?? []),
    maxBodyBytes: buffer === undefined ? DEFAULT_BODY_BYTES : buffer === 0n ? Infinity : Number(buffer),
    isExpected: expected.length === 0 ? (status) => status === 200 : (status) => isIn(expected, status),
    isRetriable: (status) => isIn(retriable, status),
    serviceName: matcher === undefined ? undefined : parseStringMatcher(matcher, new RegexCache()),
  };
  reader.finish();
  return config;
}

function parseTcp(reader: MessageReader<HealthCheck_TcpHealthCheck>): TcpCheckConfig {
  const config: TcpCheckConfig = {
    kind: "tcp",
    send: payloadOf(reader.child("send")),
    receive: reader.children("receive").flatMap((child) => payloadOf(child) ?? []),
  };
  reader.finish();
  return config;
}

function parseGrpc(reader: MessageReader<HealthCheck_GrpcHealthCheck>): GrpcCheckConfig {
  const config: GrpcCheckConfig = {
    kind: "grpc",
    serviceName: reader.get("serviceName"),
    authority: reader.get("authority"),
    metadata: mutations(reader, "initialMetadata", []),
  };
  reader.finish();
  return config;
}

/** Text is hex. */
function payloadOf(reader: MessageReader<HealthCheck_Payload> | undefined): Buffer | undefined {
  const payload = reader?.get("payload");
  reader?.finish();
  if (payload?.case === "binary") return Buffer.from(payload.value);
  if (payload?.case !== "text") return undefined;
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(payload.value)) reader?.invalid("payload", `invalid hex string '${payload.value}'`);
  return Buffer.from(payload.value, "hex");
}

function mutations<T extends HealthCheck_HttpHealthCheck | HealthCheck_GrpcHealthCheck>(
  reader: MessageReader<T>,
  field: T extends HealthCheck_HttpHealthCheck ? "requestHeadersToAdd" : "initialMetadata",
  remove: readonly string[],
): HeaderMutations | undefined {
  const read = reader as unknown as MessageReader<HealthCheck_HttpHealthCheck>;
  const add: readonly MessageReader<HeaderValueOption>[] = read.children(field as "requestHeadersToAdd");
  return parseHeaderMutations({ add, remove, removeAt: read.at("requestHeadersToRemove"), problems: reader.problems });
}

interface StatusRange {
  readonly start: number;
  readonly end: number;
}

/** Half-open ranges between 100 and 600. */
function ranges(
  reader: MessageReader<HealthCheck_HttpHealthCheck>,
  field: "expectedStatuses" | "retriableStatuses",
): StatusRange[] {
  return reader.get(field).map(({ start, end }: Int64Range) => {
    const range = { start: Number(start), end: Number(end) };
    if (range.start >= range.end || range.start < 100 || range.end > 600)
      reader.invalid(field, `Invalid http status range: [${range.start}, ${range.end}) must be within [100, 600)`);
    return range;
  });
}

function isIn(list: readonly StatusRange[], status: number): boolean {
  return list.some(({ start, end }) => status >= start && status < end);
}
