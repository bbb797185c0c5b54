/** Which Services serve a Gateway, and at which addresses. */
import { ipFamily } from "../model/ip.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import { fieldsOf, listOf, stringOf, stringsOf } from "../model/read-fields.ts";
import { serviceHost } from "../model/service-from-kubernetes.ts";
import type { ServiceModel } from "../model/service.ts";
import { inWords, type StatusError } from "./conditions.ts";
import type { GatewayModel } from "./read-gateway.ts";

const NAME_OVERRIDE = "gateway.istio.io/name-override";
const SERVICE_ACCOUNT = "gateway.istio.io/service-account";
const ADDRESS_TYPE = "networking.istio.io/address-type";
const MANAGED_LABEL = "gateway.istio.io/managed";

export interface GatewayServices {
  /** Hosts of Services, of the Gateway's own namespace if they are to count. */
  readonly hosts: readonly string[];
  /** The account of the pods that an automatic deployment makes; undefined: any. */
  readonly serviceAccount: string | undefined;
  readonly error?: StatusError;
}

/** Without an address, or with one IP, an automatic deployment serves it: `<gateway>-<class>`. */
export function gatewayServices({ object, name, namespace, className, addresses }: GatewayModel): GatewayServices {
  const [only, more] = addresses;
  if (only === undefined || (more === undefined && only.type === "IPAddress")) {
    const { annotations } = object.metadata;
    const automatic = `${name}-${className}`;
    return {
      hosts: [serviceHost(annotations[NAME_OVERRIDE] ?? automatic, namespace)],
      serviceAccount: annotations[SERVICE_ACCOUNT] ?? automatic,
    };
  }
  const named = addresses.filter(({ type }) => type === "Hostname").map(({ value }) => value);
  const skipped = addresses.filter(({ type }) => type !== "Hostname").map(({ value }) => value);
  const hosts = named.map((host) => (host.includes(".") ? host : serviceHost(host, namespace)));
  if (skipped.length === 0) return { hosts, serviceAccount: undefined };
  const message = `only addresses of type Hostname count beside others: ${skipped.join(", ")} has no effect`;
  return { hosts, serviceAccount: undefined, error: { reason: "UnsupportedAddress", message } };
}

export interface ResolvedAddresses {
  readonly addresses: readonly { readonly type: string; readonly value: string }[];
  readonly message: string;
  readonly error?: StatusError;
}

/** What `Programmed` and `addresses` say. */
export function resolveAddresses(
  mesh: MeshIndex,
  gateway: GatewayModel,
  hosts: readonly string[],
  ports: readonly number[],
): ResolvedAddresses {
  const found: Found = { internal: new Set(), addresses: new Set(), external: new Set(), pending: new Set() };
  const warnings = new Set<string>();
  let areUsable = true;
  for (const host of hosts) {
    const services = mesh.servicesByHost(host);
    const service = services.find(({ namespace }) => namespace === gateway.namespace);
    if (service === undefined) {
      const elsewhere = services.map(({ namespace }) => namespace).toSorted();
      const place =
        elsewhere.length === 0 ? "" : ` in namespace ${gateway.namespace}; it is in ${elsewhere.join(", ")}`;
      warnings.add(`there is no Service ${host}${place}`);
      areUsable = false;
      continue;
    }
    for (const port of ports) {
      const { warning, isUsable } = resolvePort(mesh, service, port, found);
      if (warning !== undefined) warnings.add(warning);
      areUsable &&= isUsable;
    }
  }
  const internal = inWords([...found.internal].toSorted());
  const message = internal === "" ? "Resource programmed" : `Resource programmed, assigned to service(s) ${internal}`;
  const addresses = reported(gateway, found);
  if (hosts.length === 0) {
    const error = { reason: "UnsupportedAddress", message: "Failed to assign to any requested addresses" };
    return { addresses, message, error };
  }
  if (warnings.size === 0) return { addresses, message };
  const what =
    internal === ""
      ? "Failed to assign to any requested addresses"
      : `Assigned to service(s) ${internal}, but failed to assign to all requested addresses`;
  const reason = areUsable ? "AddressNotAssigned" : "AddressNotUsable";
  return { addresses, message, error: { reason, message: `${what}: ${[...warnings].toSorted().join("; ")}` } };
}

interface Found {
  /** `host:port` */
  readonly internal: Set<string>;
  readonly addresses: Set<string>;
  readonly external: Set<string>;
  /** Hosts of load balancers without an address. */
  readonly pending: Set<string>;
}

function resolvePort(
  mesh: MeshIndex,
  service: ServiceModel,
  port: number,
  found: Found,
): { readonly warning?: string; readonly isUsable: boolean } {
  const { host } = service;
  const instances = mesh.instancesOf(service);
  if (instances.some(({ servicePort }) => servicePort === port)) {
    found.internal.add(`${host}:${port}`);
    for (const address of service.addresses) found.addresses.add(address);
    const external = externalAddresses(service);
    for (const address of external) found.external.add(address);
    if (external.length > 0 || fieldsOf(service.object.spec)["type"] !== "LoadBalancer") return { isUsable: true };
    found.pending.add(host);
    return { warning: `the load balancer of ${host} has no address yet`, isUsable: true };
  }
  if (instances.length === 0) return { warning: `no instances of ${host} are there`, isUsable: true };
  const meant = new Set(instances.filter((item) => item.port === port).map(({ servicePort }) => servicePort));
  if (meant.size > 0) {
    const hint = `name the Service's port ${[...meant].toSorted((one, other) => one - other).join(", ")}, not the workload's`;
    return { warning: `port ${port} of ${host} is not there: ${hint}`, isUsable: false };
  }
  // Of an automatic deployment the endpoints are just late.
  const isLate = service.labels[MANAGED_LABEL] !== undefined && service.ports.some(({ number }) => number === port);
  return isLate ? { isUsable: true } : { warning: `port ${port} of ${host} is not there`, isUsable: false };
}

function externalAddresses({ object }: ServiceModel): readonly string[] {
  const ingress = listOf(fieldsOf(fieldsOf(object.raw["status"])["loadBalancer"])["ingress"]).map(fieldsOf);
  const balanced = ingress.map(({ ip, hostname }) => stringOf(ip) ?? stringOf(hostname));
  return [...balanced.filter((address) => address !== undefined), ...stringsOf(fieldsOf(object.spec)["externalIPs"])];
}

/** External addresses, else the names of the Services (or their IPs, where an annotation asks for them). */
function reported({ object }: GatewayModel, found: Found): ResolvedAddresses["addresses"] {
  const wanted = object.metadata.annotations[ADDRESS_TYPE] ?? "Hostname";
  const values = found.external.size > 0 ? found.external : new Set<string>();
  if (values.size === 0) {
    if (wanted !== "Hostname") for (const address of found.addresses) values.add(address);
    if (wanted !== "IPAddress") {
      for (const place of found.internal) {
        const host = place.slice(0, place.lastIndexOf(":"));
        if (!found.pending.has(host)) values.add(host);
      }
    }
  }
  return [...values].toSorted().map((value) => ({ type: ipFamily(value) === 0 ? "Hostname" : "IPAddress", value }));
}
