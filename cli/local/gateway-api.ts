/** Gateways of the Gateway API in a local mesh: what istiod would deploy for them in a cluster. Pure. */
import { gatewayServices } from "#control-plane/gateway-api/gateway-addresses.ts";
import { GATEWAY_API, GATEWAY_CONTROLLER } from "#control-plane/gateway-api/names.ts";
import { gatewayFrom, type GatewayModel } from "#control-plane/gateway-api/read-gateway.ts";
import type { MeshObject } from "#control-plane/model/object.ts";
import { fieldsOf, stringMapOf } from "#control-plane/model/read-fields.ts";
import type { PlannedServer } from "./planned.ts";

type Labels = Readonly<Record<string, string>>;

/** A Gateway of class istio, and the workloads that serve it. */
export interface ApiGateway {
  /** `namespace/name` */
  readonly name: string;
  readonly namespace: string;
  /** Of the workloads: as its Service says, else as an automatic deployment labels them. */
  readonly selector: Labels;
  readonly servers: readonly Omit<PlannedServer, "listenPort">[];
  /** What istiod would deploy, where no Service is there. */
  readonly deployment: GatewayDeployment | undefined;
}

export interface GatewayDeployment {
  /** Of the Deployment and its Service. */
  readonly name: string;
  readonly serviceAccount: string;
  readonly labels: Labels;
}

export function apiGateways(objects: readonly MeshObject[]): readonly ApiGateway[] {
  const gateways: ApiGateway[] = [];
  for (const object of objects) {
    if (object.group !== GATEWAY_API || object.kind !== "Gateway") continue;
    const gateway = gatewayFrom(object);
    if (isOurs(gateway, objects)) gateways.push(...apiGateway(gateway, objects));
  }
  return gateways;
}

/** One an address; those that name a Service which is not there have nobody to serve them. */
function apiGateway(gateway: GatewayModel, objects: readonly MeshObject[]): readonly ApiGateway[] {
  const { name, namespace, className } = gateway;
  const { hosts, serviceAccount } = gatewayServices(gateway);
  const servers = gateway.listeners.map((listener) => ({
    gateway: `${namespace}/${name}`,
    port: listener.port,
    protocol: listener.protocol,
    tlsMode: listener.tls?.mode.toUpperCase(),
    redirectsToHttps: false,
    hosts: [listener.hostname ?? "*"],
  }));
  return hosts.flatMap((host): readonly ApiGateway[] => {
    const [service = "", ofNamespace] = host.split(".");
    if (ofNamespace !== namespace) return [];
    const written = objects.find(
      ({ group, kind, metadata }) =>
        group === "" && kind === "Service" && metadata.name === service && metadata.namespace === namespace,
    );
    const common = { name: `${namespace}/${name}`, namespace, servers };
    if (written !== undefined) {
      return [{ ...common, selector: stringMapOf(fieldsOf(written.spec)["selector"]), deployment: undefined }];
    }
    if (serviceAccount === undefined) return [];
    const selector = { "gateway.networking.k8s.io/gateway-name": name };
    const labels = {
      ...selector,
      "gateway.networking.k8s.io/gateway-class-name": className,
      "gateway.istio.io/managed": "istio.io-gateway-controller",
      "service.istio.io/canonical-name": service,
      "service.istio.io/canonical-revision": "latest",
    };
    return [{ ...common, selector, deployment: { name: service, serviceAccount, labels } }];
  });
}

function isOurs({ className }: GatewayModel, objects: readonly MeshObject[]): boolean {
  const written = objects.find(
    ({ group, kind, metadata }) => group === GATEWAY_API && kind === "GatewayClass" && metadata.name === className,
  );
  if (written === undefined) return className === "istio";
  return fieldsOf(written.spec)["controllerName"] === GATEWAY_CONTROLLER;
}
