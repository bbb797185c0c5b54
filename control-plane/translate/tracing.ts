/** Tracing of an HTTP connection manager: sampling and the tags that say who the proxy is. */
import { compact, type JsonObject } from "./json.ts";
import type { View } from "./view.ts";

/** PILOT_TRACE_SAMPLING */
const DEFAULT_SAMPLING_PERCENT = 1;

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

/** Undefined with `enableTracing: false`. */
export function tracing(view: View): JsonObject | undefined {
  if (!view.mesh.meshConfig.enableTracing) return undefined;
  return compact({
    clientSampling: { value: 100 },
    randomSampling: { value: DEFAULT_SAMPLING_PERCENT },
    overallSampling: { value: 100 },
    customTags: [...DRY_RUN_TAGS, ...identityTags(view)],
  });
}

function identityTags(view: View): readonly JsonObject[] {
  const { proxy, labels } = view;
  const meshId = proxy.metadata["MESH_ID"];
  const canonicalName =
    labels["service.istio.io/canonical-name"] ??
    labels["app.kubernetes.io/name"] ??
    labels["app"] ??
    view.workload?.workloadName ??
    "unknown";
  const revision =
    labels["service.istio.io/canonical-revision"] ??
    labels["app.kubernetes.io/version"] ??
    labels["version"] ??
    "latest";
  const values: readonly (readonly [string, string])[] = [
    ["istio.canonical_revision", revision],
    ["istio.canonical_service", canonicalName],
    ["istio.cluster_id", proxy.clusterId === "" ? "unknown" : proxy.clusterId],
    ["istio.mesh_id", typeof meshId === "string" && meshId !== "" ? meshId : "unknown"],
    ["istio.namespace", proxy.namespace],
  ];
  return values.map(([tag, value]) => ({ tag, literal: { value } }));
}
