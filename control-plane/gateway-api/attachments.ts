/** parentRefs of a route → the listeners and Services that it is attached to, or why it is not. */
import type { ParentReference } from "../model/gateway-status.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { fieldsOf, listOf, stringsOf } from "../model/read-fields.ts";
import { serviceHost } from "../model/service-from-kubernetes.ts";
import { hostsMatch, isSubsetOf, isWildcard } from "../translate/hosts.ts";
import type { StatusError } from "./conditions.ts";
import type { RouteParent } from "./gateways.ts";
import { GATEWAY_API, ROUTE_KINDS } from "./names.ts";
import { parentRefFrom } from "./read-refs.ts";

/** One parentRef and one thing that it may mean: without sectionName a Gateway has as many as listeners. */
export interface Attachment {
  readonly ref: ParentReference;
  readonly parent: ListenerParent | MeshParent;
  readonly denied: StatusError | undefined;
}

export interface ListenerParent {
  readonly kind: "listener";
  readonly listener: RouteParent;
}

/** Listeners by `namespace/name` of their Gateway. */
export type RouteParents = ReadonlyMap<string, readonly RouteParent[]>;

export interface MeshParent {
  readonly kind: "mesh";
  /** Hosts of the Service or ServiceEntry, fully qualified. */
  readonly hosts: readonly string[];
  readonly namespace: string;
}

/** References that belong to other controllers are left out. */
export function attachmentsOf(mesh: MeshIndex, parents: RouteParents, route: MeshObject): readonly Attachment[] {
  const spec = fieldsOf(route.spec);
  const hostnames = route.kind === "TCPRoute" ? [] : stringsOf(spec["hostnames"]);
  const result: Attachment[] = [];
  for (const ref of listOf(spec["parentRefs"]).map(parentRefFrom)) {
    const namespace = ref.namespace ?? route.metadata.namespace;
    if (ref.group === GATEWAY_API && ref.kind === "Gateway") {
      result.push(...listenerAttachments(parents, route, hostnames, ref, namespace));
      continue;
    }
    const isService = ref.group === "" && ref.kind === "Service";
    const isEntry = ref.group === "networking.istio.io" && ref.kind === "ServiceEntry";
    if (isService || isEntry) result.push(meshAttachment(mesh, route, ref, namespace));
  }
  return result;
}

function listenerAttachments(
  parents: RouteParents,
  route: MeshObject,
  hostnames: readonly string[],
  ref: ParentReference,
  namespace: string,
): readonly Attachment[] {
  return (parents.get(`${namespace}/${ref.name}`) ?? []).map((listener) => ({
    ref,
    parent: { kind: "listener", listener },
    denied: denial(listener, route, hostnames, ref),
  }));
}

function denial(
  { listener, hosts, kinds }: RouteParent,
  route: MeshObject,
  hostnames: readonly string[],
  ref: ParentReference,
): StatusError | undefined {
  if (ref.port !== undefined && ref.port !== listener.port) {
    return { reason: "NoMatchingParent", message: `port ${ref.port} not found` };
  }
  if (ref.sectionName !== undefined && ref.sectionName !== listener.name) {
    return { reason: "NoMatchingParent", message: `sectionName ${ref.sectionName} not found` };
  }
  const { namespace } = route.metadata;
  const wanted = hostnames.length === 0 ? ["*"] : hostnames;
  const matching = hosts.filter((host) => wanted.some((name) => hostsMatch(host.slice(host.indexOf("/") + 1), name)));
  if (matching.length === 0) {
    const message = `no hostname of the route matches ${listener.hostname ?? "*"} of listener ${listener.name}`;
    return { reason: "NoMatchingListenerHostname", message };
  }
  const letsIn = matching.some((host) => host.startsWith("*/") || host.startsWith(`${namespace}/`));
  if (!letsIn) {
    const message = `listener ${listener.name} takes no routes of namespace ${namespace}: see its allowedRoutes.namespaces`;
    return { reason: "NotAllowedByListeners", message };
  }
  if (kinds.some(({ group, kind }) => kind === route.kind && group === GATEWAY_API)) return undefined;
  return { reason: "NotAllowedByListeners", message: `listener ${listener.name} takes no ${route.kind}` };
}

function meshAttachment(mesh: MeshIndex, route: MeshObject, ref: ParentReference, namespace: string): Attachment {
  const object = mesh.object(ref.kind, namespace, ref.name);
  const hosts =
    ref.kind === "Service" ? [serviceHost(ref.name, namespace)] : stringsOf(fieldsOf(object?.spec)["hosts"]);
  const notThere = { reason: "NoMatchingParent", message: `parent ${ref.kind} ${namespace}/${ref.name} not found` };
  const isKnownKind = ROUTE_KINDS.some((kind) => kind === route.kind);
  return {
    ref,
    parent: { kind: "mesh", hosts, namespace },
    denied: object === undefined || !isKnownKind ? notThere : undefined,
  };
}

/** Whether a hostname of the route is this listener's: a more specific listener of the port has it for itself. */
export function servesHost({ listener }: ListenerParent, routeHost: string): boolean {
  const own = listener.listener.hostname ?? "";
  if (own !== "" && !isWildcard(own)) return true;
  if (own !== "" && !hostsMatch(routeHost, own)) return false;
  return !listener.otherHostnames.some((other) => own.length <= other.length && isSubsetOf(routeHost, other));
}
