/** Tracing of an HTTP connection manager: provider, sampling, and tags that say who the proxy is. */
import { canonicalName } from "./canonical-name.ts";
import { byText, compact, type JsonObject, sortedEntries } from "./json.ts";
import type { Direction } from "./network-filters.ts";
import { proxyConfig, type WrittenTracing } from "./proxy-options.ts";
import type { CustomTag, ExtensionProvider } from "./spec/telemetry.ts";
import { defaultProviders, extensionProvider, isForMode, providerNames, telemetrySpecs } from "./telemetry.ts";
import { tracerOf } from "./tracers.ts";
import { hasExtension, type View } from "./view.ts";

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
  if (plan.isDisabled) return { settings: undefined, usesRequestId: true };
  if (provider === undefined) return { settings: undefined, usesRequestId };
  const made = settings(view, { ...plan, provider });
  return { settings: made, usesRequestId: made === undefined ? true : usesRequestId };
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

/** Undefined where the provider can't be reached: then nothing is traced. */
function settings(view: View, plan: Partial<Plan>): JsonObject | undefined {
  const { provider } = plan;
  const tracer = provider === undefined ? undefined : tracerOf(view, provider);
  if (provider !== undefined && tracer === undefined) {
    reportAbsent(view, provider);
    return undefined;
  }
  if (tracer !== undefined && !hasExtension(view, String(tracer.json["name"]))) {
    reportWithout(view, provider?.name ?? "", String(tracer.json["name"]));
    return undefined;
  }
  const own = proxyConfig(view).tracing ?? {};
  const maxLength = tracer?.maxTagLength || own.maxPathTagLength || 0;
  const tags = Object.entries(plan.customTags ?? own.customTags ?? {}).map(([tag, value]) => customTag(tag, value));
  const hasIstioTags = plan.hasIstioTags ?? own.enableIstioTags ?? true;
  const istio = hasIstioTags ? [...DRY_RUN_TAGS, ...identityTags(view)] : [];
  const sampling = tracer?.decidesItself === true ? 100 : (plan.sampling ?? proxySampling(own));
  return compact({
    clientSampling: { value: 100 },
    randomSampling: { value: sampling },
    overallSampling: { value: 100 },
    maxPathTagLength: maxLength > 0 ? maxLength : undefined,
    customTags: [...tags, ...istio].toSorted((a, b) => byText(String(a["tag"]), String(b["tag"]))),
    provider: tracer?.json,
    spawnUpstreamSpan:
      tracer !== undefined && (tracer.hasUpstreamSpans || view.proxy.type === "router") ? true : undefined,
  });
}

/** Above 100 percent counts as 1, as in istiod. */
function proxySampling({ sampling = 0 }: WrittenTracing): number {
  if (sampling === 0) return DEFAULT_SAMPLING_PERCENT;
  return sampling > 100 ? 1 : sampling;
}

function reportWithout(view: View, provider: string, extension: string): void {
  view.problems.push({
    code: "no-effect",
    level: "warning",
    path: `extensionProviders[${provider}]`,
    message: `Nothing is traced by proxies without ${extension}, as ${view.proxy.name}.${view.proxy.namespace} is.`,
    object: "MeshConfig",
  });
}

function reportAbsent(view: View, provider: ExtensionProvider): void {
  const name = provider.name ?? "";
  const service = (provider.zipkin ?? provider.opentelemetry ?? provider.datadog ?? provider.skywalking)?.service;
  const reason =
    service === undefined
      ? "it is none of zipkin, opentelemetry, datadog and skywalking"
      : `there is no service ${service} (or it is in several namespaces: write namespace/host). Add it as a Service or ServiceEntry`;
  view.problems.push({
    code: "no-effect",
    level: "warning",
    path: `extensionProviders[${name}]`,
    message: `Nothing is traced with the provider ${name}: ${reason}.`,
    object: "MeshConfig",
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
