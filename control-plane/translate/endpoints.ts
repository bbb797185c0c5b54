/** ClusterLoadAssignments: who stands behind a cluster, by locality (rules 47–49, 56, 57, 97). */
import type { ServiceInstance } from "../model/mesh-index.ts";
import { byText, compact, type JsonObject } from "./json.ts";
import { selects } from "./labels.ts";
import {
  distributedWeights,
  failoverPriority,
  labelPriority,
  type Locality,
  localityPlan,
  type LocalityPlan,
  REGION,
  SUBZONE,
  ZONE,
} from "./locality.ts";
import { meshSni, type OutboundClusterKey, outboundCluster, parseOutboundCluster } from "./names.ts";
import { mtlsModeOfPort, mtlsOf } from "./peer-authentication.ts";
import { destinationRuleOf, instancesOfPort, type ScopedPort, type ScopedService } from "./scope.ts";
import { effectivePolicy, type EffectivePolicy, endpointTlsMode } from "./traffic-policy.ts";
import type { DestinationRule } from "./destination-rule.ts";
import type { ClientTls } from "./spec/destination-rule.ts";
import type { View } from "./view.ts";
import { isEdsService } from "./discovery-type.ts";
import { memoizedBy } from "./memo.ts";
import { outboundView } from "./outbound-class.ts";
import { reachableInstances } from "./split-horizon.ts";

/** Answers for the EDS clusters among `names`; sorted by name. */
export function endpoints(view: View, names: readonly string[]): readonly JsonObject[] {
  const result: JsonObject[] = [];
  const shared = outboundView(view);
  for (const name of [...new Set(names)].toSorted(byText)) {
    const assignment = sharedAssignment(shared, name);
    if (assignment !== undefined) result.push(assignment);
  }
  return result;
}

const sharedAssignment = memoizedBy((view: View, name: string): JsonObject | undefined => {
  const key = parseOutboundCluster(name);
  return key === undefined ? undefined : assignmentOfKey(view, key);
});

function assignmentOfKey(view: View, key: OutboundClusterKey): JsonObject | undefined {
  const service = view.scope.servicesByHost.get(key.host);
  const port = service?.ports.find((candidate) => candidate.number === key.port);
  if (service === undefined || port === undefined) return undefined;
  const rule = destinationRuleOf(view.mesh, view.scope, service.model, view.labels);
  if (key.subset !== "" && !(rule?.subsets ?? []).some((subset) => subset.name === key.subset)) return undefined;
  const policy = effectivePolicy(rule, key.subset, key.port, view.mesh.meshConfig);
  if (!isEdsService(view, service, policy)) return undefined;
  const subset = rule?.subsets.find((candidate) => candidate.name === key.subset);
  const input = { service, port, subset: key.subset, labels: subset?.labels, rule, policy };
  if (!key.isSni) return loadAssignment(view, input);
  // TLS that nobody ends on the way: only who speaks it is an endpoint.
  const clusterName = meshSni(key.port, key.subset, key.host);
  return { ...loadAssignment(view, { ...input, isMeshTlsOnly: true }), clusterName };
}

export interface AssignmentInput {
  readonly service: ScopedService;
  readonly port: ScopedPort;
  readonly subset: string;
  /** Labels of the subset. */
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly rule: DestinationRule | undefined;
  readonly policy: EffectivePolicy;
  readonly isMeshTlsOnly?: boolean;
}

export function loadAssignment(view: View, input: AssignmentInput): JsonObject {
  const { service, port, subset, policy } = input;
  const tlsMode = endpointTlsMode(input.rule, subset, port.number);
  const wanted = instancesOfPort(view.mesh, port).filter(
    (instance) =>
      !instance.terminating &&
      selects(input.labels, instance.workload.labels) &&
      isWanted(instance, policy) &&
      (input.isMeshTlsOnly !== true || speaksMeshTls(view, instance, tlsMode)),
  );
  const plan = localityPlan(service, policy, view.mesh.meshConfig);
  const instances = reachableInstances(view, wanted, (instance) => speaksMeshTls(view, instance, tlsMode));
  const localities = groupsOf(view, instances, plan).map((group) => localityJson(view, group, tlsMode));
  return compact({
    clusterName: outboundCluster(port.number, subset, service.host),
    endpoints: localities.length === 0 ? undefined : localities,
  });
}

/** What is not ready is sent as unhealthy, unless `minHealthPercent` asks for its removal. */
function isWanted(instance: ServiceInstance, policy: EffectivePolicy): boolean {
  return instance.ready || (policy.outlierDetection?.minHealthPercent ?? 0) <= 0;
}

interface Group {
  readonly locality: Locality;
  readonly instances: readonly ServiceInstance[];
  readonly weight: number;
  readonly priority: number;
  /** `distribute` sends nothing here. */
  readonly isEmptied?: boolean;
}

function groupsOf(view: View, instances: readonly ServiceInstance[], plan: LocalityPlan | undefined): readonly Group[] {
  const priorities = prioritiesOf(view, instances, plan);
  const byPlace = Map.groupBy(instances, (instance) => {
    const { region, zone, subZone } = instance.workload.locality;
    return `${String(priorities.get(instance) ?? 0).padStart(3, "0")}/${region}/${zone}/${subZone}`;
  });
  const groups = [...byPlace]
    .toSorted(([a], [b]) => byText(a, b))
    .map(([, members]): Group => {
      const sorted = members.toSorted((a, b) => byText(a.address, b.address) || a.port - b.port);
      const first = sorted[0];
      return {
        locality: first?.workload.locality ?? { region: "", zone: "", subZone: "" },
        instances: sorted,
        weight: sorted.reduce((sum, { weight }) => sum + weight, 0),
        priority: first === undefined ? 0 : (priorities.get(first) ?? 0),
      };
    });
  return plan === undefined ? groups : distributed(view, groups, plan);
}

function distributed(view: View, groups: readonly Group[], plan: LocalityPlan): readonly Group[] {
  const weights = distributedWeights(plan.setting, view.locality, groups);
  if (weights === undefined) return groups;
  return groups.map((group) => {
    const weight = weights.get(group);
    return weight === undefined ? { ...group, isEmptied: true } : { ...group, weight };
  });
}

/** Compacted: 0, 1, 2 … without gaps. */
function prioritiesOf(
  view: View,
  instances: readonly ServiceInstance[],
  plan: LocalityPlan | undefined,
): ReadonlyMap<ServiceInstance, number> {
  if (plan === undefined || !plan.usesPriorities || hasNoLocality(view)) return new Map();
  const keys = plan.setting.failoverPriority ?? [];
  const own =
    keys.length === 0
      ? {}
      : placeLabels(view.labels, view.locality, view.proxy.network, view.proxy.clusterId, nodeName(view));
  const raw = new Map(
    instances.map((instance) => {
      const { workload } = instance;
      const byLabel = keys.length === 0 ? 0 : labelPriority(keys, own, labelsOf(instance));
      const byRegion =
        keys.length > 0 && (plan.setting.failover ?? []).length === 0
          ? 0
          : failoverPriority(plan.setting, view.locality, workload.locality);
      return [instance, byLabel * 10 + byRegion] as const;
    }),
  );
  const ranks = [...new Set(raw.values())].toSorted((a, b) => a - b);
  return new Map([...raw].map(([instance, value]) => [instance, ranks.indexOf(value)]));
}

function hasNoLocality(view: View): boolean {
  return view.locality.region === "" && view.locality.zone === "" && view.locality.subZone === "";
}

function labelsOf({ workload }: ServiceInstance): Readonly<Record<string, string>> {
  const node = (workload.object.spec as { readonly nodeName?: string } | undefined)?.nodeName;
  return placeLabels(workload.labels, workload.locality, workload.network, workload.clusterId, node);
}

function placeLabels(
  labels: Readonly<Record<string, string>>,
  locality: Locality,
  network: string,
  cluster: string,
  node: string | undefined,
): Readonly<Record<string, string>> {
  return {
    ...labels,
    [REGION]: locality.region,
    [ZONE]: locality.zone,
    [SUBZONE]: locality.subZone,
    "topology.istio.io/network": network,
    "topology.istio.io/cluster": cluster,
    "kubernetes.io/hostname": node ?? "",
  };
}

function nodeName(view: View): string | undefined {
  const said = view.proxy.metadata["NODE_NAME"];
  return typeof said === "string" ? said : undefined;
}

function localityJson(view: View, group: Group, tlsMode: ClientTls["mode"] | undefined): JsonObject {
  const { region, zone, subZone } = group.locality;
  return compact({
    locality: compact({ region: region || undefined, zone: zone || undefined, subZone: subZone || undefined }),
    lbEndpoints:
      group.isEmptied === true ? undefined : group.instances.map((instance) => endpointJson(view, instance, tlsMode)),
    loadBalancingWeight: group.weight,
    priority: group.priority === 0 ? undefined : group.priority,
  });
}

function endpointJson(view: View, instance: ServiceInstance, tlsMode: ClientTls["mode"] | undefined): JsonObject {
  const { workload } = instance;
  const isKubernetes = workload.origin === "pod" || workload.origin === "endpoint";
  return compact({
    endpoint: { address: endpointAddress(instance) },
    healthStatus: instance.ready ? (isKubernetes ? "HEALTHY" : undefined) : "UNHEALTHY",
    loadBalancingWeight: instance.weight,
    metadata: {
      filterMetadata: {
        ...(speaksMeshTls(view, instance, tlsMode) && { "envoy.transport_socket_match": { tlsMode: "istio" } }),
        istio: {
          workload: [
            workload.workloadName,
            workload.namespace,
            workload.canonicalName,
            // `latest` is what it means when nothing is said.
            workload.canonicalRevision === "latest" ? "" : workload.canonicalRevision,
            workload.clusterId,
          ].join(";"),
        },
      },
    },
  });
}

function endpointAddress({ address, port }: ServiceInstance): JsonObject {
  if (address.startsWith("unix://")) return { pipe: { path: address.slice("unix://".length) } };
  return { socketAddress: { address, portValue: port } };
}

/** Of the endpoints with a sidecar a DestinationRule's tls decides, else the PeerAuthentication of each (rule 57). */
function speaksMeshTls(view: View, instance: ServiceInstance, tlsMode: ClientTls["mode"] | undefined): boolean {
  const { workload } = instance;
  if (!workload.hasSidecar) return false;
  if (tlsMode !== undefined) return tlsMode === "ISTIO_MUTUAL";
  return mtlsModeOfPort(mtlsOf(view.mesh, workload.namespace, workload.labels), instance.port) !== "DISABLE";
}
