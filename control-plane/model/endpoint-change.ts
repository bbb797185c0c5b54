/** Telling a change of endpoints from every other: most changes of a mesh are Pods that come, go and become ready. */
import { GATEWAY_API } from "../gateway-api/names.ts";
import type { EndpointVersions, MeshIndex } from "./mesh-index.ts";
import { objectKey, type MeshObject } from "./object.ts";
import { fieldsOf, listOf, matchesLabels, stringOf } from "./read-fields.ts";
import type { ServiceModel } from "./service.ts";

/** Kinds that say who stands behind a service. */
const ENDPOINT_KINDS: ReadonlySet<string> = new Set(["/Pod", "discovery.k8s.io/EndpointSlice", "/Endpoints"]);

export interface IndexedObjects {
  readonly mesh: MeshIndex;
  readonly objects: readonly MeshObject[];
}

/**
 * `next` with the shape of `before` where only endpoints differ: then services, routes and policies are the very same
 * values, and `endpointVersions` tells whose endpoints changed. Otherwise `next` as it is, which is a new shape.
 */
export function withShapeOf(before: IndexedObjects, next: IndexedObjects): MeshIndex {
  const changed = changedEndpointObjects(before, next.objects);
  if (changed === undefined || !isSameConfig(before.mesh, next.mesh)) return next.mesh;
  const services = affectedServices(before.mesh, changed);
  const same: MeshIndex = {
    ...next.mesh,
    shape: before.mesh.shape,
    meshConfig: before.mesh.meshConfig,
    services: before.mesh.services,
    servicesByHost: (host) => before.mesh.servicesByHost(host),
  };
  // Headless services have listeners and names by endpoint; accounts are in the TLS settings of clusters.
  const isMore = services.some((service) => service.isHeadless || !haveSameAccounts(before.mesh, same, service));
  if (isMore) return next.mesh;
  return { ...same, endpointVersions: nextVersions(before.mesh, same, services, changed) };
}

/** Undefined when anything else differs. */
function changedEndpointObjects(
  before: IndexedObjects,
  next: readonly MeshObject[],
): readonly MeshObject[] | undefined {
  const known = new Map(before.objects.map((object) => [objectKey(object), object]));
  const changed: MeshObject[] = [];
  for (const object of next) {
    if (object.group === GATEWAY_API) return undefined;
    const key = objectKey(object);
    const earlier = known.get(key);
    known.delete(key);
    if (earlier === object) continue;
    if (!isEndpointObject(object)) {
      if (earlier === undefined || !isSameText(earlier, object)) return undefined;
      continue;
    }
    if (earlier !== undefined && isSameText(earlier, object)) continue;
    if (earlier !== undefined && object.kind === "Pod" && !isOnlyStatus(earlier, object)) return undefined;
    changed.push(object, ...(earlier === undefined ? [] : [earlier]));
  }
  for (const gone of known.values()) {
    if (!isEndpointObject(gone)) return undefined;
    changed.push(gone);
  }
  return changed;
}

function isEndpointObject({ group, kind }: MeshObject): boolean {
  return ENDPOINT_KINDS.has(`${group}/${kind}`);
}

/** The same words in the same place: findings name lines. */
function isSameText(one: MeshObject, other: MeshObject): boolean {
  const [a, b] = [one.source.location, other.source.location];
  return a.file === b.file && a.line === b.line && JSON.stringify(one.raw) === JSON.stringify(other.raw);
}

function isOnlyStatus(one: MeshObject, other: MeshObject): boolean {
  const rest = ({ raw }: MeshObject): string => JSON.stringify({ ...raw, status: undefined });
  return rest(one) === rest(other);
}

function isSameConfig(one: MeshIndex, other: MeshIndex): boolean {
  return JSON.stringify(one.meshConfig.raw) === JSON.stringify(other.meshConfig.raw);
}

function affectedServices(mesh: MeshIndex, changed: readonly MeshObject[]): readonly ServiceModel[] {
  const bySlice = new Set<string>();
  const podsIn = new Map<string, MeshObject[]>();
  for (const object of changed) {
    const { namespace, name, labels } = object.metadata;
    if (object.kind === "EndpointSlice") bySlice.add(`${namespace}/${labels["kubernetes.io/service-name"] ?? ""}`);
    else if (object.kind === "Endpoints") bySlice.add(`${namespace}/${name}`);
    else podsIn.set(namespace, [...(podsIn.get(namespace) ?? []), object]);
  }
  return mesh.services.filter(({ namespace, name, selector }) => {
    if (bySlice.has(`${namespace}/${name}`)) return true;
    const pods = podsIn.get(namespace);
    // A Service without selector may name Pods in its slices.
    return (
      pods !== undefined && (selector === undefined || pods.some((pod) => matchesLabels(selector, pod.metadata.labels)))
    );
  });
}

function haveSameAccounts(before: MeshIndex, next: MeshIndex, service: ServiceModel): boolean {
  const accounts = (mesh: MeshIndex): string =>
    [...new Set(mesh.instancesOf(service).map(({ workload }) => workload.serviceAccount))].toSorted().join(" ");
  return accounts(before) === accounts(next);
}

function nextVersions(
  before: MeshIndex,
  next: MeshIndex,
  services: readonly ServiceModel[],
  changed: readonly MeshObject[],
): EndpointVersions {
  const hosts = new Map(before.endpointVersions.hosts);
  const workloads = new Map(before.endpointVersions.workloads);
  const version = {};
  for (const service of services) {
    hosts.set(service.host, version);
    for (const { workload } of [...before.instancesOf(service), ...next.instancesOf(service)]) {
      if (changed.some((object) => concerns(object, workload.namespace, workload.name)))
        workloads.set(`${workload.namespace}/${workload.name}`, version);
    }
  }
  return { hosts, workloads };
}

/** A Pod of its own, or a slice that names it. */
function concerns(object: MeshObject, namespace: string, name: string): boolean {
  if (object.metadata.namespace !== namespace) return false;
  if (object.kind === "Pod") return object.metadata.name === name;
  const ends = [...listOf(object.raw["endpoints"]), ...listOf(object.raw["subsets"])].map(fieldsOf);
  const targets = ends.flatMap((end) => [
    end["targetRef"],
    ...listOf(end["addresses"]).map((item) => fieldsOf(item)["targetRef"]),
  ]);
  return targets.some((target) => stringOf(fieldsOf(target)["name"]) === name);
}

/** What of two meshes of one shape differs. */
export interface EndpointChange {
  readonly hosts: ReadonlySet<string>;
  /** `namespace/name` of the Pods whose own ports may have changed. */
  readonly workloads: ReadonlySet<string>;
}

/** Undefined for meshes of two shapes: anything may differ. */
export function endpointChange(before: MeshIndex, next: MeshIndex): EndpointChange | undefined {
  if (before.shape !== next.shape) return undefined;
  const changed = (one: ReadonlyMap<string, object>, other: ReadonlyMap<string, object>): ReadonlySet<string> =>
    new Set([...other].filter(([key, version]) => one.get(key) !== version).map(([key]) => key));
  return {
    hosts: changed(before.endpointVersions.hosts, next.endpointVersions.hosts),
    workloads: changed(before.endpointVersions.workloads, next.endpointVersions.workloads),
  };
}
