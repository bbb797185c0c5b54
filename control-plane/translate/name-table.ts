/** istio.networking.nds.v1.NameTable: the names that a sidecar's agent answers itself when it captures DNS (§4.1). */
import { ipFamily } from "../model/ip.ts";
import type { ServiceInstance } from "../model/mesh-index.ts";
import { fieldsOf, stringOf } from "../model/read-fields.ts";
import type { JsonObject } from "./json.ts";
import { instancesOfPort, type ScopedService } from "./scope.ts";
import { addressesFor } from "./service-addresses.ts";
import type { View } from "./view.ts";

interface NameInfo {
  ips: readonly string[];
  registry: "Kubernetes" | "External";
  namespace?: string;
  shortname?: string;
}

/** Undefined for a proxy that does not capture DNS (`ISTIO_META_DNS_CAPTURE`). */
export function nameTable(view: View): JsonObject | undefined {
  const captures = view.proxy.metadata["DNS_CAPTURE"];
  if (captures !== true && captures !== "true") return undefined;
  const table = new Map<string, NameInfo>();
  for (const listener of view.scope.egress) {
    for (const service of listener.services) addService(view, service, table);
  }
  return { table: Object.fromEntries([...table].toSorted(([a], [b]) => (a < b ? -1 : 1))) };
}

function addService(view: View, service: ScopedService, table: Map<string, NameInfo>): void {
  const { model } = service;
  const addresses = addressesFor(view, service).filter((address) => ipFamily(address) !== 0);
  const isHeadless = model.isHeadless || service.addresses.length === 0;
  const ips = isHeadless && model.resolution === "passthrough" ? addInstances(view, service, table) : addresses;
  if (ips.length === 0) return;
  const own: NameInfo =
    model.origin === "kubernetes"
      ? { ips, registry: "Kubernetes", namespace: model.namespace, shortname: model.name }
      : { ips, registry: "External" };
  const known = table.get(service.host);
  // A Kubernetes Service counts over a ServiceEntry of its name; ServiceEntries join their addresses.
  if (known === undefined || (known.registry === "External" && own.registry === "Kubernetes"))
    table.set(service.host, own);
  else if (known.registry === "External") known.ips = [...known.ips, ...ips];
}

/** Names of single Pods (`mysql-0.mysql.…`) go into the table; the answer is what the Service's own name stands for. */
function addInstances(
  view: View,
  { host, model, ports }: ScopedService,
  table: Map<string, NameInfo>,
): readonly string[] {
  const publishesAll = fieldsOf(model.object.spec)["publishNotReadyAddresses"] === true;
  const seen = new Set<string>();
  const ips: string[] = [];
  const domain = host.slice(host.indexOf(".") + 1);
  const remote = new Map<string, NameInfo>();
  for (const instance of ports.flatMap((port) => instancesOfPort(view.mesh, port))) {
    const isKnown = seen.has(instance.address);
    if (isKnown || ipFamily(instance.address) === 0 || !(publishesAll || instance.ready)) continue;
    seen.add(instance.address);
    const { network, clusterId } = instance.workload;
    if (network !== "" && view.proxy.network !== "" && network !== view.proxy.network) continue;
    const isLocal = view.proxy.clusterId === "" || clusterId === view.proxy.clusterId;
    const shortname = podName(instance);
    if (shortname !== undefined && model.origin === "kubernetes") {
      const into = isLocal ? table : remote;
      const known = into.get(`${shortname}.${domain}`);
      into.set(`${shortname}.${domain}`, {
        ips: [...(known?.ips ?? []), instance.address],
        registry: "Kubernetes",
        namespace: model.namespace,
        shortname,
      });
    }
    // As Kubernetes' own DNS: a headless name stands for the endpoints of its cluster.
    if (isLocal) ips.push(instance.address);
  }
  for (const [name, info] of remote) if (!table.has(name)) table.set(name, info);
  return ips;
}

/** `hostname.subdomain` of a Pod that has a subdomain (those of a StatefulSet do). */
function podName({ workload }: ServiceInstance): string | undefined {
  if (workload.origin !== "pod") return undefined;
  const spec = fieldsOf(workload.object.spec);
  const subdomain = stringOf(spec["subdomain"]) ?? "";
  return subdomain === "" ? undefined : `${stringOf(spec["hostname"]) || workload.name}.${subdomain}`;
}
