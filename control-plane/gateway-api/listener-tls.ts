/** TLS of a listener → `servers[].tls` of an Istio Gateway. */
import type { MeshIndex } from "../model/mesh-index.ts";
import { certificateOf } from "../translate/secret-contents.ts";
import type { ServerTls } from "../translate/spec/gateway.ts";
import { clientValidation } from "./client-validation.ts";
import { joinedErrors, type StatusError } from "./conditions.ts";
import type { CertificateRef, GatewayModel, Listener } from "./read-gateway.ts";
import { isGranted } from "./reference-grants.ts";

const TERMINATE_MODE = "gateway.istio.io/tls-terminate-mode";
const NETWORK_LABEL = "topology.istio.io/network";
const NETWORK_PORT_LABEL = "networking.istio.io/gatewayPort";
const DEFAULT_NETWORK_PORT = "15443";

export interface ListenerTlsResult {
  readonly tls?: ServerTls;
  /** The listener is not served. */
  readonly error?: StatusError;
  /** A certificate that is left out, beside others that are good. */
  readonly warning?: StatusError | undefined;
}

export function listenerTls(mesh: MeshIndex, gateway: GatewayModel, listener: Listener): ListenerTlsResult {
  const { tls } = listener;
  if (tls === undefined) return {};
  if (tls.mode === "Passthrough") {
    return { tls: { mode: isNetworkGateway(gateway, listener) ? "AUTO_PASSTHROUGH" : "PASSTHROUGH" } };
  }
  if (tls.mode !== "Terminate") return { error: invalid(`there is no TLS mode ${tls.mode}`) };
  const asked = tls.options[TERMINATE_MODE];
  if (asked === "ISTIO_MUTUAL") return { tls: { mode: "ISTIO_MUTUAL" } };
  if (asked === "ISTIO_SIMPLE") return { tls: { mode: "SIMPLE", credentialName: "builtin://" } };
  const mode = asked === "MUTUAL" || asked === "OPTIONAL_MUTUAL" ? asked : "SIMPLE";
  const served = withCertificates(mesh, gateway, tls.certificateRefs, mode);
  const clients = clientValidation(mesh, gateway, listener.port);
  if (clients === undefined || served.tls === undefined) return served;
  if (clients.error !== undefined) return { error: clients.error };
  return { tls: { ...served.tls, ...clients.tls }, warning: joinedErrors(served.warning, clients.warning) };
}

function withCertificates(
  mesh: MeshIndex,
  gateway: GatewayModel,
  refs: readonly CertificateRef[],
  mode: "SIMPLE" | "MUTUAL" | "OPTIONAL_MUTUAL",
): ListenerTlsResult {
  if (refs.length > 2) return { error: invalid("a listener has at most 2 certificateRefs") };
  if (refs.length === 0) return { error: invalid("a listener that terminates TLS needs a certificateRef") };
  const names: string[] = [];
  let failure: StatusError | undefined;
  for (const ref of refs) {
    const { name, error } = certificateName(mesh, gateway, ref);
    failure = joinedErrors(failure, error);
    if (name !== undefined) names.push(name);
  }
  const [only, more] = names;
  if (only === undefined) return failure === undefined ? {} : { error: failure };
  return {
    tls: more === undefined ? { mode, credentialName: only } : { mode, credentialNames: names },
    warning: failure,
  };
}

/** The Secret must be there, hold a certificate with its key, and be the Gateway's own or granted to it. */
function certificateName(
  mesh: MeshIndex,
  gateway: GatewayModel,
  ref: CertificateRef,
): { readonly name?: string; readonly error?: StatusError } {
  const namespace = ref.namespace ?? gateway.namespace;
  const said = `certificateRef ${namespace}/${ref.name}`;
  if (ref.group !== "" || ref.kind !== "Secret") {
    return { error: invalid(`${said} is a ${ref.kind}; only Secrets are allowed`) };
  }
  const to = { group: "", kind: "Secret", namespace, name: ref.name };
  const isAllowed =
    namespace === gateway.namespace || isGranted(mesh, { fromKind: "Gateway", fromNamespace: gateway.namespace, to });
  const secret = mesh.object("Secret", namespace, ref.name);
  if (secret === undefined) return { error: invalid(`${said}: there is no such Secret`) };
  const { problem } = certificateOf(secret);
  if (problem !== undefined) return { error: invalid(`${said}: ${problem}`) };
  if (!isAllowed) {
    const message = `${said} may not be used by a Gateway in namespace ${gateway.namespace}: a ReferenceGrant in ${namespace} is missing`;
    return { error: { reason: "RefNotPermitted", message } };
  }
  return { name: `kubernetes-gateway://${namespace}/${ref.name}` };
}

function invalid(message: string): StatusError {
  return { reason: "InvalidCertificateRef", message };
}

/** The entrance of a network: TLS is passed on by its SNI, whatever it is. */
function isNetworkGateway({ object }: GatewayModel, { port }: Listener): boolean {
  const { labels } = object.metadata;
  return labels[NETWORK_LABEL] !== undefined && String(port) === (labels[NETWORK_PORT_LABEL] ?? DEFAULT_NETWORK_PORT);
}
