/** Fields of the Gateway API that are taken and change nothing here, with the reason. */
import type { MeshObject } from "../model/object.ts";
import { fieldsOf, listOf, stringMapOf } from "../model/read-fields.ts";
import { GATEWAY_API } from "./names.ts";

export interface IgnoredField {
  readonly path: string;
  readonly why: string;
}

/** By kind: path from `spec`, and what to say of it. */
const FIELDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  GatewayClass: { parametersRef: "has no effect: deployments take no parameters here." },
  Gateway: {
    infrastructure: "has no effect: what is deployed for a Gateway takes no labels, annotations or parameters from it.",
    allowedListeners: "has no effect: ListenerSets are not read.",
    defaultScope: "has no effect: routes name their parents in parentRefs.",
    "tls.backend":
      "has no effect: the gateway shows backends no certificate of its own; use a DestinationRule with tls.mode MUTUAL.",
  },
  HTTPRoute: { useDefaultGateways: "has no effect: name the parents in parentRefs." },
  GRPCRoute: { useDefaultGateways: "has no effect: name the parents in parentRefs." },
  TLSRoute: { useDefaultGateways: "has no effect: name the parents in parentRefs." },
  TCPRoute: { useDefaultGateways: "has no effect: name the parents in parentRefs." },
  BackendTLSPolicy: { options: "has no effect: no option is known." },
};

const KNOWN_OPTIONS: readonly string[] = ["gateway.istio.io/tls-terminate-mode"];

export function ignoredFields({ group, kind, spec }: MeshObject): readonly IgnoredField[] {
  if (group !== GATEWAY_API) return [];
  const fields = fieldsOf(spec);
  const found: IgnoredField[] = [];
  for (const [path, why] of Object.entries(FIELDS[kind] ?? {})) {
    const value = path.split(".").reduce<unknown>((at, name) => fieldsOf(at)[name], fields);
    if (value !== undefined) found.push({ path: `spec.${path}`, why });
  }
  for (const [index, listener] of listOf(fields["listeners"]).entries()) {
    const options = stringMapOf(fieldsOf(fieldsOf(listener)["tls"])["options"]);
    const unknown = Object.keys(options).filter((key) => !KNOWN_OPTIONS.includes(key));
    if (unknown.length === 0) continue;
    const why = `${unknown.join(", ")} has no effect; known is ${KNOWN_OPTIONS.join(", ")}.`;
    found.push({ path: `spec.listeners[${index}].tls.options`, why });
  }
  for (const [index, rule] of listOf(fields["rules"]).entries()) {
    if (fieldsOf(rule)["sessionPersistence"] === undefined) continue;
    const why = "has no effect, as with istiod; use a DestinationRule with consistentHash.";
    found.push({ path: `spec.rules[${index}].sessionPersistence`, why });
  }
  if (kind === "BackendTLSPolicy" && listOf(fieldsOf(fields["validation"])["caCertificateRefs"]).length > 1) {
    found.push({ path: "spec.validation.caCertificateRefs", why: "only the first counts, as with istiod." });
  }
  return found;
}
