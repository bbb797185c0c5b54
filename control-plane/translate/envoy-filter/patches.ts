/** EnvoyFilters of one proxy: which hold, in which order, with their values as canonical proto3 JSON. */
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { RE2JS } from "re2js";
import { messageFromJson, messageToJson } from "#protos/json.ts";
import { registry } from "#protos/registry.ts";
import type { MeshObject } from "../../model/object.ts";
import { byText, type JsonObject } from "../json.ts";
import { isEmptySelector, selects } from "../labels.ts";
import { memoized } from "../memo.ts";
import type { ApplyTo, EnvoyFilterSpec, ObjectMatch, PatchContext, PatchOperation } from "../spec/envoy-filter.ts";
import { specOf } from "../spec/spec.ts";
import { report, type View } from "../view.ts";

export interface Patch {
  readonly operation: PatchOperation;
  readonly match: ObjectMatch;
  /** Empty for REMOVE. */
  readonly value: JsonObject;
}

export type Patches = ReadonlyMap<ApplyTo, readonly Patch[]>;

/** The Envoy message that a patch of a kind holds. */
export const PATCH_MESSAGES: Readonly<Record<ApplyTo, string>> = {
  CLUSTER: "envoy.config.cluster.v3.Cluster",
  LISTENER: "envoy.config.listener.v3.Listener",
  ROUTE_CONFIGURATION: "envoy.config.route.v3.RouteConfiguration",
  FILTER_CHAIN: "envoy.config.listener.v3.FilterChain",
  HTTP_FILTER: "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
  NETWORK_FILTER: "envoy.config.listener.v3.Filter",
  VIRTUAL_HOST: "envoy.config.route.v3.VirtualHost",
  HTTP_ROUTE: "envoy.config.route.v3.Route",
  EXTENSION_CONFIG: "envoy.config.core.v3.TypedExtensionConfig",
  BOOTSTRAP: "envoy.config.bootstrap.v3.Bootstrap",
  LISTENER_FILTER: "envoy.config.listener.v3.ListenerFilter",
};

/** Where something can be put before or after another; elsewhere an insertion is an addition. */
const ORDERED: ReadonlySet<ApplyTo> = new Set(["HTTP_FILTER", "NETWORK_FILTER", "HTTP_ROUTE"]);

/** Undefined without any: then nothing is copied. */
export const patchesOf: (view: View) => Patches | undefined = memoized((view: View): Patches | undefined => {
  const objects = filtersOf(view);
  if (objects.length === 0) return undefined;
  const patches = new Map<ApplyTo, Patch[]>();
  for (const object of objects) {
    const { configPatches = [] } = specOf<EnvoyFilterSpec>(object);
    for (const [index, { applyTo, match = {}, patch }] of configPatches.entries()) {
      if (applyTo === undefined || patch?.operation === undefined || !proxyMatches(view, match)) continue;
      const path = `spec.configPatches[${index}]`;
      if (applyTo === "BOOTSTRAP") {
        report(
          view,
          "warning",
          "no-effect",
          object,
          path,
          "A patch of the bootstrap has no effect on a proxy that runs.",
        );
        continue;
      }
      const value =
        patch.operation === "REMOVE" ? {} : valueOf(view, object, `${path}.patch.value`, applyTo, patch.value);
      if (value === undefined) continue;
      const isInsertion = patch.operation.startsWith("INSERT_");
      const operation = isInsertion && !ORDERED.has(applyTo) ? "ADD" : patch.operation;
      const list = patches.get(applyTo) ?? [];
      list.push({ operation, match, value });
      patches.set(applyTo, list);
    }
  }
  return patches;
});

/** Lower priority first, then the root namespace's, then the oldest. */
function filtersOf(view: View): readonly MeshObject[] {
  const { rootNamespace } = view.mesh.meshConfig;
  const { namespace } = view.proxy;
  const isRoot = ({ metadata }: MeshObject): boolean => metadata.namespace === rootNamespace;
  const priority = (object: MeshObject): number => specOf<EnvoyFilterSpec>(object).priority ?? 0;
  return view.mesh
    .objects("EnvoyFilter")
    .filter((object) => (isRoot(object) || object.metadata.namespace === namespace) && isSelected(view, object))
    .toSorted(
      (a, b) =>
        priority(a) - priority(b) ||
        Number(isRoot(b)) - Number(isRoot(a)) ||
        a.metadata.creationTimestamp - b.metadata.creationTimestamp ||
        byText(`${a.metadata.name}.${a.metadata.namespace}`, `${b.metadata.name}.${b.metadata.namespace}`),
    );
}

function isSelected(view: View, object: MeshObject): boolean {
  const { workloadSelector, targetRefs = [] } = specOf<EnvoyFilterSpec>(object);
  if (targetRefs.length > 0) {
    const gateway = view.labels["gateway.networking.k8s.io/gateway-name"];
    const isHere = object.metadata.namespace === view.proxy.namespace;
    return (
      isHere && gateway !== undefined && targetRefs.some(({ kind, name }) => kind === "Gateway" && name === gateway)
    );
  }
  return isEmptySelector(workloadSelector?.labels) || selects(workloadSelector?.labels, view.labels);
}

function proxyMatches(view: View, { proxy }: ObjectMatch): boolean {
  if (proxy === undefined) return true;
  const version = view.proxy.metadata["ISTIO_VERSION"];
  const pattern = proxy.proxyVersion ?? "";
  if (pattern !== "" && !(typeof version === "string" && isMatchedByRegex(pattern, version))) return false;
  return Object.entries(proxy.metadata ?? {}).every(([key, value]) => view.proxy.metadata[key] === value);
}

/**
 * Undefined, with a finding, for what is no message of its kind. A field that the message does not have is left out
 * with a finding, as istiod leaves it out in silence: the patch may be meant for another version of Envoy.
 */
function valueOf(
  view: View,
  object: MeshObject,
  path: string,
  applyTo: ApplyTo,
  written: JsonObject | undefined,
): JsonObject | undefined {
  const { value, problems } = messageFromJson(PATCH_MESSAGES[applyTo], written ?? {}, path);
  if (value !== undefined) return messageToJson(value) as JsonObject;
  const known = problems.every(({ code }) => code === "unknown-field") ? lenient(applyTo, written) : undefined;
  for (const { code, path: at, message } of problems) {
    const consequence = known === undefined ? "the patch is left out" : "the field is left out";
    report(view, known === undefined ? "error" : "warning", code, object, at, `${message}; ${consequence}.`);
  }
  return known;
}

function lenient(applyTo: ApplyTo, written: JsonObject | undefined): JsonObject | undefined {
  const desc = registry().getMessage(PATCH_MESSAGES[applyTo]);
  if (desc === undefined) return undefined;
  try {
    const options = { registry: registry(), ignoreUnknownFields: true };
    return messageToJson(fromJson(desc, (written ?? {}) as JsonValue, options)) as JsonObject;
  } catch {
    return undefined;
  }
}

function isMatchedByRegex(pattern: string, text: string): boolean {
  try {
    return RE2JS.compile(pattern).matcher(text).find();
  } catch {
    return false;
  }
}

export function holdsIn(context: PatchContext, { match }: Patch): boolean {
  return (match.context ?? "ANY") === "ANY" || match.context === context;
}
