/** VirtualServices with their host names resolved, ready to be attached to hosts (rules 1, 17). */
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { ROUTE_SEMANTICS_ANNOTATION, SEMANTICS_GATEWAY, SEMANTICS_INGRESS } from "../gateway-api/names.ts";
import { CLUSTER_DOMAIN, expandHost } from "./hosts.ts";
import { withDelegate } from "./delegates.ts";
import { memoizedByShape } from "./memo.ts";
import { specOf } from "./spec/spec.ts";
import type { HttpRule, VirtualServiceSpec } from "./spec/virtual-service.ts";

export interface VirtualService {
  readonly object: MeshObject;
  readonly namespace: string;
  readonly spec: VirtualServiceSpec;
  /** Fully qualified. */
  readonly hosts: readonly string[];
  /** `mesh`, or `namespace/name`. */
  readonly gateways: readonly string[];
  /** The rules that are emitted, delegates taken in. */
  readonly http: readonly HttpRule[];
  /** Made of a route of the Gateway API: its rules mean what that says (rules 117–122). */
  readonly isGatewayApi: boolean;
  /** A prefix of a path ends where a part of it does: `/a` is for `/a/b`, not for `/ab` (rule 19). */
  readonly separatesPrefixes: boolean;
}

/** All of the mesh that name a host, oldest first. */
export const resolvedVirtualServices: (mesh: MeshIndex) => readonly VirtualService[] = memoizedByShape(
  (mesh: MeshIndex): readonly VirtualService[] => {
    const result: VirtualService[] = [];
    for (const object of mesh.objects<VirtualServiceSpec>("VirtualService")) {
      const spec = specOf<VirtualServiceSpec>(object);
      const { namespace } = object.metadata;
      if ((spec.hosts ?? []).length === 0) continue;
      const { hosts = [], gateways = [], http = [] } = spec;
      if (object.metadata.annotations[ROUTE_SEMANTICS_ANNOTATION] === SEMANTICS_GATEWAY) {
        result.push({ object, namespace, spec, hosts, gateways, http, isGatewayApi: true, separatesPrefixes: true });
        continue;
      }
      result.push({
        object,
        namespace,
        spec,
        hosts: (spec.hosts ?? []).map((host) => expandHost(host, namespace, CLUSTER_DOMAIN)),
        gateways: gatewayNames(spec.gateways, namespace),
        http: (spec.http ?? []).flatMap((rule) => withDelegate(mesh, rule, namespace, withDestinations)),
        isGatewayApi: false,
        separatesPrefixes: object.metadata.annotations[ROUTE_SEMANTICS_ANNOTATION] === SEMANTICS_INGRESS,
      });
    }
    return result;
  },
);

/** Routes of the Gateway API count before all others in their own namespace (rule 127). */
export function consumersFirst(all: readonly VirtualService[], namespace: string): readonly VirtualService[] {
  const isConsumers = (item: VirtualService): boolean => item.isGatewayApi && item.namespace === namespace;
  if (!all.some(isConsumers)) return all;
  return [...all.filter(isConsumers), ...all.filter((item) => !isConsumers(item))];
}

/** Absent: `mesh`. A name without a namespace belongs to the object's own. */
export function gatewayNames(gateways: readonly string[] | undefined, namespace: string): readonly string[] {
  if (gateways === undefined || gateways.length === 0) return ["mesh"];
  return gateways.map((gateway) => (gateway === "mesh" || gateway.includes("/") ? gateway : `${namespace}/${gateway}`));
}

/** The rule with every destination host and gateway name fully qualified. */
export function withDestinations(rule: HttpRule, namespace: string): HttpRule {
  const expand = <T extends { readonly host?: string }>(destination: T): T =>
    destination.host === undefined
      ? destination
      : { ...destination, host: expandHost(destination.host, namespace, CLUSTER_DOMAIN) };
  return {
    ...rule,
    ...(rule.route !== undefined && {
      route: rule.route.map((item) =>
        item.destination === undefined ? item : { ...item, destination: expand(item.destination) },
      ),
    }),
    ...(rule.mirror !== undefined && { mirror: expand(rule.mirror) }),
    ...(rule.mirrors !== undefined && {
      mirrors: rule.mirrors.map((mirror) => ({ ...mirror, destination: expand(mirror.destination) })),
    }),
    ...(rule.match !== undefined && {
      match: rule.match.map((match) =>
        match.gateways === undefined ? match : { ...match, gateways: gatewayNames(match.gateways, namespace) },
      ),
    }),
  };
}
