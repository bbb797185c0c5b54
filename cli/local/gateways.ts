/**
 * The gateways of a local mesh: workloads that Gateways select, and those that a cluster would have from Istio's
 * installation, which manifests only speak of. Pure.
 */
import type { MeshObject } from "#control-plane/model/object.ts";
import { apiGateways, type GatewayDeployment } from "./gateway-api.ts";
import { type PlannedInstance, type PlannedPort, type PlannedServer, type PlannedService, selects } from "./planned.ts";

type Labels = Readonly<Record<string, string>>;
type Struct = Readonly<Record<string, unknown>>;

/** Labels of Istio's own gateways. */
const GATEWAY_NAMES = new Set(["ingressgateway", "egressgateway", "eastwestgateway"]);

/** Where Istio's installation puts its gateways. */
const GATEWAY_NAMESPACE = "istio-system";

interface GatewayObject {
  readonly name: string;
  /** Only workloads there serve it; absent: of all namespaces. */
  readonly namespace?: string;
  readonly selector: Labels;
  readonly servers: readonly Omit<PlannedServer, "listenPort">[];
  /** What istiod would deploy for it. */
  readonly deployment?: GatewayDeployment | undefined;
}

/** Whether an instance is a gateway; one that `glassmesh.yaml` gives a process of its own is an application. */
export function isGatewayInstance(
  instance: Pick<PlannedInstance, "labels" | "local" | "namespace">,
  objects: readonly MeshObject[],
): boolean {
  const { labels, local } = instance;
  if (local?.command !== undefined || local?.address !== undefined) return false;
  if (GATEWAY_NAMES.has(labels["istio"] ?? "")) return true;
  return gatewayObjects(objects).some(
    (gateway) => Object.keys(gateway.selector).length > 0 && serves(instance, gateway),
  );
}

function serves({ labels, namespace }: Pick<PlannedInstance, "labels" | "namespace">, gateway: GatewayObject): boolean {
  if (gateway.namespace !== undefined && gateway.namespace !== namespace) return false;
  return Object.keys(gateway.selector).length === 0 || selects(gateway.selector, labels);
}

/** The gateways of an installation that Gateways select and that no manifest brings, with the Service of each that has none. */
export function missingGateways(
  objects: readonly MeshObject[],
  instances: readonly PlannedInstance[],
  services: readonly PlannedService[],
): { readonly instances: readonly PlannedInstance[]; readonly services: readonly PlannedService[] } {
  const made: PlannedInstance[] = [];
  const madeServices: PlannedService[] = [];
  for (const gateway of gatewayObjects(objects)) {
    const { selector, servers, deployment, namespace: ownNamespace } = gateway;
    const all = [...instances, ...made].filter((instance) => instance.isGateway);
    if (all.some((instance) => serves(instance, gateway))) continue;
    if (ownNamespace !== undefined) {
      if (deployment === undefined) continue;
      made.push(gatewayInstance(deployment.name, ownNamespace, deployment.labels, deployment.serviceAccount));
      madeServices.push(automaticService(deployment.name, ownNamespace, selector, servers));
      continue;
    }
    const wanted = Object.keys(selector).length === 0 ? { istio: "ingressgateway" } : selector;
    const known = services.find((service) => service.selector !== undefined && selects(wanted, service.selector));
    const name = known?.name ?? nameFrom(wanted);
    const namespace = known?.namespace ?? GATEWAY_NAMESPACE;
    const labels = { app: name, ...known?.selector, ...wanted };
    if (known === undefined) madeServices.push(serviceFor(name, namespace, labels, servers));
    made.push(gatewayInstance(name, namespace, labels, `${name}-service-account`));
  }
  return { instances: made, services: madeServices };
}

function gatewayInstance(name: string, namespace: string, labels: Labels, serviceAccount: string): PlannedInstance {
  return {
    workload: name,
    ownerKind: "Deployment",
    pod: `${name}-0`,
    namespace,
    labels,
    annotations: {},
    serviceAccount,
    hasSidecar: true,
    isGateway: true,
    ports: [],
    env: {},
    local: undefined,
  };
}

/** As istiod deploys it: the ports of the listeners, and no others. */
function automaticService(
  name: string,
  namespace: string,
  selector: Labels,
  servers: GatewayObject["servers"],
): PlannedService {
  const ports = new Map(servers.map(({ port, protocol }) => [port, `${protocol.toLowerCase()}-${port}`]));
  return plannedService(name, namespace, selector, ports, (port) => port);
}

/** `istio: ingressgateway` → `istio-ingressgateway`. */
function nameFrom(selector: Labels): string {
  const { istio, app } = selector;
  if (istio !== undefined) return `istio-${istio}`;
  return app ?? Object.values(selector)[0] ?? "gateway";
}

/** As Istio's chart has it: low ports lead to high ones. */
function serviceFor(
  name: string,
  namespace: string,
  selector: Labels,
  servers: GatewayObject["servers"],
): PlannedService {
  const ports = new Map([
    [80, "http2"],
    [443, "https"],
  ]);
  for (const { port, protocol } of servers) if (!ports.has(port)) ports.set(port, `${protocol.toLowerCase()}-${port}`);
  return plannedService(name, namespace, selector, ports, (port) => (port < 1024 ? port + 8000 : port));
}

function plannedService(
  name: string,
  namespace: string,
  selector: Labels,
  ports: ReadonlyMap<number, string>,
  targetOf: (port: number) => number,
): PlannedService {
  return {
    name,
    namespace,
    host: `${name}.${namespace}.svc.cluster.local`,
    selector,
    isGenerated: true,
    ports: [...ports].map(([number, portName]) => ({
      name: portName,
      number,
      targetPort: targetOf(number),
      protocol: "TCP",
      appProtocol: undefined,
    })),
  };
}

/** The servers that a gateway instance serves, as far as the manifests tell. */
export function serversOf(
  instance: PlannedInstance,
  objects: readonly MeshObject[],
  services: readonly PlannedService[],
): readonly PlannedServer[] {
  const own = services.filter(
    (service) => service.namespace === instance.namespace && selects(service.selector, instance.labels),
  );
  return gatewayObjects(objects)
    .filter((gateway) => serves(instance, gateway))
    .flatMap(({ servers }) => servers.map((server) => ({ ...server, listenPort: listenPort(server.port, own) })));
}

/** The first Service that has the port says what it leads to (rule 104); a named target is left to the containers. */
function listenPort(port: number, services: readonly PlannedService[]): number {
  for (const service of services) {
    const found = service.ports.find(({ number }) => number === port);
    if (typeof found?.targetPort === "number") return found.targetPort;
  }
  return port;
}

/** Ports of the servers, and those that Services lead to: where a server may come later. */
export function portsOfGateway(
  servers: readonly PlannedServer[],
  known: readonly PlannedPort[],
): readonly PlannedPort[] {
  const ports = new Map(known.map((port) => [port.number, port]));
  for (const { listenPort: number } of servers) if (!ports.has(number)) ports.set(number, { name: "", number });
  return [...ports.values()].toSorted((a, b) => a.number - b.number);
}

function gatewayObjects(objects: readonly MeshObject[]): readonly GatewayObject[] {
  return [...istioGateways(objects), ...apiGateways(objects)];
}

function istioGateways(objects: readonly MeshObject[]): readonly GatewayObject[] {
  return objects
    .filter(({ group, kind }) => group === "networking.istio.io" && kind === "Gateway")
    .map(({ metadata, spec }) => {
      const name = `${metadata.namespace}/${metadata.name}`;
      const { selector, servers } = struct(spec);
      return {
        name,
        selector: Object.fromEntries(Object.entries(struct(selector)).map(([key, value]) => [key, String(value)])),
        servers: list(servers).flatMap((server) => serverFrom(name, struct(server)) ?? []),
      };
    });
}

function serverFrom(gateway: string, server: Struct): Omit<PlannedServer, "listenPort"> | undefined {
  const { number, protocol } = struct(server["port"]);
  if (typeof number !== "number") return undefined;
  const tls = struct(server["tls"]);
  const name = typeof protocol === "string" ? protocol.toUpperCase() : "TCP";
  const hasTls = name === "HTTPS" || name === "TLS";
  return {
    gateway,
    port: number,
    protocol: name,
    tlsMode: hasTls ? (typeof tls["mode"] === "string" ? tls["mode"] : "PASSTHROUGH") : undefined,
    redirectsToHttps: tls["httpsRedirect"] === true,
    hosts: list(server["hosts"]).map((host) => String(host).replace(/^[^/]*\//, "")),
  };
}

function struct(value: unknown): Struct {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Struct) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
