/** Consul's ServiceIntentions → AuthorizationPolicies for the workloads of the destination. */
import type { Problem } from "#lib/problem.ts";
import { generatedObject } from "../gateway-api/generated.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { fieldsOf, listOf, stringOf, stringsOf, type Fields } from "../model/read-fields.ts";
import { serviceHost } from "../model/service-from-kubernetes.ts";
import { finding, type OtherApi } from "./other-api.ts";

const GROUP = "consul.hashicorp.com";

export const serviceIntentions: OtherApi = {
  kinds: [{ group: GROUP, kind: "ServiceIntentions" }],
  convert(mesh) {
    const results = mesh.objects(`${GROUP}/ServiceIntentions`).map((object) => convertIntentions(mesh, object));
    return {
      generated: results.flatMap(({ generated }) => generated),
      problems: results.flatMap(({ problems }) => problems),
    };
  },
};

type Report = (path: string, message: string) => void;

interface Rules {
  readonly allow: Fields[];
  readonly deny: Fields[];
  /** Whoever no rule allows is refused. */
  isClosed: boolean;
}

/**
 * A source that is named counts before `*`: `deny` of a name denies it, `deny` of all others leaves only what is
 * allowed. What can't be said precisely is refused rather than let in.
 */
function convertIntentions(
  mesh: MeshIndex,
  object: MeshObject,
): { readonly generated: readonly MeshObject[]; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const spec = fieldsOf(object.spec);
  const destination = fieldsOf(spec["destination"]);
  const namespace = stringOf(destination["namespace"]) ?? object.metadata.namespace;
  const name = stringOf(destination["name"]) ?? "";
  const report: Report = (path, message) => void problems.push(finding(object, path, message));
  if (name === "") {
    report("spec.destination.name", "is missing; it names a service, or * for all of the namespace.");
    return { generated: [], problems };
  }
  const rules: Rules = { allow: [], deny: [], isClosed: false };
  for (const [index, source] of listOf(spec["sources"]).map(fieldsOf).entries()) {
    addSource(mesh, source, namespace, `spec.sources[${index}]`, rules, report);
  }
  const selector = selectorOf(mesh, name, namespace);
  const policy = (action: "ALLOW" | "DENY", own: readonly Fields[]): MeshObject =>
    generatedObject({
      kind: "AuthorizationPolicy",
      name: `${object.metadata.name}-intentions-${action.toLowerCase()}`,
      namespace,
      origins: [object],
      annotations: {},
      spec: { ...(selector === undefined ? {} : { selector: { matchLabels: selector } }), action, rules: own },
    });
  return {
    problems,
    generated: [
      ...(rules.deny.length > 0 ? [policy("DENY", rules.deny)] : []),
      ...(rules.allow.length > 0 || rules.isClosed ? [policy("ALLOW", rules.allow)] : []),
    ],
  };
}

/** The Service's own selector; a service that Kubernetes does not have is known by its label. */
function selectorOf(mesh: MeshIndex, name: string, namespace: string): Readonly<Record<string, string>> | undefined {
  if (name === "*") return undefined;
  const [service] = mesh.servicesByHost(serviceHost(name, namespace));
  return service?.selector ?? { app: name };
}

function addSource(mesh: MeshIndex, source: Fields, own: string, path: string, rules: Rules, report: Report): void {
  const name = stringOf(source["name"]) ?? "";
  const isAll = name === "*";
  const from = fromOf(mesh, source, own);
  for (const field of ["peer", "partition", "samenessGroup"]) {
    if (source[field] === undefined) continue;
    report(`${path}.${field}`, "has no counterpart in this mesh; the source is refused.");
    rules.isClosed = true;
    return;
  }
  const permissions = listOf(source["permissions"]).map(fieldsOf);
  if (permissions.length > 0) {
    // Whom the permissions do not allow is refused.
    rules.isClosed = true;
    addPermissions(permissions, from, `${path}.permissions`, rules, report);
    return;
  }
  switch (source["action"]) {
    case "allow":
      rules.allow.push(from);
      return;
    case "deny":
      if (isAll) rules.isClosed = true;
      else rules.deny.push(from);
      return;
    default:
      report(
        `${path}.action`,
        `must be allow or deny, found ${JSON.stringify(source["action"])}; the source is refused.`,
      );
      rules.deny.push(from);
  }
}

/** On Kubernetes a Consul service is known by the service account of its name. */
function fromOf(mesh: MeshIndex, source: Fields, own: string): Fields {
  const name = stringOf(source["name"]) ?? "";
  const namespace = stringOf(source["namespace"]) ?? own;
  if (name === "*" && namespace === "*") return { from: [{ source: { principals: ["*"] } }] };
  if (name === "*") return { from: [{ source: { namespaces: [namespace] } }] };
  const principal = `${mesh.meshConfig.trustDomain}/ns/${namespace}/sa/${name}`;
  return { from: [{ source: { principals: [principal] } }] };
}

function addPermissions(
  permissions: readonly Fields[],
  from: Fields,
  path: string,
  rules: Rules,
  report: Report,
): void {
  let hasAllowed = false;
  for (const [index, permission] of permissions.entries()) {
    const at = `${path}[${index}]`;
    const isAllowed = permission["action"] === "allow";
    const rule = httpRule(fieldsOf(permission["http"]));
    if (typeof rule === "string") {
      report(
        `${at}.http.${rule}`,
        isAllowed
          ? "can't be said by an AuthorizationPolicy; nothing is allowed by it."
          : "can't be said by an AuthorizationPolicy; everything of the source is denied.",
      );
      if (!isAllowed) rules.deny.push(from);
      continue;
    }
    if (isAllowed) {
      hasAllowed = true;
      rules.allow.push({ ...from, ...rule });
      continue;
    }
    if (hasAllowed)
      report(at, "denies also what a permission before it allows: here a denial counts before every permission.");
    rules.deny.push({ ...from, ...rule });
  }
}

/** The field that has no counterpart, or the rest of a rule. */
function httpRule(http: Fields): Fields | string {
  if (http["pathRegex"] !== undefined) return "pathRegex";
  const exact = stringOf(http["pathExact"]);
  const prefix = stringOf(http["pathPrefix"]);
  const methods = stringsOf(http["methods"]);
  const operation = {
    ...(exact === undefined ? {} : { paths: [exact] }),
    ...(prefix === undefined ? {} : { paths: [`${prefix}*`] }),
    ...(methods.length === 0 ? {} : { methods }),
  };
  const when: Fields[] = [];
  for (const header of listOf(http["header"]).map(fieldsOf)) {
    const value = headerValue(header);
    if (value === undefined) return "header";
    const key = `request.headers[${stringOf(header["name"]) ?? ""}]`;
    when.push(header["invert"] === true ? { key, notValues: [value] } : { key, values: [value] });
  }
  return {
    ...(Object.keys(operation).length === 0 ? {} : { to: [{ operation }] }),
    ...(when.length === 0 ? {} : { when }),
  };
}

function headerValue(header: Fields): string | undefined {
  const { exact, prefix, suffix, present } = header;
  if (typeof exact === "string") return exact;
  if (typeof prefix === "string") return `${prefix}*`;
  if (typeof suffix === "string") return `*${suffix}`;
  return present === true ? "*" : undefined;
}
