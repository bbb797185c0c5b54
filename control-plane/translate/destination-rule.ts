/** DestinationRule: merging of rules for one host, and which rule a client uses (rules 39–41). */
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { CLUSTER_DOMAIN, expandHost, HostTable } from "./hosts.ts";
import { type Labels, selects } from "./labels.ts";
import { memoizedByShape } from "./memo.ts";
import type { DestinationRuleSpec, Subset, TrafficPolicy } from "./spec/destination-rule.ts";
import { specOf } from "./spec/spec.ts";
import { isVisibleTo } from "./visibility.ts";

/** One rule, or several of one host, namespace and `exportTo` made one. */
export interface DestinationRule {
  /** The oldest of those that were merged: it is named in the metadata. */
  readonly object: MeshObject;
  readonly namespace: string;
  readonly exportTo: readonly string[];
  readonly selector: Labels | undefined;
  readonly trafficPolicy: TrafficPolicy | undefined;
  readonly subsets: readonly Subset[];
}

interface NamespaceRules {
  /** What clients of the rules' own namespace see. */
  readonly local: HostTable<readonly DestinationRule[]>;
  /** What is not private to the namespace. */
  readonly exported: HostTable<readonly DestinationRule[]>;
  /** Private to the namespace: the only local rules that the root namespace's own clients prefer. */
  readonly privateOnly: HostTable<readonly DestinationRule[]>;
}

/** The rules that a client in `namespace` may use for a host, most specific level only; empty when there is none. */
export function destinationRulesFor(
  mesh: MeshIndex,
  clientNamespace: string,
  host: string,
  serviceNamespace: string,
): readonly DestinationRule[] {
  const index = rulesByNamespace(mesh);
  const root = mesh.meshConfig.rootNamespace;
  const own = index.get(clientNamespace);
  const local = clientNamespace === root ? own?.privateOnly.lookup(host) : own?.local.lookup(host);
  if (local !== undefined) return local;
  for (const namespace of [serviceNamespace, root]) {
    const exported = index.get(namespace)?.exported.lookup(host);
    const visible = exported?.filter((rule) => isVisibleTo(rule.exportTo, [], namespace, clientNamespace)) ?? [];
    if (visible.length > 0) return visible;
  }
  return [];
}

/** Of several rules the first that selects the client's labels, else the newest without a selector (rules 40, 41). */
export function pickDestinationRule(
  rules: readonly DestinationRule[],
  clientNamespace: string,
  clientLabels: Labels | undefined,
): DestinationRule | undefined {
  let unselected: DestinationRule | undefined;
  for (const rule of rules) {
    if (rule.selector === undefined) unselected = rule;
    else if (clientLabels !== undefined && rule.namespace === clientNamespace && selects(rule.selector, clientLabels)) {
      return rule;
    }
  }
  return unselected;
}

const rulesByNamespace = memoizedByShape((mesh: MeshIndex): ReadonlyMap<string, NamespaceRules> => {
  const byNamespace = new Map<string, Map<string, DestinationRule[]>>();
  for (const object of mesh.objects<DestinationRuleSpec>("DestinationRule")) {
    const spec = specOf<DestinationRuleSpec>(object);
    const { namespace } = object.metadata;
    const host = expandHost(spec.host ?? "", namespace, CLUSTER_DOMAIN);
    const byHost = byNamespace.get(namespace) ?? new Map<string, DestinationRule[]>();
    byNamespace.set(namespace, byHost);
    byHost.set(host, mergedWith(byHost.get(host) ?? [], ruleFrom(object, spec, mesh)));
  }
  return new Map([...byNamespace].map(([namespace, byHost]) => [namespace, tablesOf(namespace, byHost)]));
});

function ruleFrom(object: MeshObject, spec: DestinationRuleSpec, mesh: MeshIndex): DestinationRule {
  const { namespace } = object.metadata;
  const written = spec.exportTo ?? [];
  const exportTo = written.length > 0 ? written : mesh.meshConfig.defaultDestinationRuleExportTo;
  return {
    object,
    namespace,
    exportTo: [...new Set(exportTo.map((target) => (target === namespace ? "." : target)))].toSorted(),
    selector: spec.workloadSelector?.matchLabels,
    trafficPolicy: spec.trafficPolicy,
    subsets: spec.subsets ?? [],
  };
}

/** Adds a newer rule to those of the same host and namespace (rule 40). */
function mergedWith(older: readonly DestinationRule[], newer: DestinationRule): DestinationRule[] {
  let standsAlone = true;
  const result = older.map((rule) => {
    if (!sameSelector(rule.selector, newer.selector)) return rule;
    const same = rule.exportTo.length === newer.exportTo.length && includesAll(newer.exportTo, rule.exportTo);
    if (same) standsAlone = false;
    return same || includesAll(newer.exportTo, rule.exportTo) ? merged(rule, newer) : rule;
  });
  if (standsAlone) result.push(newer);
  return result;
}

function merged(older: DestinationRule, newer: DestinationRule): DestinationRule {
  const names = new Set(older.subsets.map((subset) => subset.name));
  return {
    ...older,
    trafficPolicy: older.trafficPolicy ?? newer.trafficPolicy,
    subsets: [...older.subsets, ...newer.subsets.filter((subset) => !names.has(subset.name))],
  };
}

function includesAll(superset: readonly string[], subset: readonly string[]): boolean {
  return subset.every((target) => superset.includes(target));
}

function sameSelector(a: Labels | undefined, b: Labels | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Object.keys(a).length === Object.keys(b).length && selects(a, b);
}

function tablesOf(namespace: string, byHost: ReadonlyMap<string, readonly DestinationRule[]>): NamespaceRules {
  const tables: NamespaceRules = { local: new HostTable(), exported: new HostTable(), privateOnly: new HostTable() };
  const addTo = (table: HostTable<readonly DestinationRule[]>, host: string, rules: readonly DestinationRule[]) => {
    if (rules.length > 0) table.add(host, rules);
  };
  for (const [host, rules] of byHost) {
    const isPrivate = (rule: DestinationRule) => rule.exportTo.length === 1 && rule.exportTo[0] === ".";
    addTo(
      tables.local,
      host,
      rules.filter((rule) => isVisibleTo(rule.exportTo, [], namespace, namespace)),
    );
    addTo(
      tables.exported,
      host,
      rules.filter((rule) => !isPrivate(rule)),
    );
    addTo(tables.privateOnly, host, rules.filter(isPrivate));
  }
  return tables;
}
