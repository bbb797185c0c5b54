/** Delegation: the rules of another VirtualService, narrowed by the rule that names it (rule 35). */
import type { MeshIndex } from "../model/mesh-index.ts";
import { specOf } from "./spec/spec.ts";
import type { HttpMatch, HttpRule, StringMatch, VirtualServiceSpec } from "./spec/virtual-service.ts";
import { isVisibleTo } from "./visibility.ts";

/** What stands in place of `rule`: itself without a delegate; nothing where the delegate is not there or not visible. */
export function withDelegate(
  mesh: MeshIndex,
  rule: HttpRule,
  namespace: string,
  qualify: (rule: HttpRule, namespace: string) => HttpRule,
): readonly HttpRule[] {
  if (rule.delegate === undefined) return [qualify(rule, namespace)];
  const target = rule.delegate.namespace || namespace;
  const object = mesh.object<VirtualServiceSpec>("VirtualService", target, rule.delegate.name ?? "");
  if (object === undefined) return [];
  const spec = specOf<VirtualServiceSpec>(object);
  const isDelegate = (spec.hosts ?? []).length === 0;
  const isVisible = isVisibleTo(spec.exportTo, mesh.meshConfig.defaultVirtualServiceExportTo, target, namespace);
  if (!isDelegate || !isVisible) return [];
  const root = qualify(rule, namespace);
  return (spec.http ?? [])
    .filter((own) => own.delegate === undefined)
    .map((own) => merged(root, qualify(own, target)))
    .filter((own) => own !== undefined);
}

/** Every block as a whole: the delegate's own, else the root's. Undefined when no match of the delegate fits. */
function merged(root: HttpRule, own: HttpRule): HttpRule | undefined {
  const match = mergedMatches(root.match ?? [], own.match ?? []);
  if (match === undefined) return undefined;
  const { delegate: _delegate, match: _match, route: _route, ...rootBlocks } = root;
  const { match: _own, ...ownBlocks } = own;
  return {
    ...rootBlocks,
    ...ownBlocks,
    name: joinedName(root.name, own.name),
    ...(match.length > 0 && { match }),
  };
}

function joinedName(root: string | undefined, own: string | undefined): string {
  return [root, own].filter((name) => name !== undefined && name !== "").join("-");
}

/** A delegate's match must be narrower than one of the root's; undefined when none of them is. */
function mergedMatches(root: readonly HttpMatch[], own: readonly HttpMatch[]): readonly HttpMatch[] | undefined {
  if (root.length === 0) return own;
  if (own.length === 0) return root;
  const result = own.flatMap((narrow) =>
    root.filter((wide) => !conflict(wide, narrow)).map((wide) => joinedMatch(wide, narrow)),
  );
  return result.length === 0 ? undefined : result;
}

function joinedMatch(wide: HttpMatch, narrow: HttpMatch): HttpMatch {
  const name = joinedName(wide.name, narrow.name);
  return {
    ...wide,
    ...narrow,
    ...(name !== "" && { name }),
    ...joinedFields("headers", wide, narrow),
    ...joinedFields("withoutHeaders", wide, narrow),
    ...joinedFields("queryParams", wide, narrow),
    ...(wide.sourceLabels !== undefined && { sourceLabels: { ...wide.sourceLabels, ...narrow.sourceLabels } }),
  };
}

type MatchMap = "headers" | "withoutHeaders" | "queryParams";

function joinedFields(field: MatchMap, wide: HttpMatch, narrow: HttpMatch): Pick<HttpMatch, MatchMap> {
  if (wide[field] === undefined && narrow[field] === undefined) return {};
  return { [field]: { ...wide[field], ...narrow[field] } };
}

function conflict(wide: HttpMatch, narrow: HttpMatch): boolean {
  if ((wide.ignoreUriCase ?? false) !== (narrow.ignoreUriCase ?? false)) return true;
  const strings = ["uri", "scheme", "method", "authority"] as const;
  if (strings.some((field) => stringConflict(wide[field], narrow[field]))) return true;
  const maps = ["headers", "withoutHeaders", "queryParams"] as const;
  if (maps.some((field) => mapConflict(wide[field], narrow[field]))) return true;
  if (wide.port !== undefined && narrow.port !== undefined && wide.port !== narrow.port) return true;
  if (bothDiffer(wide.sourceNamespace, narrow.sourceNamespace)) return true;
  return Object.entries(narrow.sourceLabels ?? {}).some(([key, value]) => bothDiffer(wide.sourceLabels?.[key], value));
}

function bothDiffer(wide: string | undefined, narrow: string | undefined): boolean {
  return wide !== undefined && wide !== "" && narrow !== undefined && narrow !== "" && wide !== narrow;
}

function mapConflict(wide: HttpMatch["headers"], narrow: HttpMatch["headers"]): boolean {
  return Object.entries(narrow ?? {}).some(([key, value]) => stringConflict(wide?.[key], value));
}

/** Nobody compares regular expressions: one on either side conflicts with anything on the other. */
function stringConflict(wide: StringMatch | undefined, narrow: StringMatch | undefined): boolean {
  if (wide === undefined || narrow === undefined) return false;
  if (wide.regex !== undefined || narrow.regex !== undefined) return true;
  if (wide.exact !== undefined) return narrow.exact !== wide.exact;
  const text = narrow.exact ?? narrow.prefix;
  return wide.prefix !== undefined && (text === undefined || !text.startsWith(wide.prefix));
}
