/** What there is to check in a message of one type, worked out once from its descriptor. */
import { getOption, hasOption, type DescExtension, type DescField, type DescMessage } from "@bufbuild/protobuf";
import { checkOf, rulesOf, type Check, type Rules } from "./constraints.ts";
import type { FieldRules } from "./gen/validate/validate_pb.js";
import { registry } from "./registry.ts";

export interface FieldPlan {
  readonly field: DescField;
  /** Property of the message that holds the value, or the oneof with it. */
  readonly property: string;
  readonly isInOneof: boolean;
  /** `StatPrefix`, as Envoy's messages name it. */
  readonly label: string;
  readonly required: boolean;
  /** The submessage's own rules do not count. */
  readonly skip: boolean;
  readonly value: Check | undefined;
  readonly key: Check | undefined;
  readonly size: Check | undefined;
  readonly unique: boolean;
}

export interface MessagePlan {
  /** Fields with rules, and those that hold messages or enums. */
  readonly fields: readonly FieldPlan[];
  readonly requiredOneofs: readonly { readonly name: string; readonly localName: string }[];
  /** `(validate.disabled)`: no rule of it counts. */
  readonly isDisabled: boolean;
}

/** Plans follow from the descriptors alone: keeping them is not state. */
const plans = new WeakMap<DescMessage, MessagePlan>();

export function planOf(desc: DescMessage): MessagePlan {
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
  const required = extension("validate.required");
  return {
    fields: desc.fields.map(planOfField).filter((plan) => plan !== undefined),
    requiredOneofs: desc.oneofs
      .filter((oneof) => hasOption(oneof, required) && getOption(oneof, required) === true)
      .map(({ name, localName }) => ({ name, localName })),
    isDisabled: isSet("validate.disabled") || isSet("validate.ignored"),
  };
}

function planOfField(field: DescField): FieldPlan | undefined {
  const option = extension("validate.rules");
  const plan = {
    field,
    property: field.oneof?.localName ?? field.localName,
    isInOneof: field.oneof !== undefined,
    label: pascalCase(field.name),
  };
  const none = { required: false, skip: false, unique: false, value: undefined, key: undefined, size: undefined };
  if (!hasOption(field, option)) {
    return field.message === undefined && field.enum === undefined ? undefined : { ...plan, ...none };
  }
  const rules = getOption(field, option) as unknown as FieldRules;
  const isDefined = (value: number): boolean => field.enum?.value[value] !== undefined;
  const set = rules.type.value === undefined ? {} : rulesOf(rules.type.value);
  const inside = (name: string): Check | undefined =>
    set[name] === undefined ? undefined : checkOf(set[name] as FieldRules, isDefined);
  const message = rules.message === undefined ? {} : rulesOf(rules.message);
  const item = (set["items"] ?? set["values"]) as FieldRules | undefined;
  const { case: kind } = rules.type;
  return {
    ...plan,
    required: message["required"] === true || set["required"] === true,
    skip: message["skip"] === true || (item?.message !== undefined && rulesOf(item.message)["skip"] === true),
    value: kind === "repeated" ? inside("items") : kind === "map" ? inside("values") : checkOf(rules, isDefined),
    key: inside("keys"),
    size: sizeCheck(set),
    unique: set["unique"] === true,
  };
}

/** How many items a list or map may have. */
function sizeCheck(set: Rules): Check | undefined {
  const unit = set["minPairs"] === undefined && set["maxPairs"] === undefined ? "item(s)" : "pair(s)";
  const min = Number(set["minItems"] ?? set["minPairs"] ?? 0);
  const max = Number(set["maxItems"] ?? set["maxPairs"] ?? Infinity);
  if (min === 0 && max === Infinity) return undefined;
  const reason = sizeReason(min, max, unit);
  const ignoresEmpty = set["ignoreEmpty"] === true;
  return (value) => {
    const count = value as number;
    if (ignoresEmpty && count === 0) return undefined;
    return count < min || count > max ? reason : undefined;
  };
}

function sizeReason(min: number, max: number, unit: string): string {
  if (min === max) return `value must contain exactly ${min} ${unit}`;
  if (min > 0 && max < Infinity) return `value must contain between ${min} and ${max} items, inclusive`;
  return min > 0 ? `value must contain at least ${min} ${unit}` : `value must contain no more than ${max} ${unit}`;
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
