/** Which fields does a validator know? Whatever it looks at while it validates a value. */

/** A value as it is, and for each of its maps the names that were looked at. */
export interface RecordedValue {
  readonly value: unknown;
  /** Names read on the map or list that this (original) object is; undefined when nobody looked inside. */
  readsOf(original: object): ReadonlySet<string> | undefined;
}

/**
 * Wraps a plain value so that reads are recorded. A compiled JSON-schema validator looks at every property that the
 * schema names, present or not: what it read on a map is what the schema allows there.
 */
export function recordReads(root: unknown): RecordedValue {
  const reads = new Map<object, Set<string>>();
  const wrap = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    return new Proxy(value, {
      get(target, key) {
        if (typeof key === "string") recordedOn(target).add(key);
        return wrap(Reflect.get(target, key));
      },
    });
  };
  const recordedOn = (target: object): Set<string> => {
    const known = reads.get(target);
    if (known !== undefined) return known;
    const fresh = new Set<string>();
    reads.set(target, fresh);
    return fresh;
  };
  return { value: wrap(root), readsOf: (original) => reads.get(original) };
}
