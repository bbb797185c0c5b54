/** One walk through a message, and through every Any in it: unknown fields and `(validate.rules)`. */
import type { DescMessage, Message } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Problem } from "#lib/problem.ts";
import { unpackAny } from "./any.ts";
import { planOf, type FieldPlan } from "./check-plan.ts";
import { descOf } from "./registry.ts";

export interface CheckOptions {
  /** Fields and enum values that no .proto knows, and Any that can't be opened. */
  readonly unknown: boolean;
  /** `(validate.rules)`. */
  readonly rules: boolean;
  readonly throughAny: boolean;
}

const everything: CheckOptions = { unknown: true, rules: true, throughAny: true };

/**
 * All that stands against a message before anybody looks at what it says: problems `unknown-field`, `unknown-type` and
 * `invalid-value` with paths in snake_case; `path` stands before them.
 */
export function checkMessage(message: Message, path = "", options: CheckOptions = everything): Problem[] {
  const problems: Problem[] = [];
  new Walk(options, problems).message(descOf(message), message, path, "", options.rules);
  return problems;
}

class Walk {
  readonly #options: CheckOptions;
  readonly #problems: Problem[];

  constructor(options: CheckOptions, problems: Problem[]) {
    this.#options = options;
    this.#problems = problems;
  }

  /** `chain` is what stands before a reason: the fields that led here, outermost first. */
  message(desc: DescMessage, message: Message, path: string, chain: string, rules: boolean): void {
    if (this.#options.unknown && message.$unknown !== undefined) this.#unknownFields(desc, message, path);
    if (desc.typeName === "google.protobuf.Any") {
      if (this.#options.throughAny) this.#any(message as Any, path);
      return;
    }
    const plan = planOf(desc);
    const counts = rules && !plan.isDisabled;
    for (const field of plan.fields) this.#field(desc, field, valueOf(message, field), path, chain, counts);
    if (!counts) return;
    for (const { name, localName } of plan.requiredOneofs) {
      const { case: set } = Reflect.get(message, localName) as { readonly case: string | undefined };
      if (set === undefined) this.#broken(join(path, name), chain, `field: "${name}", reason: is required`);
    }
  }

  /** Envoy validates what is in an Any when it opens it: the chain starts anew. */
  #any(any: Any, path: string): void {
    if (any.typeUrl === "" && any.value.length === 0) return; // as good as none: whoever needs it says so
    const { value, problems } = unpackAny(any, path);
    if (this.#options.unknown) this.#problems.push(...problems);
    if (value !== undefined) this.message(descOf(value), value, path, "", this.#options.rules);
  }

  #field(desc: DescMessage, plan: FieldPlan, value: unknown, path: string, chain: string, rules: boolean): void {
    const { field } = plan;
    if (value === undefined) {
      // The members of a oneof that are not the one chosen are not looked at.
      if (rules && plan.required && !plan.isInOneof) this.#refuse(desc, plan, path, "", chain, "value is required");
    } else if (field.fieldKind === "list") {
      this.#list(desc, plan, value as readonly unknown[], path, chain, rules);
    } else if (field.fieldKind === "map") {
      const entries = Object.entries(value as object);
      const size = rules ? plan.size?.(entries.length) : undefined;
      if (size !== undefined) this.#refuse(desc, plan, path, "", chain, size);
      for (const [key, item] of entries) {
        const reason = rules ? plan.key?.(key) : undefined;
        if (reason !== undefined) this.#refuse(desc, plan, path, `[${key}]`, chain, reason);
        this.#item(desc, plan, item, path, `[${key}]`, chain, rules);
      }
    } else {
      this.#item(desc, plan, value, path, "", chain, rules);
    }
  }

  #list(
    desc: DescMessage,
    plan: FieldPlan,
    items: readonly unknown[],
    path: string,
    chain: string,
    rules: boolean,
  ): void {
    if (rules) {
      const size = plan.size?.(items.length);
      if (size !== undefined) this.#refuse(desc, plan, path, "", chain, size);
      if (plan.unique) this.#repeated(desc, plan, items, path, chain);
    }
    for (let index = 0; index < items.length; index++) {
      this.#item(desc, plan, items[index], path, `[${index}]`, chain, rules);
    }
  }

  #item(
    desc: DescMessage,
    plan: FieldPlan,
    value: unknown,
    path: string,
    index: string,
    chain: string,
    rules: boolean,
  ): void {
    const { field } = plan;
    const reason = rules ? plan.value?.(value) : undefined;
    if (reason !== undefined) this.#refuse(desc, plan, path, index, chain, reason);
    if (field.message !== undefined) {
      // Wrappers and Struct are plain values in a message, not messages.
      if (!isMessage(value)) return;
      const counts = rules && !plan.skip;
      const inner = counts
        ? `${chain}${place(desc, plan, index)}: embedded message failed validation | caused by `
        : "";
      this.message(field.message, value, join(path, field.name) + index, inner, counts);
    } else if (this.#options.unknown && field.enum !== undefined && field.enum.value[value as number] === undefined) {
      const message = `unknown value ${String(value)} of ${field.enum.typeName}; it is newer than this build (see protos/README.md)`;
      this.#add("unknown-field", join(path, field.name) + index, message);
    }
  }

  #repeated(desc: DescMessage, plan: FieldPlan, items: readonly unknown[], path: string, chain: string): void {
    const seen = new Set<unknown>();
    for (const [index, item] of items.entries()) {
      if (seen.has(item)) {
        this.#refuse(desc, plan, path, `[${index}]`, chain, "repeated value must contain unique items");
      }
      seen.add(item);
    }
  }

  #unknownFields(desc: DescMessage, message: Message, path: string): void {
    for (const { no } of message.$unknown ?? []) {
      const text = `unknown field: ${desc.typeName} has no field ${no}; it is newer than this build (see protos/README.md)`;
      this.#add("unknown-field", join(path, `#${no}`), text);
    }
  }

  #refuse(desc: DescMessage, plan: FieldPlan, path: string, index: string, chain: string, reason: string): void {
    this.#broken(join(path, plan.field.name) + index, chain, `${place(desc, plan, index)}: ${reason}`);
  }

  #broken(path: string, chain: string, reason: string): void {
    this.#add("invalid-value", path, `Proto constraint validation failed (${chain}${reason})`);
  }

  #add(code: string, path: string, message: string): void {
    this.#problems.push({ code, level: "error", path, message });
  }
}

/** The value as it stands in the message; undefined when it is not the one set in its oneof. */
function valueOf(message: Message, { field, property, isInOneof }: FieldPlan): unknown {
  const value: unknown = Reflect.get(message, property);
  if (!isInOneof) return value;
  const oneof = value as { readonly case: string | undefined; readonly value?: unknown };
  return oneof.case === field.localName ? oneof.value : undefined;
}

/** `ClusterValidationError.HealthChecks[0]`. */
function place(desc: DescMessage, plan: FieldPlan, index: string): string {
  return `${desc.name}ValidationError.${plan.label}${index}`;
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && "$typeName" in value;
}
