/** EnvoyFilter patches of HTTP filters. */
import type { JsonObject } from "../json.ts";
import { editedList } from "./edit-list.ts";
import { mergedFilter } from "./merge-typed-config.ts";
import type { Patch } from "./patches.ts";

/** First what is added and removed, then what is merged into each filter. */
export function patchedHttpFilters(patches: readonly Patch[], filters: readonly JsonObject[]): readonly JsonObject[] {
  const edited = patches.reduce((list, patch) => editedList(list, patch, matcherOf(patch)), filters);
  return edited.map((filter) =>
    patches
      .filter((patch) => patch.operation === "MERGE" && (matcherOf(patch)?.(filter) ?? true))
      .reduce((now, { value }) => mergedFilter(now, value, true), filter),
  );
}

function matcherOf({ match }: Patch): ((filter: JsonObject) => boolean) | undefined {
  const wanted = match.listener?.filterChain?.filter?.subFilter;
  return wanted === undefined ? undefined : (filter) => filter["name"] === (wanted.name ?? "");
}
