/** CDS of gRPC without a proxy: an EDS cluster for each name that is asked for, with what gRPC understands of a policy. */
import { isEdsService } from "./discovery-type.ts";
import { grpcClientSocket } from "./grpc-tls.ts";
import { portNumbered } from "./grpc-proxyless.ts";
import { byText, compact, type JsonObject } from "./json.ts";
import { loadBalancing } from "./load-balancer.ts";
import { type OutboundClusterKey, parseOutboundCluster } from "./names.ts";
import type { DestinationRule } from "./destination-rule.ts";
import { destinationRuleOf, type ScopedService } from "./scope.ts";
import { ADS_SOURCE } from "./secrets.ts";
import { serviceAccountsOf } from "./service-accounts.ts";
import { effectivePolicy, type EffectivePolicy } from "./traffic-policy.ts";
import { report, type View } from "./view.ts";

/** Sorted by name; a subset that no DestinationRule defines gives nothing, a service that is not known an empty cluster. */
export function grpcClusters(view: View, names: readonly string[]): readonly JsonObject[] {
  const result: JsonObject[] = [];
  for (const name of [...new Set(names)].toSorted(byText)) {
    const key = parseOutboundCluster(name);
    const cluster = key === undefined || key.isSni ? undefined : clusterOf(view, name, key);
    if (cluster !== undefined) result.push(cluster);
  }
  return result;
}

function clusterOf(view: View, name: string, key: OutboundClusterKey): JsonObject | undefined {
  const service = view.scope.servicesByHost.get(key.host);
  const bare = { name, type: "EDS", edsClusterConfig: { serviceName: name, edsConfig: ADS_SOURCE } };
  if (service === undefined || portNumbered(service, key.port) === undefined) {
    return key.subset === "" ? bare : undefined;
  }
  const rule = destinationRuleOf(view.mesh, view.scope, service.model, view.labels);
  if (key.subset !== "" && !(rule?.subsets ?? []).some((subset) => subset.name === key.subset)) return undefined;
  const policy = effectivePolicy(rule, key.subset, key.port, view.mesh.meshConfig);
  reportLimits(view, service, rule, policy);
  const maxRequests = policy.connectionPool?.http?.http2MaxRequests ?? 0;
  return compact({
    ...bare,
    ...balancing(policy),
    circuitBreakers: maxRequests > 0 ? { thresholds: [{ maxRequests }] } : undefined,
    transportSocket: policy.tls?.mode === "ISTIO_MUTUAL" ? mutualTls(view, service, policy) : undefined,
  });
}

/** Round robin, which is gRPC's own, unless it is told otherwise. */
function balancing({ loadBalancer }: EffectivePolicy): JsonObject {
  if (loadBalancer?.consistentHash !== undefined) return loadBalancing(loadBalancer);
  return loadBalancer?.simple === "LEAST_REQUEST" ? { lbPolicy: "LEAST_REQUEST" } : {};
}

/** Differs from istiod: the names that a rule writes count here too, as they do for a sidecar. */
function mutualTls(view: View, service: ScopedService, { tls }: EffectivePolicy): JsonObject {
  const written = tls?.subjectAltNames ?? [];
  return grpcClientSocket(written.length > 0 ? written : serviceAccountsOf(view.mesh, service));
}

const BALANCERS: ReadonlySet<string | undefined> = new Set([
  undefined,
  "UNSPECIFIED",
  "ROUND_ROBIN",
  "LEAST_REQUEST",
  "LEAST_CONN",
]);

/** What istiod leaves out for gRPC without a word. */
function reportLimits(
  view: View,
  service: ScopedService,
  rule: DestinationRule | undefined,
  policy: EffectivePolicy,
): void {
  const who = `${view.proxy.name}.${view.proxy.namespace}, which is gRPC without a proxy`;
  if (!isEdsService(view, service, policy)) {
    const message = `${service.host} is found by DNS, which ${who}, is not sent endpoints of. Let it call a sidecar, or give the addresses.`;
    report(view, "warning", "no-effect", service.model.object, "spec.resolution", message);
  }
  if (rule === undefined) return;
  const path = "spec.trafficPolicy";
  const say = (field: string, message: string): void =>
    report(view, "warning", "no-effect", rule.object, `${path}.${field}`, message);
  const { loadBalancer, tls, outlierDetection } = policy;
  if (loadBalancer?.consistentHash === undefined && !BALANCERS.has(loadBalancer?.simple)) {
    say("loadBalancer", `${loadBalancer?.simple} is not for ${who}: it balances by ROUND_ROBIN.`);
  }
  if (tls?.mode === "SIMPLE" || tls?.mode === "MUTUAL") {
    say("tls", `${tls.mode} is not for ${who}: its calls are plaintext, as with istiod. Use ISTIO_MUTUAL.`);
  }
  if (outlierDetection !== undefined) {
    say("outlierDetection", `it is not for ${who}: nothing is ejected, as with istiod.`);
  }
}
