/**
 * Objects of the Gateway API → the objects of Istio's API that mean the same, as istiod makes them, and the status of each.
 * Translation then has nothing of its own to do for them but to heed the annotations.
 */
import type { Problem } from "#lib/problem.ts";
import type { GatewayApiStatus } from "../model/gateway-status.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { fieldsOf, listOf } from "../model/read-fields.ts";
import type { RouteResult } from "./routes.ts";
import { convertBackendTlsPolicies, type GatewayBackends } from "./backend-tls-policies.ts";
import { problemsOf } from "./findings.ts";
import { gatewayClassStatus } from "./gateway-classes.ts";
import { convertGateway } from "./gateways.ts";
import { mergeHttpRoutes } from "./merge-routes.ts";
import { GATEWAY_API, ROUTE_KINDS } from "./names.ts";
import { backendRefsFrom } from "./read-refs.ts";
import { convertRoute } from "./routes.ts";

export interface GatewayApiResult {
  /** Gateways, VirtualServices and DestinationRules of Istio's API. */
  readonly generated: readonly MeshObject[];
  /** Objects that belong to other controllers have none. */
  readonly statuses: ReadonlyMap<MeshObject, GatewayApiStatus>;
  readonly problems: readonly Problem[];
}

export function convertGatewayApi(mesh: MeshIndex): GatewayApiResult {
  const of = (kind: string): readonly MeshObject[] => mesh.objects(`${GATEWAY_API}/${kind}`);
  const statuses = new Map<MeshObject, GatewayApiStatus>();
  for (const object of of("GatewayClass")) {
    const status = gatewayClassStatus(object);
    if (status !== undefined) statuses.set(object, status);
  }
  const gateways = of("Gateway")
    .map((object) => convertGateway(mesh, object))
    .filter((gateway) => gateway !== undefined);
  const parents = new Map(
    gateways.map(({ object: { metadata }, parents: own }) => [`${metadata.namespace}/${metadata.name}`, own]),
  );
  const routes = ROUTE_KINDS.flatMap(of).map((route) => ({ route, ...convertRoute(mesh, parents, route) }));
  const attached = attachedRoutes(routes);
  for (const { object, status } of gateways) statuses.set(object, status(attached.get(object) ?? new Map()));
  for (const { route, status } of routes) statuses.set(route, status);
  const policies = convertBackendTlsPolicies(mesh, of("BackendTLSPolicy"), backendsOf(routes));
  for (const [object, status] of policies.statuses) statuses.set(object, status);
  return {
    generated: [
      ...gateways.flatMap(({ generated }) => generated),
      ...mergeHttpRoutes(routes.flatMap(({ http }) => http)),
      ...routes.flatMap(({ generated }) => generated),
      ...policies.generated,
    ],
    statuses,
    problems: problemsOf(mesh, statuses, gateways, routes),
  };
}

interface ConvertedRoute extends RouteResult {
  readonly route: MeshObject;
}

/** Routes that each listener of each Gateway took, each counted once. */
function attachedRoutes(routes: readonly ConvertedRoute[]): ReadonlyMap<MeshObject, ReadonlyMap<string, number>> {
  const counts = new Map<MeshObject, Map<string, number>>();
  for (const { attachments } of routes) {
    const listeners = new Set(
      attachments.flatMap(({ parent, denied }) =>
        parent.kind === "listener" && denied === undefined ? [parent.listener] : [],
      ),
    );
    for (const { gateway, listener } of listeners) {
      const own = counts.get(gateway.object) ?? new Map<string, number>();
      counts.set(gateway.object, own.set(listener.name, (own.get(listener.name) ?? 0) + 1));
    }
  }
  return counts;
}

/** Which Services a Gateway leads to by its routes, attached or not. */
function backendsOf(routes: readonly ConvertedRoute[]): readonly GatewayBackends[] {
  return routes.flatMap(({ route, attachments }) => {
    const { namespace: own } = route.metadata;
    const services = new Set(
      listOf(fieldsOf(route.spec)["rules"])
        .flatMap((rule) => backendRefsFrom(fieldsOf(rule)))
        .filter(({ group, kind }) => group === "" && kind === "Service")
        .map(({ namespace, name }) => `${namespace ?? own}/${name}`),
    );
    const gateways = new Set(
      attachments.flatMap(({ parent }) => (parent.kind === "listener" ? [parent.listener.gateway] : [])),
    );
    return [...gateways].map(({ name, namespace }) => ({ gateway: { name, namespace }, services }));
  });
}
