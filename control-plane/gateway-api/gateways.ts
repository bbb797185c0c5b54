/** gateway.networking.k8s.io Gateway → one Istio Gateway a listener. */
import type { GatewayApiStatus, ListenerStatus } from "../model/gateway-status.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { GATEWAY_SERVICE_ANNOTATION } from "../translate/gateway-servers.ts";
import type { GatewaySpec } from "../translate/spec/gateway.ts";
import { allowsInsecureFallback } from "./client-validation.ts";
import { conditionsOf, type StatusError } from "./conditions.ts";
import { gatewayServices, resolveAddresses } from "./gateway-addresses.ts";
import { controllerOf } from "./gateway-classes.ts";
import { generatedObject } from "./generated.ts";
import { listenerConflicts } from "./listener-conflicts.ts";
import { buildListener, type ListenerResult } from "./listener.ts";
import {
  GATEWAY_SEMANTICS_ANNOTATION,
  internalGatewayName,
  SEMANTICS_GATEWAY,
  SERVICE_ACCOUNT_ANNOTATION,
  UNMANAGED_CONTROLLER,
} from "./names.ts";
import { gatewayFrom, type GatewayModel, type Listener } from "./read-gateway.ts";
import { supportedKinds } from "./supported-kinds.ts";

/** A listener that routes can be attached to. */
export interface RouteParent {
  /** `namespace/name` of the Istio Gateway that it becomes. */
  readonly internalName: string;
  readonly gateway: GatewayModel;
  readonly listener: Listener;
  readonly hosts: readonly string[];
  readonly kinds: readonly { readonly group: string; readonly kind: string }[];
  /** Hostnames of the Gateway's other listeners of the port and protocol, which have what is theirs; "": all hosts. */
  readonly otherHostnames: readonly string[];
}

export interface GatewayResult {
  readonly object: MeshObject;
  /** Those that are served. */
  readonly generated: readonly MeshObject<GatewaySpec>[];
  /** All listeners, in order. */
  readonly parents: readonly RouteParent[];
  /** `attachedRoutes` is filled in once routes are known; by name of the listener. */
  readonly status: (attachedRoutes: ReadonlyMap<string, number>) => GatewayApiStatus;
  readonly warnings: readonly { readonly path: string; readonly error: StatusError }[];
}

/** Undefined for a Gateway of another controller's class. */
export function convertGateway(mesh: MeshIndex, object: MeshObject): GatewayResult | undefined {
  const gateway = gatewayFrom(object);
  const controller = controllerOf(mesh, gateway.className);
  if (controller === undefined) return undefined;
  if (controller === UNMANAGED_CONTROLLER) return unmanaged(gateway);
  const { hosts, serviceAccount, error } = gatewayServices(gateway);
  if (hosts.length === 0 && error !== undefined) return unserved(mesh, gateway, error);
  const conflicts = listenerConflicts(gateway.listeners);
  const results = gateway.listeners.map((listener) => ({
    listener,
    ...buildListener(mesh, gateway, listener, conflicts.get(listener.name)),
  }));
  const generated = results.flatMap(({ listener, server }) => {
    if (server === undefined) return [];
    const annotations = {
      [GATEWAY_SEMANTICS_ANNOTATION]: SEMANTICS_GATEWAY,
      [GATEWAY_SERVICE_ANNOTATION]: hosts.join(","),
      [SERVICE_ACCOUNT_ANNOTATION]: serviceAccount ?? "",
    };
    const name = internalGatewayName(gateway.name, listener.name);
    const spec: GatewaySpec = { servers: [server] };
    const { namespace } = gateway;
    return [generatedObject({ kind: "Gateway", name, namespace, origins: [object], annotations, spec })];
  });
  const ports = [...new Set(gateway.listeners.map(({ port }) => port))];
  const resolved = resolveAddresses(mesh, gateway, hosts, ports);
  return {
    object,
    generated,
    parents: results.map(({ listener, hosts: own }) => ({
      internalName: `${gateway.namespace}/${internalGatewayName(gateway.name, listener.name)}`,
      gateway,
      listener,
      hosts: own,
      kinds: supportedKinds(listener).kinds,
      otherHostnames: otherHostnames(gateway, listener),
    })),
    warnings: results.flatMap(({ warning }, index) =>
      warning === undefined ? [] : [{ path: `spec.listeners[${index}].tls.certificateRefs`, error: warning }],
    ),
    status: (attachedRoutes) => ({
      ...(resolved.addresses.length > 0 && { addresses: resolved.addresses }),
      conditions: conditionsOf(object, {
        Accepted: error === undefined ? accepted(results) : { ...ACCEPTED, error },
        Programmed: { reason: "Programmed", message: resolved.message, error: resolved.error },
        ResolvedRefs: { reason: "ResolvedRefs", message: "All references resolved" },
        InsecureFrontendValidationMode: allowsInsecureFallback(gateway) ? INSECURE : undefined,
      }),
      listeners: results.map((result) => listenerStatus(result, attachedRoutes)),
    }),
  };
}

function otherHostnames({ listeners }: GatewayModel, { port, protocol, hostname }: Listener): readonly string[] {
  const others = listeners.filter(
    (other) => other.port === port && other.protocol === protocol && other.hostname !== hostname,
  );
  return others.map((other) => other.hostname ?? "");
}

const INSECURE = {
  reason: "ConfigurationChanged",
  message: "clients of some listeners may come without a certificate",
};

const ACCEPTED = { reason: "Accepted", message: "Resource accepted" };

/** A Gateway stands as long as one of its listeners does. */
function accepted(results: readonly ListenerResult[]): Parameters<typeof conditionsOf>[1][string] {
  const served = results.filter(({ server }) => server !== undefined).length;
  if (served === results.length) return ACCEPTED;
  const reason = "ListenersNotValid";
  if (served > 0) return { reason, message: "One or more of the Gateway's listeners are invalid" };
  return { ...ACCEPTED, error: { reason, message: "None of the Gateway's listeners are valid" } };
}

function listenerStatus(
  { listener, conditions }: ListenerResult & { readonly listener: Listener },
  attachedRoutes: ReadonlyMap<string, number>,
): ListenerStatus {
  return {
    name: listener.name,
    attachedRoutes: attachedRoutes.get(listener.name) ?? 0,
    supportedKinds: supportedKinds(listener).kinds,
    conditions,
  };
}

/** A Gateway elsewhere: it is known, and nothing is made of it. */
function unmanaged({ object, addresses }: GatewayModel): GatewayResult {
  const message = "This Gateway is remote; nothing is programmed for it here";
  return {
    object,
    generated: [],
    parents: [],
    warnings: [],
    status: () => ({
      ...(addresses.length > 0 && { addresses }),
      conditions: conditionsOf(object, { Accepted: ACCEPTED, Programmed: { reason: "Programmed", message } }),
    }),
  };
}

/** None of the addresses can be one of ours. */
function unserved(mesh: MeshIndex, gateway: GatewayModel, error: StatusError): GatewayResult {
  const { object } = gateway;
  const programmed = resolveAddresses(mesh, gateway, [], []).error;
  return {
    object,
    generated: [],
    parents: [],
    warnings: [],
    status: () => ({
      conditions: conditionsOf(object, {
        Accepted: { ...ACCEPTED, error },
        Programmed: { reason: "Programmed", message: "Resource programmed", error: programmed },
        ResolvedRefs: { reason: "ResolvedRefs", message: "All references resolved" },
      }),
      listeners: [],
    }),
  };
}
