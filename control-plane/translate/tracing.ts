/** Tracing of an HTTP connection manager: provider, sampling, and tags that say who the proxy is. */
import { durationJson } from "./duration.ts";
import { any, byText, compact, type JsonObject, sortedEntries } from "./json.ts";
import type { Direction } from "./network-filters.ts";
import { proxyConfig } from "./proxy-options.ts";
import type { CustomTag, ExtensionProvider } from "./spec/telemetry.ts";
import {
  defaultProviders,
  extensionProvider,
  isForMode,
  providerCluster,
  providerNames,
  telemetrySpecs,
} from "./telemetry.ts";
import type { View } from "./view.ts";

export interface Tracing {
  /** Undefined: no spans, no trace headers. */
  readonly settings: JsonObject | undefined;
  readonly usesRequestId: boolean;
}

/** PILOT_TRACE_SAMPLING */
const DEFAULT_SAMPLING_PERCENT = 1;

export function tracing(view: View, direction: Direction): Tracing {
  if (!view.mesh.meshConfig.enableTracing) return { settings: undefined, usesRequestId: true };
  const rules = telemetrySpecs(view).flatMap((spec) => spec.tracing ?? []);
  const [byDefault] = defaultProviders(view.mesh, "tracing");
  if (rules.length === 0 && byDefault === undefined) {
    return { settings: settings(view, {}), usesRequestId: true };
  }
  const plan = plannedTracing(view, direction);
  const { provider, usesRequestId } = plan;
  if (provider === undefined || plan.isDisabled) return { settings: undefined, usesRequestId };
  return { settings: settings(view, { ...plan, provider }), usesRequestId };
}

interface Plan {
  readonly provider?: ExtensionProvider | undefined;
  readonly customTags?: Readonly<Record<string, CustomTag>>;
  readonly sampling?: number;
  readonly isDisabled: boolean;
  readonly usesRequestId: boolean;
  readonly hasIstioTags: boolean;
}

/** Each rule over what stands before it; only the first provider of a rule counts. */
function plannedTracing(view: View, direction: Direction): Plan {
  const side = direction === "outbound" ? "CLIENT" : "SERVER";
  const [byDefault] = defaultProviders(view.mesh, "tracing");
  let plan: Plan = {
    provider: byDefault === undefined ? undefined : extensionProvider(view.mesh, byDefault),
    isDisabled: false,
    usesRequestId: true,
    hasIstioTags: true,
  };
  for (const rule of telemetrySpecs(view).flatMap((spec) => spec.tracing ?? [])) {
    if (!isForMode(rule.match?.mode, side)) continue;
    const [name] = providerNames(rule.providers);
    plan = {
      ...plan,
      ...(name !== undefined && { provider: extensionProvider(view.mesh, name) }),
      ...(rule.customTags !== undefined && { customTags: rule.customTags }),
      ...(rule.randomSamplingPercentage !== undefined && { sampling: rule.randomSamplingPercentage }),
      isDisabled: rule.disableSpanReporting ?? plan.isDisabled,
      usesRequestId: rule.useRequestIdForTraceSampling ?? plan.usesRequestId,
      hasIstioTags: rule.enableIstioTags ?? plan.hasIstioTags,
    };
  }
  return plan;
}

function settings(view: View, plan: Partial<Plan>): JsonObject {
  // Of ProxyConfig.tracing only the sampling counts here, the rest is the bootstrap's.
  const { sampling } = proxyConfig(view).tracing ?? {};
  const { provider } = plan;
  const maxTagLength = provider?.zipkin?.maxTagLength ?? provider?.opentelemetry?.maxTagLength ?? 0;
  const own = Object.entries(plan.customTags ?? {}).map(([tag, value]) => customTag(tag, value));
  const istio = plan.hasIstioTags === false ? [] : identityTags(view);
  return compact({
    clientSampling: { value: 100 },
    randomSampling: { value: plan.sampling ?? sampling ?? DEFAULT_SAMPLING_PERCENT },
    overallSampling: { value: 100 },
    maxPathTagLength: maxTagLength > 0 ? maxTagLength : undefined,
    customTags: [...own, ...DRY_RUN_TAGS, ...istio].toSorted((a, b) => byText(String(a["tag"]), String(b["tag"]))),
    provider: provider === undefined ? undefined : (providerConfig(view, provider) ?? reportedAbsent(view, provider)),
  });
}

function providerConfig(view: View, provider: ExtensionProvider): JsonObject | undefined {
  if (provider.zipkin !== undefined) return zipkin(view, provider.zipkin);
  if (provider.opentelemetry !== undefined) return openTelemetry(view, provider.opentelemetry);
  return undefined;
}

/** Without its service a provider gets no spans. */
function reportedAbsent(view: View, provider: ExtensionProvider): undefined {
  const service = provider.zipkin?.service ?? provider.opentelemetry?.service ?? "";
  view.problems.push({
    code: "no-effect",
    level: "warning",
    path: `extensionProviders[${provider.name ?? ""}]`,
    message: `No spans are sent to the tracing provider ${provider.name ?? ""}: there is no service ${service}. Add it as a Service or ServiceEntry; providers other than zipkin and opentelemetry are not known here.`,
    object: "MeshConfig",
  });
  return undefined;
}

function zipkin(view: View, settings: NonNullable<ExtensionProvider["zipkin"]>): JsonObject | undefined {
  const target = providerCluster(view, settings);
  if (target === undefined) return undefined;
  return {
    name: "envoy.tracers.zipkin",
    typedConfig: any("envoy.config.trace.v3.ZipkinConfig", {
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
    }),
  };
}

function openTelemetry(view: View, settings: NonNullable<ExtensionProvider["opentelemetry"]>): JsonObject | undefined {
  const target = providerCluster(view, settings);
  if (target === undefined) return undefined;
  const { http } = settings;
  const service =
    http === undefined
      ? {
          grpcService: compact({
            envoyGrpc: { clusterName: target.cluster, authority: target.host },
            timeout: durationJson(settings.grpc?.timeout),
          }),
        }
      : { httpService: otlpOverHttp(target, http) };
  const detector = "envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig";
  return {
    name: "envoy.tracers.opentelemetry",
    typedConfig: any("envoy.config.trace.v3.OpenTelemetryConfig", {
      ...service,
      serviceName: `${canonicalName(view)}.${view.proxy.namespace}`,
      resourceDetectors:
        settings.resourceDetectors?.environment === undefined
          ? undefined
          : [{ name: "envoy.tracers.opentelemetry.resource_detectors.environment", typedConfig: any(detector) }],
    }),
  };
}

function otlpOverHttp(
  target: { readonly host: string; readonly cluster: string },
  http: NonNullable<NonNullable<ExtensionProvider["opentelemetry"]>["http"]>,
): JsonObject {
  const headers = (http.headers ?? []).map(({ name, value }) => ({
    header: { key: name, value },
    appendAction: "OVERWRITE_IF_EXISTS_OR_ADD",
  }));
  return compact({
    httpUri: {
      uri: `http://${target.host}${http.path ?? "/v1/traces"}`,
      cluster: target.cluster,
      timeout: durationJson(http.timeout) ?? "10s",
    },
    requestHeadersToAdd: headers.length === 0 ? undefined : headers,
  });
}

function customTag(tag: string, value: CustomTag): JsonObject {
  const { literal, environment, header, formatter } = value;
  if (environment !== undefined) return { tag, environment: compact({ ...environment }) };
  if (header !== undefined) return { tag, requestHeader: compact({ ...header }) };
  if (formatter !== undefined) return { tag, value: formatter.value ?? "" };
  return { tag, literal: { value: literal?.value ?? "" } };
}

const DRY_RUN_TAGS: readonly JsonObject[] = ["allow", "deny"].flatMap((action) => [
  dryRunTag(`istio.authorization.dry_run.${action}_policy.name`, `istio_dry_run_${action}_shadow_effective_policy_id`),
  dryRunTag(`istio.authorization.dry_run.${action}_policy.result`, `istio_dry_run_${action}_shadow_engine_result`),
]);

function dryRunTag(tag: string, key: string): JsonObject {
  return {
    tag,
    metadata: { kind: { request: {} }, metadataKey: { key: "envoy.filters.http.rbac", path: [{ key }] } },
  };
}

function identityTags(view: View): readonly JsonObject[] {
  const { proxy, labels } = view;
  const meshId = proxy.metadata["MESH_ID"];
  const revision =
    labels["service.istio.io/canonical-revision"] ??
    labels["app.kubernetes.io/version"] ??
    labels["version"] ??
    "latest";
  return sortedEntries({
    "istio.canonical_revision": revision,
    "istio.canonical_service": canonicalName(view),
    "istio.cluster_id": proxy.clusterId === "" ? "unknown" : proxy.clusterId,
    "istio.mesh_id": typeof meshId === "string" && meshId !== "" ? meshId : "unknown",
    "istio.namespace": proxy.namespace,
  }).map(([tag, value]) => ({ tag, literal: { value } }));
}

function canonicalName({ labels, workload }: View): string {
  return (
    labels["service.istio.io/canonical-name"] ??
    labels["app.kubernetes.io/name"] ??
    labels["app"] ??
    workload?.workloadName ??
    "unknown"
  );
}
