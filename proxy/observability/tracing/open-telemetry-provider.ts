/** `envoy.config.trace.v3.OpenTelemetryConfig`: W3C contexts, OTLP over HTTP or gRPC. */
import { unpackAny } from "#protos/any.ts";
import type { MessageReader } from "#protos/reader.ts";
import type { OpenTelemetryConfig } from "#protos/gen/envoy/config/trace/v3/opentelemetry_pb.js";
import { parseGrpcService, parseHttpService } from "../collector-target.ts";
import { w3c } from "./trace-context.ts";
import { spanStats } from "./span-record.ts";
import type { Provider } from "./tracing.ts";

const GRPC_PATH = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const ENVIRONMENT_DETECTOR =
  "envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig";

/** Reads the provider; undefined when it has problems, which are on the reader's list. */
export function parseOpenTelemetry(reader: MessageReader<OpenTelemetryConfig>): Provider | undefined {
  const grpc = reader.child("grpcService");
  const http = reader.child("httpService");
  const serviceName = reader.get("serviceName") || "unknown_service:glassmesh";
  reader.ignore("maxCacheSize", "the queue holds 4096 spans");
  const namesSdk = reader.get("setTelemetrySdkResourceAttributes") ?? true;
  const namesService = reader.get("setServiceNameResourceAttribute") ?? true;
  reader.ignore("setInstrumentationScope", "the scope is always named");
  if (reader.get("sampler") !== undefined) reader.unsupported("sampler", "the connection manager's percentages decide");
  if (reader.get("exporter") !== undefined) reader.unsupported("exporter");
  const attributes: [string, string][] = [];
  if (namesService) attributes.push(["service.name", serviceName]);
  if (namesSdk) attributes.push(["telemetry.sdk.language", "nodejs"], ["telemetry.sdk.name", "glassmesh"]);
  addDetected(reader, attributes);
  if ((grpc === undefined) === (http === undefined)) {
    reader.invalid("grpcService", "exactly one of grpc_service and http_service must be set");
    reader.finish();
    return undefined;
  }
  const target = grpc === undefined ? http && parseHttpService(http) : parseGrpcService(grpc, GRPC_PATH);
  reader.finish();
  if (target === undefined) return undefined;
  return {
    propagation: w3c,
    traceIdBits: 128,
    sharesSpans: false,
    readsB3: false,
    namesByHost: false,
    collector: ({ rootScope }) => ({
      stats: spanStats(rootScope.scope("tracing").scope("opentelemetry")),
      target,
      loadEncoder: async () => {
        const { encodeOtlpGrpc, encodeOtlpHttp } = await import("./encode-otlp.ts");
        const encode = grpc === undefined ? encodeOtlpHttp : encodeOtlpGrpc;
        return (spans) => encode(spans, { attributes });
      },
    }),
  };
}

function addDetected(reader: MessageReader<OpenTelemetryConfig>, attributes: [string, string][]): void {
  for (const detector of reader.children("resourceDetectors")) {
    detector.ignore("name", "the type chooses the detector");
    const any = detector.get("typedConfig");
    detector.finish();
    const { value, problems } = any === undefined ? { problems: [] } : unpackAny(any, detector.at("typedConfig"));
    reader.problems.push(...problems);
    if (value === undefined) continue;
    if (value.$typeName !== ENVIRONMENT_DETECTOR) {
      detector.unsupported("typedConfig", `the resource detector ${value.$typeName} is not supported by this proxy`);
      continue;
    }
    for (const pair of (process.env["OTEL_RESOURCE_ATTRIBUTES"] ?? "").split(",")) {
      const equals = pair.indexOf("=");
      if (equals > 0)
        attributes.push([pair.slice(0, equals).trim(), decodeURIComponent(pair.slice(equals + 1).trim())]);
    }
  }
}
