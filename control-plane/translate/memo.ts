/** Memoising pure functions by the identity of an immutable value; nothing is kept longer than its key. */

/** `build` runs once per `key` object. */
export function memoized<K extends object, V>(build: (key: K) => V): (key: K) => V {
  const known = new WeakMap<K, { readonly value: V }>();
  return (key) => {
    const hit = known.get(key);
    if (hit !== undefined) return hit.value;
    const value = build(key);
    known.set(key, { value });
    return value;
  };
}

/** As `memoized`, with a second key that is text. */
export function memoizedBy<K extends object, V>(build: (key: K, detail: string) => V): (key: K, detail: string) => V {
  const tables = memoized((_key: K) => new Map<string, V>());
  return (key, detail) => {
    const table = tables(key);
    const hit = table.get(detail);
    if (hit !== undefined || table.has(detail)) return hit as V;
    const value = build(key, detail);
    table.set(detail, value);
    return value;
  };
}
