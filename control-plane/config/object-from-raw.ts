/** A plain value → a MeshObject, or the reason why it is none. */
import type { Problem } from "#lib/problem.ts";
import { withoutNulls } from "./without-nulls.ts";
import type { MeshObject, ObjectMeta, ObjectSource } from "../model/object.ts";

/** What a manifest without `creationTimestamp` counts as: 2026-01-01T00:00:00Z, so that age ties (rule 112). */
export const UNDATED_CREATION = 1767225600000;

const clusterScopedKinds: ReadonlySet<string> = new Set([
  "APIService",
  "ClusterRole",
  "ClusterRoleBinding",
  "CustomResourceDefinition",
  "GatewayClass",
  "IngressClass",
  "MutatingWebhookConfiguration",
  "Namespace",
  "Node",
  "PersistentVolume",
  "PriorityClass",
  "StorageClass",
  "ValidatingAdmissionPolicy",
  "ValidatingAdmissionPolicyBinding",
  "ValidatingWebhookConfiguration",
]);

const namePattern = /^[a-z0-9]([-a-z0-9.:]*[a-z0-9])?$/;

/** Checks what every object must have: apiVersion, kind, metadata with a name; labels and annotations of strings. */
export function objectFromRaw(
  raw: unknown,
  source: ObjectSource,
): { readonly objects: readonly MeshObject[]; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const refuse = (path: string, message: string, object?: string): void => {
    problems.push({ code: "invalid-object", level: "error", path, message, object, source: source.locate(path) });
  };
  if (!isRecord(raw)) {
    refuse("", `expected a map with apiVersion, kind and metadata, found ${nameOfType(raw)}.`);
    return { objects: [], problems };
  }
  const { apiVersion, kind, metadata } = raw;
  if (apiVersion === undefined && kind === undefined) {
    // Directories hold other YAML, too: Helm values, compose files, package.json.
    const message = "has neither apiVersion nor kind, so it is no Kubernetes object; it is passed over.";
    return {
      objects: [],
      problems: [{ code: "not-an-object", level: "warning", path: "", message, source: source.location }],
    };
  }
  if (typeof apiVersion !== "string" || apiVersion === "") {
    refuse("apiVersion", "apiVersion is missing; every object says one, as `apiVersion: networking.istio.io/v1`.");
  }
  if (typeof kind !== "string" || kind === "") {
    refuse("kind", "kind is missing; every object says one, as `kind: VirtualService`.");
  }
  if (problems.length > 0 || typeof apiVersion !== "string" || typeof kind !== "string") {
    return { objects: [], problems };
  }
  // The installer's own object needs no name.
  const isOperator = apiVersion.startsWith("install.istio.io/");
  const named = isOperator ? { name: "unnamed", ...(isRecord(metadata) ? metadata : {}) } : metadata;
  const meta = readMetadata(named, kind, refuse);
  if (problems.length > 0 || meta === undefined) return { objects: [], problems };
  const slash = apiVersion.indexOf("/");
  const object: MeshObject = {
    apiVersion,
    group: slash < 0 ? "" : apiVersion.slice(0, slash),
    version: slash < 0 ? apiVersion : apiVersion.slice(slash + 1),
    kind,
    metadata: meta,
    spec: withoutNulls(raw["spec"] ?? {}),
    raw,
    source,
  };
  return { objects: [object], problems };
}

type Refuse = (path: string, message: string, object?: string) => void;

function readMetadata(value: unknown, kind: string, refuse: Refuse): ObjectMeta | undefined {
  if (!isRecord(value)) {
    refuse("metadata", `metadata must be a map with a name, found ${nameOfType(value)}.`, kind);
    return undefined;
  }
  const { name, namespace } = value;
  if (typeof name !== "string" || name === "") {
    refuse("metadata.name", `metadata.name must be a non-empty string, found ${nameOfType(name)}.`, kind);
    return undefined;
  }
  const object = `${kind} ${name}`;
  if (name.length > 253 || !namePattern.test(name)) {
    const allowed =
      "letters a-z, digits, `-` and `.`, beginning and ending with a letter or digit, at most 253 characters";
    refuse("metadata.name", `${JSON.stringify(name)} is no name of an object: allowed are ${allowed}.`, object);
    return undefined;
  }
  if (namespace !== undefined && namespace !== null && typeof namespace !== "string") {
    refuse("metadata.namespace", `must be a string, found ${nameOfType(namespace)}.`, object);
    return undefined;
  }
  const labels = readStrings(value["labels"], "metadata.labels", object, refuse);
  const annotations = readStrings(value["annotations"], "metadata.annotations", object, refuse);
  const created = readTime(value["creationTimestamp"], object, refuse);
  return {
    name,
    namespace: clusterScopedKinds.has(kind) ? "" : (namespace ?? "") || "default",
    labels,
    annotations,
    creationTimestamp: created,
    ...(typeof value["resourceVersion"] === "string" ? { resourceVersion: value["resourceVersion"] } : {}),
    ...(typeof value["generation"] === "number" ? { generation: value["generation"] } : {}),
  };
}

function readStrings(value: unknown, path: string, object: string, refuse: Refuse): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) {
    refuse(path, `must be a map of strings, found ${nameOfType(value)}.`, object);
    return {};
  }
  const strings: [string, string][] = [];
  for (const [key, item] of Object.entries(value)) {
    if (typeof item === "string" || item === null) strings.push([key, item ?? ""]);
    else
      refuse(
        `${path}[${JSON.stringify(key)}]`,
        `must be a string, found ${nameOfType(item)}: put it in quotes.`,
        object,
      );
  }
  return Object.fromEntries(strings);
}

function readTime(value: unknown, object: string, refuse: Refuse): number {
  if (value === undefined || value === null) return UNDATED_CREATION;
  const time = typeof value === "string" ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(time)) {
    refuse("metadata.creationTimestamp", "must be an RFC 3339 time, as 2026-01-01T00:00:00Z.", object);
    return UNDATED_CREATION;
  }
  return time;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What a value is, in the words of YAML: `a number (80)`, `a list`, `nothing`. */
export function nameOfType(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  if (typeof value === "string")
    return `the string ${JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)}`;
  return `a ${typeof value} (${JSON.stringify(value) ?? "?"})`;
}
