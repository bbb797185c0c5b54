/** Status of Gateway API objects, compared with what a real istiod wrote. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { statusesByName } from "#control-plane/gateway-api/statuses.ts";
import { sharedFolder } from "../needs.ts";
import { caseNames, loadCase } from "./load-case.ts";

const oracle = sharedFolder("oracle");
const cases =
  oracle.missing === undefined
    ? caseNames(oracle.path).filter((name) => existsSync(join(oracle.path, name, "status.json")))
    : [];

/** Everything but the wording. */
function withoutMessages(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutMessages);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== "message")
      .map(([key, item]) => [key, withoutMessages(item)]),
  );
}

describe.skipIf(oracle.missing !== undefined)("the same status as istiod's", () => {
  test("there are cases", () => {
    expect(cases.length).toBeGreaterThan(0);
  });

  test.each(cases)("%s", async (name) => {
    const { mesh } = await loadCase(oracle.path, name);
    const wanted: unknown = JSON.parse(readFileSync(join(oracle.path, name, "status.json"), "utf8"));
    expect(withoutMessages(statusesByName(mesh))).toEqual(withoutMessages(wanted));
  });
});
