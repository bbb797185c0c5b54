/** Messages to probe with: the smallest that `(validate.rules)` let pass, and those that a parser needs to come to a field. */
import { create, toBinary, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import { messageFromJson } from "#protos/json.ts";
import { planOf, type FieldPlan } from "#protos/check-plan.ts";
import { registry } from "#protos/registry.ts";
import { typeUrlOf } from "#protos/any.ts";
import { settings, specialValues } from "./settings.ts";

/** The messages of a type that a field is probed in, the plainest first. */
export function basesOf(desc: DescMessage): readonly Message[] {
  const known = bases.get(desc);
  if (known !== undefined) return known;
  const written = (settings[desc.typeName] ?? []).map((json) => parsed(desc, json));
  const all = written.length > 0 ? written : [smallest(desc, 0)];
  bases.set(desc, all);
  return all;
}

const isJson = (value: unknown): value is object => typeof value === "object" && value !== null;

function parsed(desc: DescMessage | undefined, json: object): Message {
  const { value, problems } = messageFromJson(desc?.typeName ?? "", json);
  if (value === undefined) throw new Error(`${desc?.typeName}: ${JSON.stringify(problems)}`);
  return value;
}

const bases = new Map<DescMessage, readonly Message[]>();

/** Values to set a field to, the likeliest first; none for an Any, whose types are tried one by one. */
export function valuesOf(field: DescField): readonly unknown[] {
  if (field.enum !== undefined) return field.enum.values.map(({ number }) => number).filter((number) => number !== 0);
  const special = specialValues[`${field.parent.typeName}.${field.name}`];
  if (special !== undefined) return special.map((value) => (isJson(value) ? parsed(field.message, value) : value));
  if (field.message !== undefined) return basesOf(field.message).map((base) => plainOf(field, base));
  const check = planOf(field.parent).fields.find((plan) => plan.field === field)?.value;
  const values = scalarsOf(field).filter((value) => check?.(value) === undefined);
  return values.length > 0 ? values : scalarsOf(field);
}

/** A copy of the message with the field set: a list of one item, a map of one entry. */
export function withField(base: Message, field: DescField, value: unknown, key = "x"): Message {
  const copy = Object.assign(Object.create(Object.getPrototypeOf(base) as object) as Message, base);
  if (field.oneof !== undefined) Reflect.set(copy, field.oneof.localName, { case: field.localName, value });
  else if (field.fieldKind === "list") Reflect.set(copy, field.localName, [value]);
  else if (field.fieldKind === "map") Reflect.set(copy, field.localName, { [key]: value });
  else Reflect.set(copy, field.localName, value);
  return copy;
}

/** `google.protobuf.Any` around a message. */
export function anyAround(desc: DescMessage, message: Message): Message {
  const any = registry().getMessage("google.protobuf.Any");
  if (any === undefined) throw new Error("no Any");
  return create(any, { typeUrl: typeUrlOf(desc.typeName), value: toBinary(desc, message) } as never);
}

/** A wrapper is a plain value in its message, unless a oneof holds it; a Struct is JSON. */
function plainOf(field: DescField, message: Message): unknown {
  const type = field.message?.typeName ?? "";
  if (type === "google.protobuf.Struct") return { x: "y" };
  if (!isWrapper(type) || field.oneof !== undefined || field.fieldKind !== "message") return message;
  return Reflect.get(message, "value");
}

export const isWrapper = (typeName: string): boolean => /^google\.protobuf\.\w+Value$/.test(typeName);

const MAX_DEPTH = 8;

function smallest(desc: DescMessage, depth: number): Message {
  let message = create(desc);
  if (depth > MAX_DEPTH) return message;
  if (isWrapper(desc.typeName)) {
    const value = desc.fields.find(({ name }) => name === "value");
    return value === undefined ? message : withField(message, value, scalarsOf(value)[0]);
  }
  if (desc.typeName === "google.protobuf.Duration") return create(desc, { seconds: 1n } as never);
  const { fields, requiredOneofs } = planOf(desc);
  for (const plan of fields) if (!plan.isInOneof && isNeeded(plan)) message = filled(message, plan.field, depth);
  for (const { localName } of requiredOneofs) {
    const [first] = desc.oneofs.find((oneof) => oneof.localName === localName)?.fields ?? [];
    if (first !== undefined) message = filled(message, first, depth);
  }
  return message;
}

function isNeeded({ field, required, size, value }: FieldPlan): boolean {
  if (required) return true;
  if (field.fieldKind === "list" || field.fieldKind === "map") return size?.(0) !== undefined;
  if (field.fieldKind === "scalar" && field.presence === 2)
    return value?.(field.getDefaultValue() ?? zeroOf(field)) !== undefined;
  return false;
}

const zeroOf = (field: DescField): unknown => (typeof scalarsOf(field)[0] === "string" ? "" : 0);

function filled(message: Message, field: DescField, depth: number): Message {
  if (field.message === undefined) return withField(message, field, valuesOf(field)[0]);
  if (field.message.typeName === "google.protobuf.Any") return message;
  const inner =
    settings[field.message.typeName] === undefined ? smallest(field.message, depth + 1) : basesOf(field.message)[0];
  return inner === undefined ? message : withField(message, field, plainOf(field, inner));
}

const texts = ["x", "/x", "1.2.3.4", "x-y", "%REQ(x)%", "100", "1s"];

function scalarsOf(field: DescField): readonly unknown[] {
  const scalar = field.scalar;
  switch (scalar) {
    case undefined:
      return [1];
    case 9:
      return texts;
    case 8:
      return [true];
    case 12:
      return [new TextEncoder().encode("x")];
    case 3:
    case 4:
    case 6:
    case 16:
    case 18:
      return [1n, 10n, 1000n, 100_000n];
    default:
      return [1, 2, 10, 100, 200, 404, 1000, 1024, 4096, 65_535, 100_000, 0.5];
  }
}
