/** Fields of protobuf messages may be written by either of their names, `access_log_file` or `accessLogFile`. */
import type { Fields } from "./read-fields.ts";

/** Maps whose keys people choose: they are no fields. */
const FREE_MAPS: ReadonlySet<string> = new Set([
  "proxyMetadata",
  "customTags",
  "labels",
  "matchLabels",
  "to",
  "runtimeValues",
]);

/** Every field by its JSON name, however deep; of two spellings of one field the later counts. */
export function inCamelCase(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => {
      const name = /^[a-z][a-z0-9]*(?:_[a-zA-Z0-9]+)+$/.test(key) ? camelCase(key) : key;
      return [name, FREE_MAPS.has(name) ? value : deeper(value)];
    }),
  );
}

function deeper(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(deeper);
  return typeof value === "object" && value !== null ? inCamelCase(value as Fields) : value;
}

function camelCase(name: string): string {
  return name.replaceAll(/_([a-zA-Z0-9])/g, (_all, letter: string) => letter.toUpperCase());
}
