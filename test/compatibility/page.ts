/** The account of messages as the page docs/compatibility.md: the same account gives the same text. */
import { readFileSync } from "node:fs";
import type { FieldAccount, MessageAccount } from "./account.ts";
import type { Difference } from "./differences.ts";

/** `head.md` is written by hand. */
export function compatibilityPage(
  accounts: ReadonlyMap<string, MessageAccount>,
  differences: readonly Difference[],
): string {
  const head = readFileSync(new URL("head.md", import.meta.url), "utf8");
  return `${head.trimEnd()}\n\n${differencesSection(differences)}\n${fieldsSection([...accounts.values()])}`;
}

function differencesSection(differences: readonly Difference[]): string {
  const byFile = Map.groupBy(differences, ({ file }) => file);
  const rows = [...byFile].map(
    ([file, list]) => `- \`${file}\`: ${list.map(({ text }) => sentence(text)).join(" ")}\n`,
  );
  return `## Where it differs from Envoy, as the code says it\n\nFrom the comments \`Differs from Envoy:\`.\n\n${rows.join("")}`;
}

function sentence(text: string): string {
  const rest = text.replace(/^Differs from Envoy:? */, "").replace(/^, /, "");
  return `${rest.charAt(0).toUpperCase()}${rest.slice(1)}${/[.)]$/.test(rest) ? "" : "."}`;
}

function fieldsSection(messages: readonly MessageAccount[]): string {
  const fields = messages.flatMap((message) => [...message.fields.values()]);
  const count = (kind: string): number => fields.filter(({ verdict }) => verdict.kind === kind).length;
  const groups = Map.groupBy(messages, ({ entry }) => entry.title);
  const sections = [...groups].map(([title, list]) => `### ${title}\n\n${list.map(messageSection).join("\n")}`);
  return `## Every field

Found by setting each field in a message and giving that to the proxy's own parsers: ${count("read")} fields of ${messages.length} messages are read,
${count("ignored")} have no effect for the reason that is given, ${count("refused")} are refused by name. What hangs below a refused field is not
listed; a message is listed once, at the first place where it may stand. \`A<B>\` is an extension point A that holds a B. What is
refused without a reason is refused with the words *is not supported by this proxy; remove it*.

${sections.join("\n")}`;
}

function messageSection({ desc, trail, fields }: MessageAccount): string {
  const own = desc.fields.map((field) => [field.name, fields.get(field.name)] as const);
  const of = (kind: FieldAccount["verdict"]["kind"], text: (name: string, account: FieldAccount) => string): string[] =>
    own.flatMap(([name, account]) => (account?.verdict.kind === kind ? [text(name, account)] : []));
  const lists = [
    ["yes", of("read", (name, account) => `\`${name}\`${notes(account)}`)],
    ["no effect", of("ignored", (name, { verdict }) => `\`${name}\`${reason(verdict)}`)],
    ["**refused**", of("refused", (name, { verdict }) => `\`${name}\`${reason(verdict)}`)],
    ["**unknown**", of("unknown", (name, { verdict }) => `\`${name}\`${reason(verdict)}`)],
  ] as const;
  const lines = lists
    .filter(([, items]) => items.length > 0)
    .map(([title, items]) => `- ${title}: ${items.join(", ")}\n`);
  const place = trail === "" ? "" : `\n${code(shortened(trail))}\n`;
  return `#### ${desc.typeName}\n${place}\n${lines.length === 0 ? "It has no fields.\n" : lines.join("")}`;
}

/** Values and types that are taken, and places where the field is refused. */
function notes({ values, types, refusedAt }: FieldAccount): string {
  const parts = [
    values === undefined ? "" : `only ${[...values].join(", ")}`,
    types === undefined || types.size === 0 ? "" : `types ${[...types].sort().map(shortType).join(", ")}`,
    refusedAt.length === 0 || types !== undefined
      ? ""
      : `refused in ${[...new Set(refusedAt)].map((at) => code(shortened(at))).join(", ")}`,
  ].filter((part) => part !== "");
  return parts.length === 0 ? "" : ` (${parts.join("; ")})`;
}

const shortType = (name: string): string => name.split(".").slice(-3).join(".");

function reason(verdict: FieldAccount["verdict"]): string {
  const text = verdict.kind === "ignored" ? verdict.why : verdict.kind === "read" ? "" : verdict.message;
  return text === "" || text.includes("is not supported by this proxy; remove it")
    ? ""
    : ` (${text.replaceAll("\n", " ")})`;
}

const code = (text: string): string => `\`${text}\``;

/** The last three steps say where; the whole trail would fill the line. */
function shortened(trail: string): string {
  const steps = trail.split(".");
  return steps.length <= 4 ? trail : `… ${steps.slice(-4).join(".")}`;
}
