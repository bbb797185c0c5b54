/**
 * What one proxy can see: services, VirtualServices and DestinationRules, by egress listener. Without a Sidecar object
 * this is everything that is exported to its namespace (rule 5).
 */
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { ServiceInstance } from "../model/mesh-index.ts";
import type { ServiceModel, ServicePort } from "../model/service.ts";
import { type DestinationRule, destinationRulesFor, pickDestinationRule } from "./destination-rule.ts";
import { memoized, memoizedByShapeAnd } from "./memo.ts";
import { tablesOf, type ScopeTables } from "./scope-tables.ts";
import { narrowedScope, sidecarFor } from "./sidecar-scope.ts";
import { consumersFirst, resolvedVirtualServices, type VirtualService } from "./virtual-service.ts";
import type { SidecarPort } from "./spec/sidecar.ts";
import { isVisibleTo } from "./visibility.ts";

/** One host as a proxy sees it: the definition that counts, its ports, and who defined each of them (rule 11). */
export interface ScopedService {
  readonly host: string;
  readonly model: ServiceModel;
  readonly addresses: readonly string[];
  readonly ports: readonly ScopedPort[];
  /** ExternalName services that stand for this one. */
  readonly aliases: readonly string[];
}

export interface ScopedPort extends ServicePort {
  readonly owner: ServiceModel;
}

/** One `egress` item of a Sidecar; the default scope has one without port that holds everything. */
export interface EgressListener {
  readonly port: SidecarPort | undefined;
  readonly bind: string | undefined;
  readonly captures: boolean;
  readonly services: readonly ScopedService[];
  readonly virtualServices: readonly VirtualService[];
}

export interface Scope extends ScopeTables {
  readonly namespace: string;
  /** The Sidecar object behind it. */
  readonly sidecar: MeshObject | undefined;
  /** One a host, oldest first; aliases are not among them. */
  readonly services: readonly ScopedService[];
  readonly egress: readonly EgressListener[];
  readonly allowsUnknownTraffic: boolean;
}

/** Proxies that have the same Sidecar in one namespace share their scope. */
export function scopeOf(mesh: MeshIndex, proxy: ProxyNode): Scope {
  const everything = defaultScope(mesh, proxy.namespace);
  const sidecar = proxy.type === "sidecar" ? sidecarFor(mesh, proxy.namespace, proxy.labels) : undefined;
  return sidecar === undefined ? everything : sidecarScopes(everything)(sidecar);
}

const sidecarScopes = memoized((everything: Scope) =>
  memoized((sidecar: MeshObject) => narrowedScope(everything, sidecar)),
);

/** The rule for calls of this proxy to a host; `labels` undefined for what holds regardless of who calls. */
export function destinationRuleOf(
  mesh: MeshIndex,
  scope: Scope,
  service: ServiceModel,
  labels: ProxyNode["labels"] | undefined,
): DestinationRule | undefined {
  const rules = destinationRulesFor(mesh, scope.namespace, service.host, service.namespace);
  return pickDestinationRule(rules, scope.namespace, labels);
}

/** The instances behind one port of a service. */
export function instancesOfPort(mesh: MeshIndex, port: ScopedPort): readonly ServiceInstance[] {
  return instancesByPort(mesh)(port.owner).get(port.number) ?? [];
}

const instancesByPort = memoized((mesh: MeshIndex) =>
  memoized((service: ServiceModel): ReadonlyMap<number, readonly ServiceInstance[]> => {
    return Map.groupBy(mesh.instancesOf(service), (instance) => instance.servicePort);
  }),
);

const defaultScope = memoizedByShapeAnd((mesh: MeshIndex, namespace: string): Scope => {
  const services = visibleServices(mesh, namespace);
  const virtualServices = visibleVirtualServices(mesh, namespace);
  return {
    namespace,
    sidecar: undefined,
    services,
    ...tablesOf(services),
    egress: [{ port: undefined, bind: undefined, captures: true, services, virtualServices }],
    allowsUnknownTraffic: mesh.meshConfig.outboundTrafficPolicy === "ALLOW_ANY",
  };
});

/** VirtualServices on the gateway `mesh` that a namespace sees, its own routes of the Gateway API first, then oldest first. */
export function visibleVirtualServices(mesh: MeshIndex, namespace: string): readonly VirtualService[] {
  const defaults = mesh.meshConfig.defaultVirtualServiceExportTo;
  const visible = resolvedVirtualServices(mesh).filter(
    (virtualService) =>
      virtualService.gateways.includes("mesh") &&
      isVisibleTo(virtualService.spec.exportTo, defaults, virtualService.namespace, namespace),
  );
  return consumersFirst(visible, namespace);
}

/** One definition a host: own namespace, then Kubernetes, then the oldest (rule 11). */
export const visibleServices: (mesh: MeshIndex, namespace: string) => readonly ScopedService[] = memoizedByShapeAnd(
  (mesh: MeshIndex, namespace: string): readonly ScopedService[] => {
    const defaults = mesh.meshConfig.defaultServiceExportTo;
    const visible = mesh.services.filter((service) =>
      isVisibleTo(service.exportTo, defaults, service.namespace, namespace),
    );
    const byHost = Map.groupBy(visible, (service) => service.host);
    const aliases = aliasesByTarget(visible);
    const result: ScopedService[] = [];
    for (const service of visible) {
      const definitions = byHost.get(service.host);
      if (definitions === undefined) continue;
      byHost.delete(service.host);
      const first = preferred(definitions, namespace);
      if (first.resolution === "alias") continue;
      const merged = definitions.filter((other) => isMergedInto(first, other));
      result.push({
        host: first.host,
        model: first,
        addresses: first.addresses,
        ports: mergedPorts(merged),
        aliases: aliases.get(first.host) ?? [],
      });
    }
    return result;
  },
);

function preferred(definitions: readonly ServiceModel[], namespace: string): ServiceModel {
  const own = definitions.find((service) => service.namespace === namespace);
  const kubernetes = definitions.find((service) => service.origin === "kubernetes");
  const chosen = own ?? kubernetes ?? definitions[0];
  if (chosen === undefined) throw new Error("a host without a definition");
  return chosen;
}

function isMergedInto(first: ServiceModel, other: ServiceModel): boolean {
  if (other === first) return true;
  return first.origin === "service-entry" && other.origin === "service-entry" && other.namespace === first.namespace;
}

function mergedPorts(definitions: readonly ServiceModel[]): readonly ScopedPort[] {
  const ports = new Map<number, ScopedPort>();
  for (const owner of definitions) {
    for (const port of owner.ports) {
      if (!ports.has(port.number)) ports.set(port.number, { ...port, owner });
    }
  }
  return [...ports.values()];
}

/** ExternalName → the hosts that stand for a target, through chains of them (rule 87). */
function aliasesByTarget(services: readonly ServiceModel[]): ReadonlyMap<string, readonly string[]> {
  const targets = new Map<string, string>();
  for (const service of services) {
    if (service.resolution === "alias" && service.externalName !== undefined) {
      targets.set(service.host, service.externalName);
    }
  }
  const result = new Map<string, string[]>();
  for (const alias of targets.keys()) {
    let target = alias;
    for (let hops = 0; hops < 10 && targets.has(target); hops += 1) target = targets.get(target) ?? target;
    const list = result.get(target) ?? [];
    list.push(alias);
    result.set(target, list);
  }
  return result;
}
