/** Which filter state of a connection or a stream is given to the upstream connection too (`shared_with_upstream`). */

/** `once`: to the next connection. `transitive`: and by that one to its own upstreams. */
export type Sharing = "once" | "transitive";

type FilterState = Map<string, unknown>;

const marks = new WeakMap<ReadonlyMap<string, unknown>, Map<string, Sharing>>();

/** Marks an object of `state`. */
export function shareWithUpstream(state: FilterState, key: string, sharing: Sharing): void {
  let own = marks.get(state);
  if (own === undefined) {
    own = new Map();
    marks.set(state, own);
  }
  own.set(key, sharing);
}

/** A copy with the same marks. */
export function copyFilterState(state: ReadonlyMap<string, unknown>): FilterState {
  const copy = new Map(state);
  const own = marks.get(state);
  if (own !== undefined) marks.set(copy, new Map(own));
  return copy;
}

/** What an upstream connection gets of `state`, marked as it is to be passed on from there; undefined: nothing. */
export function sharedState(state: ReadonlyMap<string, unknown> | undefined): FilterState | undefined {
  const own = state === undefined ? undefined : marks.get(state);
  if (state === undefined || own === undefined || own.size === 0) return undefined;
  const shared: FilterState = new Map();
  for (const [key, sharing] of own) {
    shared.set(key, state.get(key));
    if (sharing === "transitive") shareWithUpstream(shared, key, "transitive");
  }
  return shared;
}

/** Takes over what the downstream side of an internal connection shares. */
export function adoptState(into: FilterState, shared: ReadonlyMap<string, unknown>): void {
  const own = marks.get(shared);
  for (const [key, value] of shared) {
    into.set(key, value);
    const sharing = own?.get(key);
    if (sharing !== undefined) shareWithUpstream(into, key, sharing);
  }
}
