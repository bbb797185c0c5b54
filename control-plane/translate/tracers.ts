/** Extension providers that take spans → the tracer of a connection manager. */
import { canonicalName } from "./canonical-name.ts";
import { durationJson } from "./duration.ts";
import { any, compact, type JsonObject, nonEmpty } from "./json.ts";
import type { ExtensionProvider, HttpExporter, ProviderHeader } from "./spec/telemetry.ts";
import { type ProviderCluster, providerCluster } from "./telemetry.ts";
import type { View } from "./view.ts";

export interface Tracer {
  readonly json: JsonObject;
  /** 0: not said. */
  readonly maxTagLength: number;
  /** A span of its own for each upstream request. */
  readonly hasUpstreamSpans: boolean;
  /** It has a sampler: every span goes to it. */
  readonly decidesItself: boolean;
}

/** Undefined for a provider of another sort, and where its service is not there. */
export function tracerOf(view: View, provider: ExtensionProvider): Tracer | undefined {
  if (provider.zipkin !== undefined) return zipkin(view, provider.zipkin);
  if (provider.opentelemetry !== undefined) return openTelemetry(view, provider.opentelemetry);
  if (provider.datadog !== undefined) return datadog(view, provider.datadog);
  if (provider.skywalking !== undefined) return skyWalking(view, provider.skywalking);
  return undefined;
}

function tracer(name: string, config: JsonObject, more: Partial<Tracer> = {}): Tracer {
  return {
    json: { name, typedConfig: config },
    maxTagLength: 0,
    hasUpstreamSpans: false,
    decidesItself: false,
    ...more,
  };
}

function zipkin(view: View, settings: NonNullable<ExtensionProvider["zipkin"]>): Tracer | undefined {
  const target = providerCluster(view, settings);
  if (target === undefined) return undefined;
  const config = any("envoy.config.trace.v3.ZipkinConfig", {
    collectorEndpointVersion: "HTTP_JSON",
    collectorService: {
      httpUri: {
        uri: `http://${target.host}${settings.path ?? "/api/v2/spans"}`,
        cluster: target.cluster,
        timeout: durationJson(settings.timeout) ?? "5s",
      },
    },
    traceId128bit: settings.enable64bitTraceId !== true,
    sharedSpanContext: false,
  });
  return tracer("envoy.tracers.zipkin", config, { maxTagLength: settings.maxTagLength ?? 0 });
}

function datadog(view: View, settings: NonNullable<ExtensionProvider["datadog"]>): Tracer | undefined {
  const target = providerCluster(view, settings);
  if (target === undefined) return undefined;
  const config = any("envoy.config.trace.v3.DatadogConfig", {
    collectorCluster: target.cluster,
    serviceName: serviceName(view),
    collectorHostname: target.host,
  });
  return tracer("envoy.tracers.datadog", config, { maxTagLength: settings.maxTagLength ?? 0 });
}

function skyWalking(view: View, settings: NonNullable<ExtensionProvider["skywalking"]>): Tracer | undefined {
  const target = providerCluster(view, settings);
  if (target === undefined) return undefined;
  const config = any("envoy.config.trace.v3.SkyWalkingConfig", { grpcService: { envoyGrpc: envoyGrpc(target) } });
  return tracer("envoy.tracers.skywalking", config, { hasUpstreamSpans: true });
}

type OpenTelemetry = NonNullable<ExtensionProvider["opentelemetry"]>;

function openTelemetry(view: View, settings: OpenTelemetry): Tracer | undefined {
  const target = providerCluster(view, settings);
  if (target === undefined) return undefined;
  const { http, grpc, dynatraceSampler } = settings;
  const sampler = dynatraceSampler === undefined ? undefined : dynatrace(view, settings, target);
  if (dynatraceSampler !== undefined && sampler === undefined) return undefined;
  const service =
    http === undefined
      ? {
          grpcService: compact({
            envoyGrpc: envoyGrpc(target),
            timeout: durationJson(grpc?.timeout),
            initialMetadata: nonEmpty((grpc?.initialMetadata ?? []).map(headerValue)),
          }),
        }
      : { httpService: httpService(target, http.path ?? "/v1/traces", http) };
  const config = any("envoy.config.trace.v3.OpenTelemetryConfig", {
    ...service,
    serviceName: serviceName(view),
    resourceDetectors: nonEmpty(detectors(settings)),
    sampler,
  });
  const more = { maxTagLength: settings.maxTagLength ?? 0, decidesItself: sampler !== undefined };
  return tracer("envoy.tracers.opentelemetry", config, more);
}

const DETECTORS = "envoy.extensions.tracers.opentelemetry.resource_detectors.v3.";

function detectors({ resourceDetectors }: OpenTelemetry): readonly JsonObject[] {
  const detector = (name: string, type: string): JsonObject => ({
    name: `envoy.tracers.opentelemetry.resource_detectors.${name}`,
    typedConfig: any(`${DETECTORS}${type}`),
  });
  return [
    ...(resourceDetectors?.environment === undefined
      ? []
      : [detector("environment", "EnvironmentResourceDetectorConfig")]),
    ...(resourceDetectors?.dynatrace === undefined ? [] : [detector("dynatrace", "DynatraceResourceDetectorConfig")]),
  ];
}

/** Asks Dynatrace how much to sample, by the exporter's own service unless it names another. */
function dynatrace(
  view: View,
  { http, dynatraceSampler }: OpenTelemetry,
  target: ProviderCluster,
): JsonObject | undefined {
  const own = dynatraceSampler?.httpService;
  const at = own === undefined ? target : providerCluster(view, own);
  const exporter = own === undefined ? http : (own.http ?? {});
  if (at === undefined || exporter === undefined) return undefined;
  const path = own === undefined ? "/api/v2/samplingConfiguration" : (own.http?.path ?? "");
  return {
    name: "envoy.tracers.opentelemetry.samplers.dynatrace",
    typedConfig: any(
      "envoy.extensions.tracers.opentelemetry.samplers.v3.DynatraceSamplerConfig",
      compact({
        tenant: dynatraceSampler?.tenant,
        clusterId: dynatraceSampler?.clusterId,
        rootSpansPerMinute: dynatraceSampler?.rootSpansPerMinute,
        httpService: httpService(at, path, exporter),
      }),
    ),
  };
}

function httpService(target: ProviderCluster, path: string, { timeout, headers }: HttpExporter): JsonObject {
  return compact({
    httpUri: {
      uri: `${target.host}/${path.replace(/^\/+/, "")}`,
      cluster: target.cluster,
      // Envoy requires one.
      timeout: durationJson(timeout) ?? "10s",
    },
    requestHeadersToAdd: nonEmpty(
      (headers ?? []).map((header) => ({
        header: headerValue(header),
        appendAction: "OVERWRITE_IF_EXISTS_OR_ADD",
      })),
    ),
  });
}

function headerValue({ name, value }: ProviderHeader): JsonObject {
  return { key: name, value };
}

function envoyGrpc({ cluster, host }: ProviderCluster): JsonObject {
  return { clusterName: cluster, authority: host };
}

/** The node's cluster, as istio-agent names it. */
function serviceName(view: View): string {
  return `${canonicalName(view)}.${view.proxy.namespace}`;
}
