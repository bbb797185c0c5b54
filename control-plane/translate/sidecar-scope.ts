/** The Sidecar object of a proxy: which hosts it sees on which listener (rules 5–10). */
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { hostsMatch, isSubsetOf } from "./hosts.ts";
import { isEmptySelector, type Labels, selects } from "./labels.ts";
import type { EgressListener, Scope, ScopedPort, ScopedService } from "./scope.ts";
import { tablesOf } from "./scope-tables.ts";
import { specOf } from "./spec/spec.ts";
import type { SidecarEgress, SidecarSpec } from "./spec/sidecar.ts";
import type { VirtualService } from "./virtual-service.ts";

/** The workload's own Sidecar, its namespace's, the root namespace's; undefined: none. The oldest of a level counts. */
export function sidecarFor(mesh: MeshIndex, namespace: string, labels: Labels): MeshObject | undefined {
  const all = mesh.objects<SidecarSpec>("Sidecar");
  const selector = (object: MeshObject): Labels | undefined => specOf<SidecarSpec>(object).workloadSelector?.labels;
  const own = all.filter((object) => object.metadata.namespace === namespace);
  return (
    own.find((object) => !isEmptySelector(selector(object)) && selects(selector(object), labels)) ??
    own.find((object) => isEmptySelector(selector(object))) ??
    all.find((o) => o.metadata.namespace === mesh.meshConfig.rootNamespace && isEmptySelector(selector(o)))
  );
}

/** `everything` without a Sidecar, narrowed to what the object lists. */
export function narrowedScope(everything: Scope, sidecar: MeshObject): Scope {
  const spec = specOf<SidecarSpec>(sidecar);
  const [all] = everything.egress;
  const written = spec.egress ?? [];
  const egress =
    written.length === 0 || all === undefined
      ? everything.egress
      : written.map((item) => egressListener(item, all, everything.namespace));
  const services = written.length === 0 ? everything.services : importedServices(egress, everything);
  const policy = spec.outboundTrafficPolicy?.mode;
  return {
    namespace: everything.namespace,
    sidecar,
    services,
    ...tablesOf(services),
    egress,
    allowsUnknownTraffic: policy === undefined ? everything.allowsUnknownTraffic : policy === "ALLOW_ANY",
  };
}

function egressListener(item: SidecarEgress, all: EgressListener, namespace: string): EgressListener {
  const hosts = importsOf(item.hosts ?? [], namespace);
  const number = item.port?.number ?? 0;
  const isProxy = item.port?.protocol?.toUpperCase() === "HTTP_PROXY";
  const services = all.services.filter((service) => imports(hosts, service.model.namespace, [service.host]));
  return {
    port: number === 0 ? undefined : item.port,
    bind: item.bind === "" ? undefined : item.bind,
    captures: item.captureMode !== "NONE",
    services: number === 0 || isProxy ? services : services.flatMap((service) => withPorts(service, [number]) ?? []),
    virtualServices: all.virtualServices.filter(({ namespace: own, hosts: names, isGatewayApi }) =>
      imports(hosts, own, names, isGatewayApi),
    ),
  };
}

interface Import {
  readonly namespace: string;
  readonly host: string;
  readonly excludes: boolean;
}

/** `namespace/host`; `.` the proxy's own namespace, `~/*` nothing, `~namespace/host` all but that. */
function importsOf(hosts: readonly string[], ownNamespace: string): readonly Import[] {
  return hosts.flatMap((text) => {
    const slash = text.indexOf("/");
    const [space, host] = slash < 0 ? ["*", text] : [text.slice(0, slash), text.slice(slash + 1)];
    if (space === "~") return [];
    const excludes = space.startsWith("~");
    const name = excludes ? space.slice(1) : space;
    return [{ namespace: name === "." ? ownNamespace : name, host, excludes }];
  });
}

/** A route of the Gateway API must lie within an import whole, a VirtualService need only touch it. */
function imports(wanted: readonly Import[], namespace: string, hosts: readonly string[], whole = false): boolean {
  const isHeld = (item: Import, host: string): boolean =>
    whole ? isSubsetOf(host, item.host) : hostsMatch(item.host, host);
  const holds = (item: Import): boolean =>
    (item.namespace === "*" || item.namespace === namespace) && hosts.some((host) => isHeld(item, host));
  return wanted.some((item) => !item.excludes && holds(item)) && !wanted.some((item) => item.excludes && holds(item));
}

/** Undefined when none of the ports is there. */
function withPorts(service: ScopedService, numbers: readonly number[]): readonly ScopedService[] | undefined {
  const ports = service.ports.filter(({ number }) => numbers.includes(number));
  return ports.length === 0 ? undefined : [{ ...service, ports }];
}

/** What the listeners hold, and where their VirtualServices lead (rule 6). */
function importedServices(egress: readonly EgressListener[], everything: Scope): readonly ScopedService[] {
  const result = new Map<string, ScopedService>();
  for (const listener of egress) {
    for (const service of listener.services) result.set(service.host, joined(result.get(service.host), service));
  }
  const listed = new Set(result.keys());
  for (const virtualService of egress.flatMap((listener) => listener.virtualServices)) {
    for (const [host, ports] of destinationsOf(virtualService)) {
      const service = everything.byAnyName.get(host);
      if (service === undefined || listed.has(service.host)) continue;
      const narrowed = ports.includes(0) ? [service] : (withPorts(service, ports) ?? []);
      for (const item of narrowed) result.set(item.host, joined(result.get(item.host), item));
    }
  }
  return [...result.values()];
}

function joined(known: ScopedService | undefined, service: ScopedService): ScopedService {
  if (known === undefined) return service;
  const ports = new Map<number, ScopedPort>([...known.ports, ...service.ports].map((port) => [port.number, port]));
  return { ...known, ports: [...ports.values()] };
}

/** Hosts of all routes and mirrors, with their ports; 0 for a destination that names none. */
function destinationsOf({ http, spec }: VirtualService): ReadonlyMap<string, readonly number[]> {
  const result = new Map<string, number[]>();
  const add = (host: string | undefined, port: number | undefined): void => {
    if (host === undefined) return;
    const list = result.get(host) ?? [];
    list.push(port ?? 0);
    result.set(host, list);
  };
  const routes = [...http, ...(spec.tcp ?? []), ...(spec.tls ?? [])].flatMap((rule) => rule.route ?? []);
  for (const { destination } of routes) add(destination?.host, destination?.port?.number);
  for (const rule of http) {
    for (const mirror of [rule.mirror, ...(rule.mirrors ?? []).map(({ destination }) => destination)]) {
      add(mirror?.host, mirror?.port?.number);
    }
  }
  return result;
}
