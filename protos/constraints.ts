/** One `(validate.rules)` → a check of a value, with Envoy's wording. Strings, bytes, enums and Any stand here. */
import { isFieldSet, type Message } from "@bufbuild/protobuf";
import type { Any, Duration } from "@bufbuild/protobuf/wkt";
import type { FieldRules } from "./gen/validate/validate_pb.js";
import { formatNanos, nanosOf, rangeCheck } from "./constraint-range.ts";
import { descOf } from "./registry.ts";

/** The reason for which a value is refused; undefined when it is fine. */
export type Check = (value: unknown) => string | undefined;

/** The rules that are set, by camelCase name. */
export type Rules = Readonly<Record<string, unknown>>;

/** What is set in a rules message: proto2 defaults are left out. */
export function rulesOf(message: Message): Rules {
  const rules: Record<string, unknown> = {};
  for (const field of descOf(message).fields) {
    if (!isFieldSet(message, field)) continue;
    if (field.oneof === undefined) {
      rules[field.localName] = Reflect.get(message, field.localName);
    } else {
      rules[field.localName] = (Reflect.get(message, field.oneof.localName) as { readonly value: unknown }).value;
    }
  }
  return rules;
}

/** The check of a single value. `isDefined` says whether a number is declared by the enum. Lists and maps: undefined. */
export function checkOf(rules: FieldRules, isDefined: (value: number) => boolean): Check | undefined {
  const { type } = rules;
  if (type.value === undefined) return undefined;
  const set = rulesOf(type.value);
  switch (type.case) {
    case "repeated":
    case "map":
    case "timestamp":
      return undefined;
    case "string":
      return all(stringChecks(set), set, (value) => value === "");
    case "bytes":
      return all(bytesChecks(set), set, (value) => (value as Uint8Array).length === 0);
    case "bool":
      return all(constCheck(set, String), set);
    case "enum":
      return all(enumChecks(set, isDefined), set);
    case "any":
      return all(anyChecks(set), set);
    case "duration":
      return all(durationChecks(set), set);
    default:
      return all(
        [...constCheck(set, String), ...listChecks(set, String), ...rangeCheck(set, String)],
        set,
        (value) => Number(value) === 0,
      );
  }
}

function all(checks: readonly Check[], set: Rules, isEmpty: (value: unknown) => boolean = () => false): Check {
  const ignoresEmpty = set["ignoreEmpty"] === true;
  return (value) => {
    if (ignoresEmpty && isEmpty(value)) return undefined;
    for (const check of checks) {
      const reason = check(value);
      if (reason !== undefined) return reason;
    }
    return undefined;
  };
}

function constCheck(set: Rules, format: (value: unknown) => string): Check[] {
  const wanted = set["const"];
  if (wanted === undefined) return [];
  return [(value) => (value === wanted ? undefined : `value must equal ${format(wanted)}`)];
}

function listChecks(set: Rules, format: (value: unknown) => string): Check[] {
  const checks: Check[] = [];
  const { in: allowed, notIn: denied } = set as { in?: readonly unknown[]; notIn?: readonly unknown[] };
  const list = (values: readonly unknown[]): string => `[${values.map(format).join(" ")}]`;
  if (allowed !== undefined) {
    checks.push((value) => (allowed.includes(value) ? undefined : `value must be in list ${list(allowed)}`));
  }
  if (denied !== undefined) {
    checks.push((value) => (denied.includes(value) ? `value must not be in list ${list(denied)}` : undefined));
  }
  return checks;
}

function lengthChecks(
  set: Rules,
  unit: string,
  names: readonly [string, string, string],
  size: (value: unknown) => number,
): Check[] {
  const [exact, least, most] = names.map((name) => (set[name] === undefined ? undefined : Number(set[name])));
  const checks: Check[] = [];
  if (exact !== undefined) {
    checks.push((value) => (size(value) === exact ? undefined : `value length must be ${exact} ${unit}`));
  }
  if (least !== undefined && most !== undefined) {
    const reason = `value length must be between ${least} and ${most} ${unit}, inclusive`;
    checks.push((value) => (size(value) < least || size(value) > most ? reason : undefined));
  } else if (least !== undefined) {
    checks.push((value) => (size(value) < least ? `value length must be at least ${least} ${unit}` : undefined));
  } else if (most !== undefined) {
    checks.push((value) => (size(value) > most ? `value length must be at most ${most} ${unit}` : undefined));
  }
  return checks;
}

function stringChecks(set: Rules): Check[] {
  const checks = [
    ...constCheck(set, String),
    ...lengthChecks(set, "characters", ["len", "minLen", "maxLen"], (value) => codePoints(value as string)),
    ...lengthChecks(set, "bytes", ["lenBytes", "minBytes", "maxBytes"], (value) => Buffer.byteLength(value as string)),
  ];
  const test = (
    name: string,
    holds: (value: string, wanted: string) => boolean,
    reason: (wanted: string) => string,
  ): void => {
    const wanted = set[name];
    if (typeof wanted !== "string") return;
    checks.push((value) => (holds(value as string, wanted) ? undefined : reason(wanted)));
  };
  test(
    "prefix",
    (value, wanted) => value.startsWith(wanted),
    (wanted) => `value does not have prefix "${wanted}"`,
  );
  test(
    "suffix",
    (value, wanted) => value.endsWith(wanted),
    (wanted) => `value does not have suffix "${wanted}"`,
  );
  test(
    "contains",
    (value, wanted) => value.includes(wanted),
    (wanted) => `value does not contain substring "${wanted}"`,
  );
  test(
    "notContains",
    (value, wanted) => !value.includes(wanted),
    (wanted) => `value contains substring "${wanted}"`,
  );
  checks.push(...listChecks(set, String), ...wellKnownChecks(set));
  // The patterns of Envoy's .proto files are simple and anchored: no user writes them.
  const pattern = set["pattern"];
  if (typeof pattern === "string") checks.push(regexCheck(new RegExp(pattern, "u"), pattern));
  return checks;
}

function codePoints(value: string): number {
  let count = 0;
  for (const _ of value) count++;
  return count;
}

function regexCheck(regex: RegExp, shown: string): Check {
  return (value) => (regex.test(value as string) ? undefined : `value does not match regex pattern "${shown}"`);
}

/** KnownRegex by number: 1 HTTP_HEADER_NAME, 2 HTTP_HEADER_VALUE; strict unless said otherwise. */
function wellKnownChecks(set: Rules): Check[] {
  const kind = set["wellKnownRegex"];
  if (kind === undefined) return [];
  const strict = set["strict"] !== false;
  if (kind === 1 && strict)
    return [regexCheck(/^:?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+$/u, "^:?[0-9a-zA-Z!#$%&'*+-.^_|~\\x60]+$")];
  // oxlint-disable-next-line no-control-regex -- they are what is forbidden
  if (kind === 2 && strict) return [regexCheck(/^[^\x00-\x08\x0A-\x1F\x7F]*$/u, "^[^\\x00-\\x08\\x0A-\\x1F\\x7F]*$")];
  // oxlint-disable-next-line no-control-regex
  return [regexCheck(/^[^\x00\x0A\x0D]*$/u, "^[^\\x00\\n\\r]*$")];
}

function bytesChecks(set: Rules): Check[] {
  return lengthChecks(set, "bytes", ["len", "minLen", "maxLen"], (value) => (value as Uint8Array).length);
}

function enumChecks(set: Rules, isDefined: (value: number) => boolean): Check[] {
  const checks = [...constCheck(set, String), ...listChecks(set, String)];
  if (set["definedOnly"] === true) {
    checks.push((value) => (isDefined(value as number) ? undefined : "value must be one of the defined enum values"));
  }
  return checks;
}

function anyChecks(set: Rules): Check[] {
  const { in: allowed, notIn: denied } = set as { in?: readonly string[]; notIn?: readonly string[] };
  const checks: Check[] = [];
  const urlOf = (value: unknown): string => (value as Any).typeUrl;
  if (allowed !== undefined) {
    checks.push((value) =>
      allowed.includes(urlOf(value)) ? undefined : `type URL must be in list [${allowed.join(" ")}]`,
    );
  }
  if (denied !== undefined) {
    checks.push((value) =>
      denied.includes(urlOf(value)) ? `type URL must not be in list [${denied.join(" ")}]` : undefined,
    );
  }
  return checks;
}

function durationChecks(set: Rules): Check[] {
  const format = (value: unknown): string => formatNanos(value as bigint);
  const inNanos = Object.fromEntries(
    Object.entries(set).map(([name, value]) => {
      if (typeof value !== "object") return [name, value];
      return [name, Array.isArray(value) ? value.map((item: Duration) => nanosOf(item)) : nanosOf(value as Duration)];
    }),
  );
  const checks = [...constCheck(inNanos, format), ...listChecks(inNanos, format), ...rangeCheck(inNanos, format)];
  return checks.map((check) => (value) => check(nanosOf(value as Duration)));
}
