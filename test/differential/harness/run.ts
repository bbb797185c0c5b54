/** Runs every case of a table beside a real Envoy, then compares case by case. */
import { beforeAll, describe, expect, test } from "vitest";
import { needEnvoy } from "../../needs.ts";
import type { Table } from "./case.ts";
import { outcomesOf } from "./outcome.ts";

const need = needEnvoy();

/** One test for each case: what ours did is what Envoy did. */
export function describeBesideEnvoy(title: string, table: Table): void {
  if (need.missing !== undefined) process.stderr.write(`tests beside a real Envoy are skipped: ${need.missing}\n`);
  describe.skipIf(need.missing !== undefined)(title, () => {
    let outcomes: Awaited<ReturnType<typeof outcomesOf>>;

    beforeAll(async () => {
      outcomes = await outcomesOf(table, need.path);
    });

    test.each(table.cases.map((one, index) => [one.name, index] as const))("%s", (_name, index) => {
      expect(outcomes.envoy[index]?.responses.length).toBe(table.cases[index]?.exchanges.length);
      const differs = table.cases[index]?.differs;
      if (differs === undefined) return expect(outcomes.ours[index]).toEqual(outcomes.envoy[index]);
      expect(outcomes.ours[index]?.responses.join("\n")).toMatch(differs.ours);
      expect(outcomes.ours[index], "no longer different").not.toEqual(outcomes.envoy[index]);
    });
  });
}
