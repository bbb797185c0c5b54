/** The `(validate.rules)` that Envoy's messages carry, interpreted from the descriptors. */
import {
  getOption,
  hasOption,
  type DescExtension,
  type DescField,
  type DescMessage,
  type Message,
} from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Problem } from "#lib/problem.ts";
import { unpackAny } from "./any.ts";
import { checkOf, rulesOf, type Check, type Rules } from "./constraints.ts";
import type { FieldRules } from "./gen/validate/validate_pb.js";
import { descOf, registry } from "./registry.ts";
import { valueOf } from "./unknown.ts";

export interface ValidateOptions {
  /** Also what is inside each `google.protobuf.Any`, as Envoy does when it opens one. */
  readonly throughAny?: boolean;
}

/**
 * Every broken constraint as a problem `invalid-value` with its path in snake_case and Envoy's words:
 * `Proto constraint validation failed (ClusterValidationError.Name: value length must be at least 1 characters)`.
 */
export function validateMessage(message: Message, path = "", options: ValidateOptions = {}): Problem[] {
  const problems: Problem[] = [];
  visit(descOf(message), message, path, { chain: "", problems, throughAny: options.throughAny === true });
  return problems;
}

interface Visit {
  /** What stands before a reason: the fields that led here, outermost first. */
  readonly chain: string;
  readonly problems: Problem[];
  readonly throughAny: boolean;
}

interface FieldPlan {
  readonly field: DescField;
  /** `StatPrefix`. */
  readonly label: string;
  readonly required: boolean;
  readonly skip: boolean;
  readonly value: Check | undefined;
  readonly key: Check | undefined;
  readonly size: Check | undefined;
  readonly unique: boolean;
}

interface MessagePlan {
  readonly fields: readonly FieldPlan[];
  readonly requiredOneofs: readonly { readonly name: string; readonly localName: string }[];
}

function visit(desc: DescMessage, message: Message, path: string, at: Visit): void {
  if (desc.typeName === "google.protobuf.Any") {
    if (at.throughAny) visitAny(message as Any, path, at);
    return;
  }
  const { fields, requiredOneofs } = planOf(desc);
  for (const plan of fields) visitField(desc, plan, valueOf(message, plan.field), path, at);
  for (const { name, localName } of requiredOneofs) {
    const { case: set } = Reflect.get(message, localName) as { readonly case: string | undefined };
    if (set === undefined) report(at, path === "" ? name : `${path}.${name}`, `field: "${name}", reason: is required`);
  }
}

/** Envoy validates what is in an Any when it opens it: the chain starts anew. An Any that can't be opened is not ours to report. */
function visitAny(any: Any, path: string, at: Visit): void {
  const { value } = unpackAny(any, path);
  if (value !== undefined) visit(descOf(value), value, path, { ...at, chain: "" });
}

function visitField(desc: DescMessage, plan: FieldPlan, value: unknown, path: string, at: Visit): void {
  const { field } = plan;
  const fieldPath = path === "" ? field.name : `${path}.${field.name}`;
  const fail = (reason: string, index = ""): void =>
    report(at, fieldPath + index, `${desc.name}ValidationError.${plan.label}${index}: ${reason}`);
  if (value === undefined) {
    // The members of a oneof that are not the one chosen are not looked at.
    if (plan.required && field.oneof === undefined) fail("value is required");
    return;
  }
  if (field.fieldKind === "list") {
    const items = value as readonly unknown[];
    const size = plan.size?.(items.length);
    if (size !== undefined) fail(size);
    if (plan.unique) reportRepeated(items, fail);
    if (plan.value === undefined && field.message === undefined) return;
    for (const [index, item] of items.entries()) visitItem(desc, plan, item, fieldPath, `[${index}]`, at);
  } else if (field.fieldKind === "map") {
    const entries = Object.entries(value as object);
    const size = plan.size?.(entries.length);
    if (size !== undefined) fail(size);
    for (const [key, item] of entries) {
      const reason = plan.key?.(key);
      if (reason !== undefined) fail(reason, `[${key}]`);
      visitItem(desc, plan, item, fieldPath, `[${key}]`, at);
    }
  } else {
    visitItem(desc, plan, value, fieldPath, "", at);
  }
}

function visitItem(desc: DescMessage, plan: FieldPlan, value: unknown, path: string, index: string, at: Visit): void {
  const place = `${desc.name}ValidationError.${plan.label}${index}`;
  const reason = plan.value?.(value);
  if (reason !== undefined) report(at, path + index, `${place}: ${reason}`);
  if (plan.skip || plan.field.message === undefined || !isMessage(value)) return;
  const chain = `${at.chain}${place}: embedded message failed validation | caused by `;
  visit(descOf(value), value, path + index, { ...at, chain });
}

function reportRepeated(items: readonly unknown[], fail: (reason: string, index: string) => void): void {
  const seen = new Set<unknown>();
  for (const [index, item] of items.entries()) {
    if (seen.has(item)) fail("repeated value must contain unique items", `[${index}]`);
    seen.add(item);
  }
}

function report(at: Visit, path: string, reason: string): void {
  const message = `Proto constraint validation failed (${at.chain}${reason})`;
  at.problems.push({ code: "invalid-value", level: "error", path, message });
}

/** Plans follow from the descriptors alone: keeping them is not state. */
const plans = new WeakMap<DescMessage, MessagePlan>();

function planOf(desc: DescMessage): MessagePlan {
  let plan = plans.get(desc);
  if (plan === undefined) {
    plan = makePlan(desc);
    plans.set(desc, plan);
  }
  return plan;
}

function makePlan(desc: DescMessage): MessagePlan {
  const isSet = (name: string): boolean =>
    hasOption(desc, extension(name)) && getOption(desc, extension(name)) === true;
  if (isSet("validate.disabled") || isSet("validate.ignored")) return { fields: [], requiredOneofs: [] };
  const required = extension("validate.required");
  return {
    fields: desc.fields.map(planOfField).filter((plan) => plan !== undefined),
    requiredOneofs: desc.oneofs
      .filter((oneof) => hasOption(oneof, required) && getOption(oneof, required) === true)
      .map(({ name, localName }) => ({ name, localName })),
  };
}

function planOfField(field: DescField): FieldPlan | undefined {
  const option = extension("validate.rules");
  const plan = { field, label: pascalCase(field.name), required: false, skip: false, unique: false };
  const none = { value: undefined, key: undefined, size: undefined };
  if (!hasOption(field, option)) return field.message === undefined ? undefined : { ...plan, ...none };
  const rules = getOption(field, option) as unknown as FieldRules;
  const isDefined = (value: number): boolean => field.enum?.value[value] !== undefined;
  const set = rules.type.value === undefined ? {} : rulesOf(rules.type.value);
  const inside = (name: string): Check | undefined =>
    set[name] === undefined ? undefined : checkOf(set[name] as FieldRules, isDefined);
  const message = rules.message === undefined ? {} : rulesOf(rules.message);
  const item = (set["items"] ?? set["values"]) as FieldRules | undefined;
  return {
    ...plan,
    required: message["required"] === true || set["required"] === true,
    skip: message["skip"] === true || (item?.message !== undefined && rulesOf(item.message)["skip"] === true),
    value:
      rules.type.case === "repeated"
        ? inside("items")
        : rules.type.case === "map"
          ? inside("values")
          : checkOf(rules, isDefined),
    key: inside("keys"),
    size: sizeCheck(set),
    unique: set["unique"] === true,
  };
}

function sizeCheck(set: Rules): Check | undefined {
  const unit = set["minPairs"] === undefined && set["maxPairs"] === undefined ? "item(s)" : "pair(s)";
  const min = Number(set["minItems"] ?? set["minPairs"] ?? 0);
  const max = Number(set["maxItems"] ?? set["maxPairs"] ?? Infinity);
  if (min === 0 && max === Infinity) return undefined;
  const reason =
    min === max
      ? `value must contain exactly ${min} ${unit}`
      : min > 0 && max < Infinity
        ? `value must contain between ${min} and ${max} items, inclusive`
        : min > 0
          ? `value must contain at least ${min} ${unit}`
          : `value must contain no more than ${max} ${unit}`;
  const ignoresEmpty = set["ignoreEmpty"] === true;
  return (value) => {
    const count = value as number;
    if (ignoresEmpty && count === 0) return undefined;
    return count < min || count > max ? reason : undefined;
  };
}

function extension(name: string): DescExtension {
  const found = registry().getExtension(name);
  if (found === undefined) throw new Error(`no extension ${name} in the registry`);
  return found;
}

/** `alt_stat_name` → `AltStatName`. */
function pascalCase(name: string): string {
  return name.replaceAll(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase());
}

function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "$typeName") === "string";
}
