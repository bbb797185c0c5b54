/** A listener of a Gateway → a server of an Istio Gateway, and what its status says. */
import type { Condition } from "../model/gateway-status.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { ServerSpec } from "../translate/spec/gateway.ts";
import { conditionsOf, type StatusError } from "./conditions.ts";
import { selectorMatches } from "./label-selector.ts";
import { listenerTls } from "./listener-tls.ts";
import type { GatewayModel, Listener } from "./read-gateway.ts";
import { supportedKinds } from "./supported-kinds.ts";

export interface ListenerResult {
  /** Undefined: not served. */
  readonly server: ServerSpec | undefined;
  /** `namespace/hostname`: which routes of which namespaces it takes. */
  readonly hosts: readonly string[];
  readonly conditions: readonly Condition[];
  readonly warning?: StatusError | undefined;
}

/** Reasons for which a listener is not even accepted. */
const NOT_ACCEPTED: readonly string[] = ["RefNotPermitted", "InvalidCACertificateRef", "InvalidCACertificateKind"];

const FINE = "No errors found";

export function buildListener(
  mesh: MeshIndex,
  gateway: GatewayModel,
  listener: Listener,
  conflict: string | undefined,
): ListenerResult {
  const hosts = hostsOf(mesh, gateway, listener);
  if (conflict !== undefined) {
    return { server: undefined, hosts, conditions: conflicted(gateway, listener, conflict) };
  }
  const { tls, error, warning } = listenerTls(mesh, gateway, listener);
  const protocol = protocolError(listener);
  const lacksCertificate = error !== undefined && NOT_ACCEPTED.includes(error.reason);
  const conditions = conditionsOf(gateway.object, {
    Accepted: {
      reason: "Accepted",
      message: FINE,
      error: protocol ?? (lacksCertificate ? { ...error, reason: "NoValidCACertificate" } : undefined),
    },
    Conflicted: { reason: "NoConflicts", message: FINE, status: "False" },
    Programmed: {
      reason: "Programmed",
      message: FINE,
      error: error === undefined ? undefined : { reason: "Invalid", message: "Bad TLS configuration" },
    },
    ResolvedRefs: {
      reason: "ResolvedRefs",
      message: FINE,
      error: supportedKinds(listener).areValid
        ? error
        : {
            reason: "InvalidRouteKinds",
            message: `allowedRoutes.kinds has kinds that ${listener.protocol} can't carry`,
          },
    },
  });
  if (error !== undefined || protocol !== undefined) return { server: undefined, hosts, conditions };
  const server: ServerSpec = {
    // Each listener is a Gateway of its own, so that all may have the same name.
    port: { name: "default", number: listener.port, protocol: listener.protocol },
    hosts,
    ...(tls !== undefined && { tls }),
  };
  return { server, hosts, conditions, warning };
}

function conflicted({ object }: GatewayModel, { name, port }: Listener, reason: string): readonly Condition[] {
  const message = `listener ${name} conflicts with an earlier one on port ${port} of the Gateway`;
  const error = { reason, message };
  return conditionsOf(object, {
    Accepted: { reason: "Accepted", message: FINE, error },
    Conflicted: { reason: "NoConflicts", message: FINE, status: "False", error },
    Programmed: { reason: "Programmed", message: FINE, error },
  });
}

const PROTOCOLS: readonly string[] = ["HTTP", "HTTPS", "TLS", "TCP"];

function protocolError({ protocol }: Listener): StatusError | undefined {
  if (PROTOCOLS.includes(protocol)) return undefined;
  const message = `protocol ${protocol} is not supported; supported are ${PROTOCOLS.join(", ")}`;
  return { reason: "UnsupportedProtocol", message };
}

/** `~/hostname` where no namespace is let in: the port is there all the same. */
function hostsOf(mesh: MeshIndex, gateway: GatewayModel, listener: Listener): readonly string[] {
  const hostname = listener.hostname ?? "*";
  const namespaces = namespacesOf(mesh, gateway, listener);
  return namespaces.length === 0 ? [`~/${hostname}`] : namespaces.map((namespace) => `${namespace}/${hostname}`);
}

function namespacesOf(mesh: MeshIndex, gateway: GatewayModel, { namespaces }: Listener): readonly string[] {
  const { from, selector } = namespaces;
  if (from === "Same") return [gateway.namespace];
  if (from === "All") return ["*"];
  if (from !== "Selector" || selector === undefined) return [];
  return mesh
    .objects("Namespace")
    .filter(({ metadata: { name, labels } }) =>
      selectorMatches(selector, { ...labels, "kubernetes.io/metadata.name": name }),
    )
    .map(({ metadata }) => metadata.name)
    .toSorted();
}
