/** Names of hosts and what they lead to, as istioctl's analyzers resolve them. */
import { fieldsOf, listOf, numberOf, stringOf, stringsOf } from "../../model/read-fields.ts";
import type { AnalyzedObject } from "../analyzed-object.ts";
import type { AnalysisContext } from "../analyzer.ts";

const ALL = "*";
const DOMAIN = "svc.cluster.local";

/** Somebody who answers for a host: a Service, or a ServiceEntry. */
export interface HostOwner {
  readonly ports: readonly number[];
  readonly workloadLabels: Readonly<Record<string, string>>;
}

/** `<scope>/<fqdn>`: scope is a namespace, or `*`. */
export function scopedHost(scope: string, namespace: string, host: string): string {
  return `${scope}/${qualifiedHost(namespace, host)}`;
}

/** A short name belongs to the namespace; a name with dots or a wildcard is taken as it is. */
export function qualifiedHost(namespace: string, host: string): string {
  return host.startsWith("*") || host.includes(".") ? host : `${host}.${namespace}.${DOMAIN}`;
}

/** The Service that a host names: `reviews` and `reviews.default.svc.cluster.local` are one. */
export function serviceNameOf(defaultNamespace: string, host: string): string {
  const match = /^(.+)\.(.+)\.svc\.cluster\.local$/.exec(host);
  return match === null ? `${defaultNamespace}/${host}` : `${match[2] ?? ""}/${match[1] ?? ""}`;
}

/** Where an `exportTo` makes something visible: `*`, or namespaces. */
export function exportScopes(exportTo: readonly string[], namespace: string): readonly string[] {
  if (exportTo.length === 0 || exportTo.includes(ALL)) return [ALL];
  return [...new Set(exportTo.map((entry) => (entry === "." ? namespace : entry)))];
}

/** Every host of a ServiceEntry or Service, by `<scope>/<fqdn>`. */
export function hostOwners(context: AnalysisContext): ReadonlyMap<string, HostOwner> {
  const owners = new Map<string, HostOwner>();
  for (const { spec, namespace } of context.all("ServiceEntry")) {
    const owner = {
      ports: listOf(spec["ports"]).map((port) => numberOf(fieldsOf(port)["number"]) ?? 0),
      workloadLabels: stringLabels(fieldsOf(spec["workloadSelector"])["labels"]),
    };
    for (const host of stringsOf(spec["hosts"])) {
      for (const scope of exportScopes(stringsOf(spec["exportTo"]), namespace)) {
        owners.set(scopedHost(scope, namespace, host), owner);
      }
    }
  }
  for (const { spec, namespace, name, annotations } of context.all("Service")) {
    const owner = {
      ports: listOf(spec["ports"]).map((port) => numberOf(fieldsOf(port)["port"]) ?? 0),
      workloadLabels: {},
    };
    const written = (annotations["networking.istio.io/exportTo"] ?? "").split(",").map((entry) => entry.trim());
    for (const scope of written[0] === "" ? [ALL] : written) {
      owners.set(scopedHost(scope === "." ? namespace : scope, namespace, name), owner);
    }
  }
  return owners;
}

function stringLabels(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(fieldsOf(value)).map(([key, item]) => [key, stringOf(item) ?? ""]));
}

/** Who answers for a host that `from` names; undefined: nobody that it may see. */
export function ownerOfHost(
  owners: ReadonlyMap<string, HostOwner>,
  from: Pick<AnalyzedObject, "namespace" | "spec">,
  host: string,
): HostOwner | undefined {
  const { namespace } = from;
  const exportTo = stringsOf(from.spec["exportTo"]);
  const scopes = exportTo.length === 0 ? [namespace] : exportTo.map((entry) => (entry === "." ? namespace : entry));
  for (const scope of [ALL, ...scopes]) {
    const owner = owners.get(scopedHost(scope, namespace, host));
    if (owner !== undefined) return owner;
  }
  const suffix = host.startsWith("*") ? host.slice(1) : host;
  for (const [scoped, owner] of owners) {
    const slash = scoped.indexOf("/");
    const [scope, known] = [scoped.slice(0, slash), scoped.slice(slash + 1)];
    if (known.startsWith("*") && (scope === ALL || scope === namespace) && suffix.endsWith(known.slice(1)))
      return owner;
  }
  return undefined;
}
