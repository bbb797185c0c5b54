/** The Gateways of a proxy as one: which servers there are on which port (rules 99, 100, 104). */
import type { MeshObject } from "../model/object.ts";
import { protocolFromName } from "../model/protocol.ts";
import { GatewayMerge, type MergedGateway } from "./gateway-merge.ts";
import { type GatewayServer, isPlainHttp, passesTlsThrough } from "./gateway-server.ts";
import { type PortTargets, resolvePorts, targetsOfServices, targetsOfWorkload } from "./gateway-ports.ts";
import { byText } from "./json.ts";
import { selects } from "./labels.ts";
import { memoized } from "./memo.ts";
import type { GatewaySpec, ServerSpec } from "./spec/gateway.ts";
import { specOf } from "./spec/spec.ts";
import type { View } from "./view.ts";

/** Of a Gateway made from another API: hosts of the Services whose workloads serve it, separated by commas. */
export const GATEWAY_SERVICE_ANNOTATION = "internal.istio.io/gateway-service";

/** Undefined for a proxy that no Gateway is for. */
export const mergedGateway: (view: View) => MergedGateway | undefined = memoized(
  (view: View): MergedGateway | undefined => {
    if (view.proxy.type !== "router") return undefined;
    const merge = new GatewayMerge(view);
    let isSelected = false;
    for (const object of view.mesh.objects<GatewaySpec>("Gateway")) {
      const targets = targetsFor(view, object);
      if (targets === undefined) continue;
      isSelected = true;
      for (const [index, spec] of (specOf<GatewaySpec>(object).servers ?? []).entries()) {
        for (const number of resolvePorts(spec.port?.number ?? 0, targets)) {
          merge.add(number, serverFrom(object, spec, index, number));
        }
      }
    }
    return isSelected ? merge.result() : undefined;
  },
);

/** A Gateway is for the workloads that its labels select, in every namespace; without a selector for all. */
function targetsFor(view: View, object: MeshObject): PortTargets | undefined {
  const { annotations, namespace } = object.metadata;
  const services = annotations[GATEWAY_SERVICE_ANNOTATION];
  if (services !== undefined) return targetsOfServices(view, services.split(","), namespace);
  return selects(specOf<GatewaySpec>(object).selector, view.labels) ? targetsOfWorkload(view) : undefined;
}

function serverFrom(object: MeshObject, spec: ServerSpec, index: number, listenPort: number): GatewayServer {
  const { name, namespace } = object.metadata;
  const protocol = protocolFromName(spec.port?.protocol ?? "");
  const hosts = hostsOf(spec, namespace);
  const server = {
    object,
    gateway: `${namespace}/${name}`,
    path: `spec.servers[${index}]`,
    spec,
    tls: spec.tls,
    port: spec.port?.number ?? 0,
    protocol,
    bind: spec.bind ?? "",
    hosts,
    sniHosts: [...new Set(hosts.map((host) => host.slice(host.indexOf("/") + 1)))].toSorted(byText),
  };
  return { ...server, routeName: routeNameOf(server, listenPort) };
}

/** `./host` is for the Gateway's own namespace, `*` + `/host` for all: the namespace is left out. */
function hostsOf(spec: ServerSpec, namespace: string): readonly string[] {
  const result: string[] = [];
  for (const host of spec.hosts ?? []) {
    const slash = host.indexOf("/");
    const [space, name] = [host.slice(0, Math.max(slash, 0)), host.slice(slash + 1)];
    if (space === "*" && name === "*") return ["*"];
    if (slash < 0 || space === "*") result.push(name);
    else result.push(`${space === "." ? namespace : space}/${name}`);
  }
  return result;
}

type NamedServer = Omit<GatewayServer, "routeName">;

/** `http.8080` for all of a port; `https.443.<port name>.<gateway>.<namespace>` for one server. */
function routeNameOf(server: NamedServer, listenPort: number): string {
  const bind = server.bind === "" ? "" : `.${server.bind}`;
  if (isPlainHttp(server)) return `http.${listenPort}${bind}`;
  const { name, namespace } = server.object.metadata;
  if (server.protocol === "HTTPS" && !passesTlsThrough(server)) {
    return `https.${server.port}.${server.spec.port?.name ?? ""}.${name}.${namespace}${bind}`;
  }
  return "";
}
