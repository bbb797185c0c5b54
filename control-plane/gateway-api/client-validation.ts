/** `tls.frontend` of a Gateway: which certificates the clients of a listener must have (GEP-91). */
import type { MeshIndex } from "../model/mesh-index.ts";
import { type Fields, fieldsOf, listOf, numberOf } from "../model/read-fields.ts";
import { authorityOf } from "../translate/secret-contents.ts";
import type { ServerTls } from "../translate/spec/gateway.ts";
import { joinedErrors, type StatusError } from "./conditions.ts";
import { type CertificateRef, certificateRefFrom, type GatewayModel } from "./read-gateway.ts";
import { isGranted } from "./reference-grants.ts";

export interface ClientValidation {
  /** Over the listener's own settings. */
  readonly tls?: Pick<ServerTls, "mode" | "caCertCredentialName">;
  /** No CA can be had: nobody could be checked, so that the listener is not served. */
  readonly error?: StatusError | undefined;
  /** A CA that is left out, beside one that is good. */
  readonly warning?: StatusError | undefined;
}

/** Undefined: clients of the port need no certificate. What a port says stands in place of the default. */
export function clientValidation(mesh: MeshIndex, gateway: GatewayModel, port: number): ClientValidation | undefined {
  const validation = validationOf(gateway, port);
  if (validation === undefined) return undefined;
  const { mode, caCertificateRefs } = validation;
  let failure: StatusError | undefined;
  let authority: string | undefined;
  for (const ref of listOf(caCertificateRefs).map(certificateRefFrom)) {
    const { name, error } = authorityName(mesh, gateway, ref);
    // Envoy takes one: clients of the others are refused.
    const more = name === undefined || authority === undefined ? error : notTaken(ref);
    failure = joinedErrors(failure, more);
    authority ??= name;
  }
  if (authority === undefined) {
    const none = { reason: "InvalidCACertificateRef", message: "tls.frontend: caCertificateRefs is empty" };
    return { error: failure ?? none };
  }
  // Differs from the Gateway API: with AllowInsecureFallback a certificate may be missing, but not be wrong.
  const isOptional = mode === "AllowInsecureFallback";
  return {
    tls: { mode: isOptional ? "OPTIONAL_MUTUAL" : "MUTUAL", caCertCredentialName: authority },
    warning: failure,
  };
}

/** Some port lets clients in without a certificate that is checked. */
export function allowsInsecureFallback(gateway: GatewayModel): boolean {
  return gateway.listeners.some(
    ({ port, tls }) => tls !== undefined && validationOf(gateway, port)?.["mode"] === "AllowInsecureFallback",
  );
}

function validationOf({ frontend }: GatewayModel, port: number): Fields | undefined {
  const own = listOf(frontend["perPort"])
    .map(fieldsOf)
    .find((item) => numberOf(item["port"]) === port);
  const { validation } = own === undefined ? fieldsOf(frontend["default"]) : fieldsOf(own["tls"]);
  return validation === undefined ? undefined : fieldsOf(validation);
}

function notTaken({ name }: CertificateRef): StatusError {
  const message = `tls.frontend: caCertificateRef ${name} is left out: one ConfigMap counts, put all CAs into it`;
  return { reason: "UnsupportedValue", message };
}

function authorityName(
  mesh: MeshIndex,
  gateway: GatewayModel,
  ref: CertificateRef,
): { readonly name?: string; readonly error?: StatusError } {
  const namespace = ref.namespace ?? gateway.namespace;
  const said = `tls.frontend: caCertificateRef ${namespace}/${ref.name}`;
  if (ref.group !== "" || ref.kind !== "ConfigMap") {
    const message = `${said} is a ${ref.kind}; only ConfigMaps are supported`;
    return { error: { reason: "InvalidCACertificateKind", message } };
  }
  const to = { group: "", kind: "ConfigMap", namespace, name: ref.name };
  const isAllowed =
    namespace === gateway.namespace || isGranted(mesh, { fromKind: "Gateway", fromNamespace: gateway.namespace, to });
  if (!isAllowed) {
    const message = `${said} may not be used by a Gateway in namespace ${gateway.namespace}: a ReferenceGrant in ${namespace} is missing`;
    return { error: { reason: "RefNotPermitted", message } };
  }
  const object = mesh.object("ConfigMap", namespace, ref.name);
  const problem = object === undefined ? "there is no such ConfigMap" : authorityOf(object).problem;
  if (problem !== undefined) {
    return { error: { reason: "InvalidCACertificateRef", message: `${said}: ${problem}` } };
  }
  return { name: `configmap://${namespace}/${ref.name}` };
}
