/** StringMatch: exact, prefix or regex. */
import { fieldsOf, stringOf } from "../model/read-fields.ts";
import { regexFault } from "./check-strings.ts";
import type { Findings } from "./findings.ts";
import { expect } from "./shared-checks.ts";

/** `mayBeEmpty`: an empty prefix is allowed for uri only. */
export function expectStringMatch(findings: Findings, path: string, match: unknown, mayBeEmpty = false): void {
  const { prefix, regex } = fieldsOf(match);
  if (prefix === "" && !mayBeEmpty) {
    findings.refuse(
      `${path}.prefix`,
      "an empty prefix matches everything; write `{}` for presence, or leave the match out.",
    );
  }
  if (regex !== undefined) expect(findings, `${path}.regex`, regexFault(stringOf(regex) ?? ""));
}
