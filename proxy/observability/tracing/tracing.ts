/** `tracing` of a connection manager → tracers, by provider: OpenTelemetry (OTLP) and Zipkin. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type { OpenTelemetryConfig } from "#protos/gen/envoy/config/trace/v3/opentelemetry_pb.js";
import type { ZipkinConfig } from "#protos/gen/envoy/config/trace/v3/zipkin_pb.js";
import type { HttpConnectionManager_Tracing } from "#protos/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import type { FilterFactoryContext } from "../../http/filter.ts";
import type { TracerMaker, TracingFactory } from "../../http/tracing.ts";
import { parseOperation } from "../../router/route-tracing.ts";
import type { Format } from "../access-log/types.ts";
import { createCollector, type CollectorDeps } from "../collector.ts";
import { parseCustomTag, type TagSource } from "./custom-tags.ts";
import { parseOpenTelemetry } from "./open-telemetry-provider.ts";
import type { SpanRecord } from "./span-record.ts";
import { createTracer, type TracerSettings } from "./tracer.ts";
import { parseZipkin } from "./zipkin-provider.ts";

/** What a provider adds to the settings of a tracer. */
export interface Provider extends Pick<
  TracerSettings,
  "propagation" | "traceIdBits" | "sharesSpans" | "readsB3" | "namesByHost"
> {
  collector(context: FilterFactoryContext): Omit<CollectorDeps<SpanRecord>, "runtime" | "clusters">;
}

const DEFAULT_MAX_PATH_TAG_LENGTH = 256;

/** The factory that connection managers are given; tracers of equal providers share nothing but the collector's cluster. */
export function createTracingFactory(): TracingFactory {
  return { parse: parseTracing };
}

function parseTracing(message: HttpConnectionManager_Tracing, path: string): Parsed<TracerMaker> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message, path, problems);
  reader.ignore("clientSampling", "the connection manager decides");
  reader.ignore("randomSampling", "the connection manager decides");
  reader.ignore("overallSampling", "the connection manager decides");
  if (reader.get("verbose")) reader.unsupported("verbose", "spans carry no annotations; leave verbose out");
  const maxPathTagLength = reader.get("maxPathTagLength") ?? DEFAULT_MAX_PATH_TAG_LENGTH;
  const customTags = reader
    .children("customTags")
    .map(parseCustomTag)
    .filter((tag) => tag !== undefined);
  const operation = parseOperation(reader.get("operation"), reader.at("operation"), problems);
  reader.ignore(
    "upstreamOperation",
    "names the spans of attempts, which spawn_upstream_span would make: it is refused",
  );
  const writesContext = !reader.get("noContextPropagation");
  if (reader.get("spawnUpstreamSpan") === true)
    reader.unsupported("spawnUpstreamSpan", "a request has one span in each proxy; leave spawn_upstream_span out");
  const provider = parseProvider(reader);
  reader.finish();
  if (problems.length > 0) return { problems };
  if (provider === undefined) return { value: () => undefined, problems };
  return {
    value: (context) =>
      createTracer(settingsOf(context, provider, { customTags, maxPathTagLength, operation, writesContext })),
    problems,
  };
}

function parseProvider(reader: MessageReader<HttpConnectionManager_Tracing>): Provider | undefined {
  const provider = reader.child("provider");
  if (provider === undefined) return undefined;
  provider.ignore("name", "the type of the configuration chooses the tracer");
  const config = provider.get("configType");
  provider.finish();
  if (config.case === undefined) {
    provider.invalid("configType", "typed_config is missing");
    return undefined;
  }
  const opened = unpackAny(config.value, provider.at("configType"));
  provider.problems.push(...opened.problems);
  return opened.value === undefined ? undefined : byType(opened.value, provider.at("configType"), provider.problems);
}

function byType(message: Message, path: string, problems: Problem[]): Provider | undefined {
  switch (message.$typeName) {
    case "envoy.config.trace.v3.OpenTelemetryConfig":
      return parseOpenTelemetry(new MessageReader(message as OpenTelemetryConfig, path, problems));
    case "envoy.config.trace.v3.ZipkinConfig":
      return parseZipkin(new MessageReader(message as ZipkinConfig, path, problems));
    default:
      problems.push({
        code: "unsupported-type",
        level: "error",
        path,
        message: `tracing provider ${message.$typeName} is not supported by this proxy: use OpenTelemetryConfig or ZipkinConfig`,
      });
      return undefined;
  }
}

function settingsOf(
  context: FilterFactoryContext,
  provider: Provider,
  common: {
    readonly customTags: readonly TagSource[];
    readonly maxPathTagLength: number;
    readonly operation: Format | undefined;
    readonly writesContext: boolean;
  },
): TracerSettings {
  const { runtime, clusters, node, trafficDirection } = context;
  const sink = createCollector<SpanRecord>({ runtime, clusters, ...provider.collector(context) });
  return {
    ...common,
    ...provider,
    kind: trafficDirection === "outbound" ? "client" : "server",
    nodeId: node.id,
    zone: node.locality.zone,
    sink,
    random: runtime.random,
  };
}
