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

/** `build` runs once per shape of a mesh: it must not look at endpoints. */
export function memoizedByShape<M extends { readonly shape: object }, V>(build: (mesh: M) => V): (mesh: M) => V {
  const known = new WeakMap<object, { readonly value: V }>();
  return (mesh) => {
    const hit = known.get(mesh.shape);
    if (hit !== undefined) return hit.value;
    const value = build(mesh);
    known.set(mesh.shape, { value });
    return value;
  };
}

/** As `memoizedByShape`, with a second key that is text. */
export function memoizedByShapeAnd<M extends { readonly shape: object }, V>(
  build: (mesh: M, detail: string) => V,
): (mesh: M, detail: string) => V {
  const tables = memoizedByShape((_mesh: M) => new Map<string, V>());
  return (mesh, detail) => {
    const table = tables(mesh);
    const hit = table.get(detail);
    if (hit !== undefined || table.has(detail)) return hit as V;
    const value = build(mesh, detail);
    table.set(detail, value);
    return value;
  };
}
