/** Header operations of routes, virtual hosts, weighted clusters and route configurations (R-31 … R-34). */
import type { MessageReader } from "#protos/reader.ts";
import { byteString } from "#lib/xxhash64.ts";
import type { HeaderValue, HeaderValueOption } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { HeaderMap } from "../http/header-map.ts";
import { inlineHeaders } from "../http/inline-headers.ts";
import { compileHeaderFormat } from "../observability/access-log/format.ts";
import type { HeaderFormatContext, HeaderMutations } from "./types.ts";

type Action = "append" | "add-if-absent" | "overwrite" | "overwrite-if-exists";
const actions: readonly Action[] = ["append", "add-if-absent", "overwrite", "overwrite-if-exists"];

interface HeaderToAdd {
  readonly name: string;
  /** A constant, or a function where the value holds command operators. */
  readonly value: string | ((context: HeaderFormatContext) => string);
  readonly action: Action;
  readonly keepEmpty: boolean;
}

/** Where the operations of one level are found in its message. */
export interface MutationFields {
  readonly add: readonly MessageReader<HeaderValueOption>[];
  readonly remove: readonly string[];
  /** Path of the list of names to remove. */
  readonly removeAt: string;
  readonly problems: MessageReader<HeaderValueOption>["problems"];
}

/** Compiles one level; undefined when there is nothing to do. */
export function parseHeaderMutations(fields: MutationFields): HeaderMutations | undefined {
  const remove = fields.remove.map((name) => name.toLowerCase());
  for (const [index, name] of remove.entries()) {
    if (!isMutable(name))
      fields.problems.push({
        code: "invalid-value",
        level: "error",
        path: `${fields.removeAt}[${index}]`,
        message: ":-prefixed or host headers may not be removed",
      });
  }
  const add = fields.add.map(parseHeaderToAdd).filter((header) => header !== undefined);
  if (remove.length === 0 && add.length === 0) return undefined;
  return new LevelMutations(add, remove);
}

/** Several levels in the order in which they are evaluated; undefined when all are. */
export function composeMutations(levels: readonly (HeaderMutations | undefined)[]): HeaderMutations | undefined {
  const present = levels.filter((level) => level !== undefined);
  const [first, ...rest] = present;
  if (first === undefined) return undefined;
  if (rest.length === 0) return first;
  return {
    apply(headers, context) {
      for (const level of present) level.apply(headers, context);
    },
  };
}

class LevelMutations implements HeaderMutations {
  readonly #add: readonly HeaderToAdd[];
  readonly #remove: readonly string[];

  constructor(add: readonly HeaderToAdd[], remove: readonly string[]) {
    this.#add = add;
    this.#remove = remove;
  }

  /** Removes first; values and conditions are those from before this level's additions; overwrites come before appends. */
  apply(headers: HeaderMap, context: HeaderFormatContext): void {
    for (const name of this.#remove) headers.remove(name);
    const add = this.#add;
    if (add.length === 0) return;
    const values: (string | undefined)[] = [];
    for (const header of add) values.push(valueOf(header, headers, context));
    for (let i = 0; i < add.length; i++) {
      const { action, name } = add[i] as HeaderToAdd;
      const value = values[i];
      if (value === undefined || !action.startsWith("overwrite")) continue;
      headers.remove(name);
      headers.add(name, value);
    }
    for (let i = 0; i < add.length; i++) {
      const { action, name } = add[i] as HeaderToAdd;
      const value = values[i];
      if (value !== undefined && !action.startsWith("overwrite")) append(headers, name, value);
    }
  }
}

function append(headers: HeaderMap, name: string, value: string): void {
  const before = inlineHeaders.has(name) ? headers.getJoined(name) : undefined;
  if (before === undefined) headers.add(name, value);
  else headers.set(name, `${before},${value}`);
}

/** The value to write; undefined: this header is left alone. */
function valueOf(header: HeaderToAdd, headers: HeaderMap, context: HeaderFormatContext): string | undefined {
  const { value, action, name, keepEmpty } = header;
  if (action === "add-if-absent" && headers.has(name)) return undefined;
  if (action === "overwrite-if-exists" && !headers.has(name)) return undefined;
  const text = typeof value === "string" ? value : value(context);
  return text === "" && !keepEmpty ? undefined : text;
}

function isMutable(name: string): boolean {
  return name !== "" && !name.startsWith(":") && name !== "host";
}

function parseHeaderToAdd(reader: MessageReader<HeaderValueOption>): HeaderToAdd | undefined {
  const header = reader.child("header");
  const append = reader.get("append");
  const appendAction = reader.get("appendAction");
  const keepEmpty = reader.get("keepEmptyValue");
  reader.finish();
  if (append !== undefined && appendAction !== 0) reader.invalid("append", "append and append_action are exclusive");
  if (header === undefined) {
    reader.invalid("header", "the header to add is missing");
    return undefined;
  }
  const name = header.get("key").toLowerCase();
  const raw = header.get("rawValue");
  const text = header.get("value");
  header.finish();
  if (!isMutable(name)) {
    header.invalid("key", ":-prefixed or host headers may not be modified; use host_rewrite_literal and its kin");
    return undefined;
  }
  const value = compileValue(raw.length > 0 ? Buffer.from(raw).toString("utf8") : text, header);
  if (value === undefined) return undefined;
  const action = append === undefined ? (actions[appendAction] ?? "append") : append ? "append" : "overwrite";
  return { name, value, action, keepEmpty };
}

function compileValue(text: string, at: MessageReader<HeaderValue>): HeaderToAdd["value"] | undefined {
  if (!text.includes("%")) return byteString(text);
  const parsed = compileHeaderFormat(text, { path: `${at.path}.value`, omitEmptyValues: true });
  at.problems.push(...parsed.problems);
  return parsed.value;
}
