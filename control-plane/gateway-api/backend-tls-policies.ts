/** BackendTLSPolicy → DestinationRules with TLS, for gateways and sidecars alike. */
import type { AncestorStatus, GatewayApiStatus, ParentReference } from "../model/gateway-status.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { type Fields, fieldsOf, listOf, stringOf } from "../model/read-fields.ts";
import { serviceHost } from "../model/service-from-kubernetes.ts";
import type { ClientTls, DestinationRuleSpec } from "../translate/spec/destination-rule.ts";
import { conditionsOf, type StatusError } from "./conditions.ts";
import { generatedObject } from "./generated.ts";
import { GATEWAY_API, GATEWAY_CONTROLLER, internalPolicyName, MESH_CONTROLLER } from "./names.ts";
import { certificateRefFrom } from "./read-gateway.ts";

/** Nobody serves it: what has to be checked against it is refused. */
const NO_AUTHORITY = "invalid://";

/** What a Gateway leads to: `namespace/service`. */
export interface GatewayBackends {
  readonly gateway: { readonly name: string; readonly namespace: string };
  readonly services: ReadonlySet<string>;
}

export interface PolicyResults {
  readonly generated: readonly MeshObject<DestinationRuleSpec>[];
  readonly statuses: ReadonlyMap<MeshObject, GatewayApiStatus>;
}

interface Claim {
  readonly policy: MeshObject;
  readonly service: string;
  readonly namespace: string;
  /** Of a policy for one port. */
  readonly port: number | undefined;
  readonly tls: ClientTls;
}

/** Policies in order of age: the first for a Service or a port of it counts. */
export function convertBackendTlsPolicies(
  mesh: MeshIndex,
  policies: readonly MeshObject[],
  backends: readonly GatewayBackends[],
): PolicyResults {
  const claims: Claim[] = [];
  const statuses = new Map<MeshObject, GatewayApiStatus>();
  for (const policy of policies) {
    const made = convertPolicy(mesh, policy, backends);
    claims.push(...made.claims);
    statuses.set(policy, { ancestors: made.ancestors });
  }
  const byService = Map.groupBy(claims, ({ namespace, service }) => `${namespace}/${service}`);
  return { generated: [...byService.values()].flatMap(destinationRule), statuses };
}

function destinationRule(claims: readonly Claim[]): readonly MeshObject<DestinationRuleSpec>[] {
  const [first] = claims;
  if (first === undefined) return [];
  const { service, namespace } = first;
  const whole = claims.find(({ port }) => port === undefined);
  const byPort = new Map<number, ClientTls>();
  for (const { port, tls } of claims) if (port !== undefined && !byPort.has(port)) byPort.set(port, tls);
  const spec: DestinationRuleSpec = {
    host: serviceHost(service, namespace),
    trafficPolicy: {
      ...(whole !== undefined && { tls: whole.tls }),
      ...(byPort.size > 0 && {
        portLevelSettings: [...byPort].map(([number, tls]) => ({ port: { number }, tls })),
      }),
    },
  };
  const origins = [...new Set(claims.map(({ policy }) => policy))];
  const name = internalPolicyName(service);
  return [generatedObject({ kind: "DestinationRule", name, namespace, origins, annotations: {}, spec })];
}

function convertPolicy(
  mesh: MeshIndex,
  policy: MeshObject,
  backends: readonly GatewayBackends[],
): { readonly claims: readonly Claim[]; readonly ancestors: readonly AncestorStatus[] } {
  const spec = fieldsOf(policy.spec);
  const { namespace } = policy.metadata;
  const { tls, accepted, resolved } = clientTls(mesh, fieldsOf(spec["validation"]), namespace);
  const conditions = (error: StatusError | undefined): AncestorStatus["conditions"] =>
    conditionsOf(policy, {
      Accepted: { reason: "Accepted", message: VALID, error: error ?? accepted },
      ResolvedRefs: { reason: "ResolvedRefs", message: VALID, error: resolved },
    });
  const claims: Claim[] = [];
  const ancestors: AncestorStatus[] = [];
  const gateways = new Map<string, string>();
  let last: StatusError | undefined;
  for (const ref of listOf(spec["targetRefs"]).map(fieldsOf)) {
    const { port, error } = targetOf(mesh, ref, namespace);
    const ancestorRef = targetReference(ref);
    const service = ancestorRef.name;
    last = error;
    ancestors.push({ ancestorRef, controllerName: MESH_CONTROLLER, conditions: conditions(error) });
    if (error !== undefined) continue;
    claims.push({ policy, service, namespace, port, tls });
    for (const { gateway, services } of backends) {
      if (services.has(`${namespace}/${service}`)) gateways.set(`${gateway.namespace}/${gateway.name}`, gateway.name);
    }
  }
  for (const key of [...gateways.keys()].toSorted()) {
    const ancestorRef = { group: GATEWAY_API, kind: "Gateway", name: gateways.get(key) ?? "" };
    ancestors.push({ ancestorRef, controllerName: GATEWAY_CONTROLLER, conditions: conditions(last) });
  }
  return { claims, ancestors };
}

const VALID = "Configuration is valid";

function targetReference(ref: Fields): ParentReference {
  const sectionName = stringOf(ref["sectionName"]);
  return {
    group: stringOf(ref["group"]) ?? "",
    kind: stringOf(ref["kind"]) ?? "",
    name: stringOf(ref["name"]) ?? "",
    ...(sectionName !== undefined && { sectionName }),
  };
}

/** A Service of the policy's namespace, or the port of it that `sectionName` names. */
function targetOf(
  mesh: MeshIndex,
  ref: Fields,
  namespace: string,
): { readonly port?: number; readonly error?: StatusError } {
  const { group, kind, name, sectionName } = targetReference(ref);
  const notFound = (message: string): { readonly error: StatusError } => ({
    error: { reason: "TargetNotFound", message: `targetRefs: ${message}` },
  });
  if (group !== "" || kind !== "Service") return notFound(`kind ${kind} is not supported; only Services are`);
  const service = mesh.servicesByHost(serviceHost(name, namespace)).find((item) => item.namespace === namespace);
  if (service === undefined) return notFound(`Service ${namespace}/${name} not found`);
  if (sectionName === undefined || sectionName === "") return {};
  const port = service.ports.find((item) => item.name === sectionName);
  return port === undefined
    ? notFound(`Service ${namespace}/${name} has no port ${sectionName}`)
    : { port: port.number };
}

interface ClientTlsResult {
  readonly tls: ClientTls;
  readonly accepted?: StatusError;
  readonly resolved?: StatusError;
}

/** Where the CA can't be had nobody is trusted. */
function clientTls(mesh: MeshIndex, validation: Fields, namespace: string): ClientTlsResult {
  const names = listOf(validation["subjectAltNames"])
    .map(fieldsOf)
    .map(({ type, hostname, uri }) => stringOf(type === "URI" ? uri : hostname))
    .filter((name) => name !== undefined);
  const tls: ClientTls = {
    mode: "SIMPLE",
    sni: stringOf(validation["hostname"]) ?? "",
    ...(names.length > 0 && { subjectAltNames: names }),
  };
  const wellKnown = stringOf(validation["wellKnownCACertificates"]);
  if (wellKnown === "System") return { tls };
  if (wellKnown !== undefined) {
    const message = `wellKnownCACertificates: ${wellKnown} is not known; only System is`;
    return { tls: { ...tls, credentialName: NO_AUTHORITY }, accepted: { reason: "Invalid", message } };
  }
  const [first] = listOf(validation["caCertificateRefs"]).map(certificateRefFrom);
  if (first === undefined) return { tls };
  const refuse = (reason: string, message: string): ClientTlsResult => ({
    tls: { ...tls, credentialName: NO_AUTHORITY },
    accepted: { reason: "NoValidCACertificate", message },
    resolved: { reason, message },
  });
  if (first.group !== "" || first.kind !== "ConfigMap") {
    return refuse("InvalidKind", `caCertificateRefs: kind ${first.kind} is not supported; only ConfigMaps are`);
  }
  const configMap = mesh.object("ConfigMap", namespace, first.name);
  const data = fieldsOf(configMap?.raw["data"]);
  if (configMap === undefined || (stringOf(data["ca.crt"]) ?? stringOf(data["cacert"])) === undefined) {
    const message = `caCertificateRefs: ConfigMap ${namespace}/${first.name} with a key ca.crt not found`;
    return refuse("InvalidCACertificateRef", message);
  }
  return { tls: { ...tls, credentialName: `configmap://${namespace}/${first.name}` } };
}
