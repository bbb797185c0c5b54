/** backendRefs → destinations of Istio's routes. */
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { serviceHost } from "../model/service-from-kubernetes.ts";
import type { Destination } from "../translate/spec/virtual-service.ts";
import type { StatusError } from "./conditions.ts";
import type { BackendRef } from "./read-refs.ts";
import { isGranted } from "./reference-grants.ts";

/** What a route is converted in. */
export interface RouteContext {
  readonly mesh: MeshIndex;
  readonly route: MeshObject;
  /** Routes in the mesh reach into other namespaces without being granted it. */
  readonly enforcesGrants: boolean;
}

export interface Backend {
  /** Without a host where nothing can be reached: the request is answered with 500. Undefined: the rule is wrong as a whole. */
  readonly destination?: Destination;
  readonly error?: StatusError | undefined;
}

const NOWHERE: Destination = {};

export function backendDestination(context: RouteContext, ref: BackendRef): Backend {
  const own = context.route.metadata.namespace;
  const namespace = ref.namespace ?? own;
  if (context.enforcesGrants && namespace !== own && !isPermitted(context, ref, namespace)) {
    const message = `backendRef ${namespace}/${ref.name} may not be used by a ${context.route.kind} in namespace ${own}: a ReferenceGrant in ${namespace} is missing`;
    return { destination: NOWHERE, error: { reason: "RefNotPermitted", message } };
  }
  const host = hostOf(ref, namespace);
  if (host === undefined) {
    const message = `backendRef ${ref.name}: kind ${ref.kind} of group ${JSON.stringify(ref.group)} is not supported`;
    return { destination: NOWHERE, error: { reason: "InvalidKind", message } };
  }
  const fault = faultOf(ref);
  if (fault !== undefined)
    return { error: { reason: "InvalidDestination", message: `backendRef ${ref.name}: ${fault}` } };
  return {
    destination: { host, port: { number: ref.port ?? 0 } },
    error: isThere(context.mesh, ref, host, namespace)
      ? undefined
      : { reason: "BackendNotFound", message: `backend ${host} not found` },
  };
}

function isPermitted({ mesh, route }: RouteContext, { group, kind, name }: BackendRef, namespace: string): boolean {
  const to = { group, kind, namespace, name };
  return isGranted(mesh, { fromKind: route.kind, fromNamespace: route.metadata.namespace, to });
}

const isHostname = ({ group, kind }: BackendRef): boolean => group === "networking.istio.io" && kind === "Hostname";

/** Undefined for kinds that nobody knows. */
function hostOf(ref: BackendRef, namespace: string): string | undefined {
  if (isHostname(ref)) return ref.name;
  const isService = ref.group === "" && ref.kind === "Service";
  const isImport = ref.group === "multicluster.x-k8s.io" && ref.kind === "ServiceImport";
  return isService || isImport ? serviceHost(ref.name, namespace) : undefined;
}

function faultOf(ref: BackendRef): string | undefined {
  if (isHostname(ref)) {
    if (ref.namespace !== undefined) return "a Hostname has no namespace";
  } else if (ref.name.includes(".")) {
    return "name the Service itself, not its host";
  }
  return ref.port === undefined ? "port is missing; it is required" : undefined;
}

function isThere(mesh: MeshIndex, ref: BackendRef, host: string, namespace: string): boolean {
  if (isHostname(ref)) return mesh.servicesByHost(host).length > 0;
  return mesh.object("Service", namespace, ref.name) !== undefined;
}

/** Weights as Istio's routes have them: those of weight 0 are left out, a lone one has none. */
export function weightedBackends(refs: readonly BackendRef[]): readonly BackendRef[] {
  const left = refs.filter(({ weight }) => weight !== 0);
  return left.length === 1 ? left.map((ref) => ({ ...ref, weight: 0 })) : left;
}

/** Nobody is to get anything: HTTP is answered with 500, connections are refused. */
export function isWithoutBackends(refs: readonly BackendRef[]): boolean {
  return refs.reduce((sum, { weight }) => sum + weight, 0) === 0;
}
