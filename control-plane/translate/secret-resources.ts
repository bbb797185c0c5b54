/** Kubernetes Secrets and ConfigMaps → Envoy's Secrets, for a proxy that may have them. */
import type { MeshObject } from "../model/object.ts";
import { type AccessCheck, accessCheck, type ProvenIdentity } from "./credential-access.ts";
import { type CredentialName, parseCredentialName, withoutCaSuffix } from "./credential-names.ts";
import type { JsonObject } from "./json.ts";
import { authorityOf, certificateOf } from "./secret-contents.ts";
import { report, type View } from "./view.ts";

/** What is not there, not allowed, or no certificate is left out, with a finding: others are not concerned. */
export function secretResources(
  view: View,
  names: readonly string[],
  identity: ProvenIdentity | undefined,
): readonly JsonObject[] {
  const check = accessCheck(view, identity);
  return names.map((resource) => secretResource(view, resource, check)).filter((resource) => resource !== undefined);
}

function secretResource(view: View, resource: string, check: AccessCheck): JsonObject | undefined {
  const credential = parseCredentialName(resource, view.proxy.namespace);
  if (credential === undefined) {
    return refuse(view, resource, "it is no name of a Secret that is served here; write kubernetes://[namespace/]name");
  }
  const fault = check(resource, credential);
  if (fault !== undefined) return refuse(view, resource, fault);
  const object = objectOf(view, credential);
  if (object === undefined) {
    const kind = credential.kind === "configmap" ? "ConfigMap" : "Secret";
    return refuse(view, resource, `there is no ${kind} ${credential.namespace}/${withoutCaSuffix(credential.name)}`);
  }
  const { fields, problem } = credential.isCa ? authorityOf(object) : certificateOf(object);
  if (fields === undefined) {
    const message = `${problem}; ${view.proxy.name} does not get it, and keeps what it has of it.`;
    report(view, "error", "invalid-secret", object, "", message);
    return undefined;
  }
  return { name: resource, ...fields };
}

function refuse(view: View, resource: string, why: string): undefined {
  const { name, namespace } = view.proxy;
  const message = `is not served to ${name}.${namespace}: ${why}.`;
  view.problems.push({ code: "secret-not-served", level: "warning", path: "", message, object: `SDS ${resource}` });
  return undefined;
}

/** A Secret of the very name first: a CA may have one of its own, `mutual-cacert`. */
function objectOf({ mesh }: View, { kind, namespace, name, isCa }: CredentialName): MeshObject | undefined {
  const of = (wanted: string): MeshObject | undefined =>
    mesh.object(kind === "configmap" ? "ConfigMap" : "Secret", namespace, wanted);
  return of(name) ?? (isCa ? of(withoutCaSuffix(name)) : undefined);
}
