/** Building proto3 JSON: objects without absent fields, Any with `@type`, wrapped numbers. */

export type JsonObject = Readonly<Record<string, unknown>>;

/** Drops the fields that are undefined; everything else stays as it is. */
export function compact(fields: JsonObject): JsonObject {
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) result[key] = value;
  }
  return result;
}

/** A google.protobuf.Any in proto3 JSON; `type` without the `type.googleapis.com/` prefix. */
export function any(type: string, fields: JsonObject = {}): JsonObject {
  return { "@type": `type.googleapis.com/${type}`, ...compact(fields) };
}

/** An Istio extension whose message stock Envoy does not know: a udpa TypedStruct around its fields. */
export function typedStruct(type: string, value: JsonObject): JsonObject {
  return any("udpa.type.v1.TypedStruct", { typeUrl: `type.googleapis.com/${type}`, value });
}

/** `undefined` for an empty list, so that `compact` leaves the field out. */
export function nonEmpty<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list;
}

/** Orders by code unit, as Go's and JavaScript's default sort do. */
export function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function sortedEntries<V>(record: Readonly<Record<string, V>> | undefined): readonly (readonly [string, V])[] {
  return Object.entries(record ?? {}).toSorted(([a], [b]) => byText(a, b));
}
