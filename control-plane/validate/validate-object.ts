/** Every object that is loaded passes here: refused, taken with findings, or taken and without effect. */
import type { Problem } from "#lib/problem.ts";
import { isMeshConfigFile, isMeshConfigMap } from "../model/read-mesh-config.ts";
import { fieldsOf, type Fields } from "../model/read-fields.ts";
import type { MeshObject } from "../model/object.ts";
import { validateAuthorizationPolicy } from "./authorization-policy.ts";
import { validateDestinationRule } from "./destination-rule.ts";
import { validateEnvoyFilter } from "./envoy-filter.ts";
import { validateProxyConfig } from "./proxy-config.ts";
import { validateTelemetry } from "./telemetry.ts";
import { validateTrafficExtension, validateWasmPlugin } from "./wasm-plugin.ts";
import { validateWorkloadGroup } from "./workload-group.ts";
import { crdOf } from "./crds/crds.ts";
import { validateGateway } from "./gateway.ts";
import { createFindings, type Findings } from "./findings.ts";
import { gatewayApiKinds, istioKinds, knownKind, kubernetesKinds, type KnownKind } from "./kinds.ts";
import {
  validateEndpoints,
  validateEndpointSlice,
  validatePod,
  validateService,
  validateWorkloadController,
} from "./kubernetes.ts";
import { noteFieldsWithoutEffect } from "./fields-without-effect.ts";
import { nearestNames } from "../model/near-names.ts";
import { validatePeerAuthentication } from "./peer-authentication.ts";
import { validateRequestAuthentication } from "./request-authentication.ts";
import { checkSchema } from "./schema.ts";
import { validateServiceEntry, validateWorkloadEntry } from "./service-entry.ts";
import { validateSidecar } from "./sidecar.ts";
import { validateVirtualService } from "./virtual-service.ts";

/** An object that is loaded and changes nothing. */
export const NO_EFFECT = "GM0101";
/** A policy that is not supported yet: what it selects is closed. */

/** istiod's semantic checks, by kind. They run on a spec whose shape the schema has found right. */
const semantics: Readonly<Record<string, (findings: Findings, spec: Fields) => void>> = {
  VirtualService: validateVirtualService,
  DestinationRule: validateDestinationRule,
  PeerAuthentication: validatePeerAuthentication,
  RequestAuthentication: validateRequestAuthentication,
  AuthorizationPolicy: validateAuthorizationPolicy,
  ServiceEntry: validateServiceEntry,
  WorkloadEntry: validateWorkloadEntry,
  Sidecar: validateSidecar,
  Gateway: validateGateway,
  Telemetry: validateTelemetry,
  EnvoyFilter: validateEnvoyFilter,
  WorkloadGroup: validateWorkloadGroup,
  ProxyConfig: validateProxyConfig,
  WasmPlugin: validateWasmPlugin,
  TrafficExtension: validateTrafficExtension,
};

const kubernetesChecks: Readonly<Record<string, (findings: Findings, spec: Fields) => void>> = {
  Service: validateService,
  Pod: validatePod,
  Deployment: validateWorkloadController,
  StatefulSet: validateWorkloadController,
  DaemonSet: validateWorkloadController,
  EndpointSlice: validateEndpointSlice,
  Endpoints: validateEndpoints,
};

/** Findings about one object. With one of level `error` the object is refused. */
export function validateObject(object: MeshObject): readonly Problem[] {
  const findings = createFindings(object);
  const known = knownKind(object.kind, object.group);
  if (known !== undefined) validateKnown(findings, known);
  else if (isKubernetes(object)) kubernetesChecks[object.kind]?.(findings, fieldsOf(object.spec));
  else validateForeign(findings);
  return findings.problems;
}

/** istiod's own opinion, without the CRD's schema: what it refuses is refused by istiod, too. */
export function validateSemantics(object: MeshObject): readonly Problem[] {
  const findings = createFindings(object);
  semanticsOf(object)?.(findings, fieldsOf(object.spec));
  return findings.problems;
}

/** Of the Gateway API's objects istiod says what it thinks in their status. */
function semanticsOf({ kind, group }: MeshObject): ((findings: Findings, spec: Fields) => void) | undefined {
  return istioKinds[kind]?.group === group ? semantics[kind] : undefined;
}

function validateKnown(findings: Findings, kind: KnownKind): void {
  const { object } = findings;
  if (!kind.versions.includes(object.version)) {
    const served = kind.versions.map((version) => `${kind.group}/${version}`).join(", ");
    findings.refuse(
      "apiVersion",
      `${object.kind} has no version ${object.apiVersion}; served are ${served}.`,
      "unknown-api-version",
    );
    return;
  }
  const crd = crdOf(object.kind, kind.group, object.version);
  const schema = createFindings(object);
  if (crd !== undefined) checkSchema(crd, schema);
  if (schema.problems.some(({ code }) => code === "wrong-type")) {
    findings.add(schema.problems);
    return;
  }
  const semantic = createFindings(object);
  semanticsOf(object)?.(semantic, fieldsOf(object.spec));
  findings.add(withoutRepeats(schema.problems, semantic.problems));
  noteFieldsWithoutEffect(findings);
  const exception = kind.exceptions?.(fieldsOf(object.spec));
  const { effect, what } = exception ?? { effect: kind.effect, what: object.kind };
  if (effect === "none") {
    findings.warn("", `${what} has no effect here yet; it is loaded and nothing is made of it.`, NO_EFFECT);
  }
}

/** What both the schema and istiod refuse is said once: a broken rule in istiod's words, the rest in the schema's. */
function withoutRepeats(schema: readonly Problem[], semantic: readonly Problem[]): readonly Problem[] {
  const errors = (problems: readonly Problem[]): ReadonlySet<string> =>
    new Set(problems.flatMap(({ level, path }) => (level === "error" ? [path] : [])));
  const refusedByIstiod = errors(semantic);
  const kept = schema.filter(({ code, path }) => code !== "broken-rule" || !refusedByIstiod.has(path));
  const refused = errors(kept);
  return [...kept, ...semantic.filter(({ level, path }) => level !== "error" || !refused.has(path))];
}

function isKubernetes(object: MeshObject): boolean {
  return Object.hasOwn(kubernetesKinds, object.kind) && kubernetesKinds[object.kind] === object.group;
}

/** Kinds that are nobody's business here. A kind that Istio's groups do not have is a mistake; others are only said. */
function validateForeign(findings: Findings): void {
  const { object } = findings;
  const { kind, group } = object;
  const ownGroup = istioKinds[kind]?.group ?? kubernetesKinds[kind];
  if (group === "install.istio.io" && kind === "IstioOperator") {
    findings.note(
      "",
      "of an IstioOperator only spec.meshConfig counts here; what it installs has no effect.",
      NO_EFFECT,
    );
  } else if (group.endsWith("istio.io") && group !== "install.istio.io") {
    const inGroup = Object.entries(istioKinds)
      .filter(([, known]) => known.group === group)
      .map(([name]) => name);
    const all = inGroup.length > 0 ? inGroup : Object.keys(istioKinds);
    const near = nearestNames(kind, all);
    const hint =
      ownGroup === undefined
        ? `did you mean ${near.join(" or ") || all.join(", ")}?`
        : `${kind} is of the group ${ownGroup}.`;
    findings.refuse("kind", `${group} has no kind ${kind}; ${hint}`, "unknown-kind");
  } else if (group === gatewayApiKinds["Gateway"]?.group) {
    const kinds = Object.keys(gatewayApiKinds).join(", ");
    findings.warn("", `${kind} has no effect here; of ${group} these have: ${kinds}.`, NO_EFFECT);
  } else if (isMeshConfigMap(object) || isMeshConfigFile(object)) {
    return;
  } else {
    const level = group === "" || group.endsWith(".k8s.io") || group === "apps" || group === "batch" ? "note" : "warn";
    findings[level](
      "",
      `${object.apiVersion} ${kind} has no effect here; it is loaded and nothing is made of it.`,
      NO_EFFECT,
    );
  }
}
