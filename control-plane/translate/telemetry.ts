/** Which Telemetry rules hold for a proxy: the root namespace's, its own namespace's, its workload's (rule 115). */
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { isEmptySelector } from "./labels.ts";
import { memoized } from "./memo.ts";
import { isSelecting } from "./security-policies.ts";
import { specOf } from "./spec/spec.ts";
import type { ExtensionProvider, ServiceProvider, TelemetrySpec, WorkloadMode } from "./spec/telemetry.ts";
import { outboundCluster } from "./names.ts";
import type { View } from "./view.ts";

/** From the widest to the narrowest: the oldest of the root namespace, of the proxy's, then all that are for the workload. */
export function telemetrySpecs(view: View): readonly TelemetrySpec[] {
  return specsOf(view);
}

const specsOf = memoized((view: View): readonly TelemetrySpec[] => {
  const all = view.mesh.objects<TelemetrySpec>("Telemetry");
  const root = view.mesh.meshConfig.rootNamespace;
  const { namespace } = view.proxy;
  const wide = (space: string): MeshObject | undefined =>
    all.find((object) => object.metadata.namespace === space && isWide(object));
  const own = all.filter(
    (object) => object.metadata.namespace === namespace && !isWide(object) && isSelecting(object, view),
  );
  return [wide(root), namespace === root ? undefined : wide(namespace), ...own]
    .filter((object) => object !== undefined)
    .map((object) => specOf<TelemetrySpec>(object));
});

/** It selects nothing in particular. */
function isWide(object: MeshObject): boolean {
  const { selector, targetRef, targetRefs = [] } = specOf<TelemetrySpec>(object);
  return isEmptySelector(selector?.matchLabels) && targetRef === undefined && targetRefs.length === 0;
}

/** A rule without a mode is for both sides. */
export function isForMode(mode: WorkloadMode | undefined, side: "CLIENT" | "SERVER"): boolean {
  return mode === undefined || mode === "CLIENT_AND_SERVER" || mode === side;
}

export function providerNames(providers: readonly { readonly name?: string }[] | undefined): readonly string[] {
  return (providers ?? []).map(({ name }) => name ?? "");
}

export function extensionProvider(mesh: MeshIndex, name: string): ExtensionProvider | undefined {
  const all = (mesh.meshConfig.raw["extensionProviders"] ?? []) as readonly ExtensionProvider[];
  return all.find((provider) => provider.name?.toLowerCase() === name.toLowerCase());
}

export type DefaultProviderKind = "tracing" | "metrics" | "accessLogging";

export function defaultProviders(mesh: MeshIndex, kind: DefaultProviderKind): readonly string[] {
  const written = mesh.meshConfig.raw["defaultProviders"] as Readonly<Record<string, readonly string[]>> | undefined;
  return written?.[kind] ?? [];
}

export interface ProviderCluster {
  readonly host: string;
  readonly cluster: string;
}

/**
 * The cluster of the service that a provider names; undefined where there is none, or where a host without namespace is
 * in several. What the proxy sees does not count: its operator has chosen the provider.
 */
export function providerCluster(view: View, { service = "", port = 0 }: ServiceProvider): ProviderCluster | undefined {
  const slash = service.indexOf("/");
  const [namespace, host] = slash < 0 ? [undefined, service] : [service.slice(0, slash), service.slice(slash + 1)];
  const known = view.mesh
    .servicesByHost(host)
    .filter((found) => namespace === undefined || found.namespace === namespace);
  const isOne = new Set(known.map((found) => found.namespace)).size === 1;
  return isOne ? { host, cluster: outboundCluster(port, "", host) } : undefined;
}
