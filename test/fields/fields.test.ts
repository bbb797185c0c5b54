import { existsSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { fieldsWithoutEffect } from "#control-plane/validate/fields-without-effect.ts";
import { accountOfFields, type LeafAccount } from "./account.ts";
import { fieldsPage } from "./fields-page.ts";
import { altered, without } from "./leaves.ts";

describe("the fields of Istio's CRDs", () => {
  let accounts: ReadonlyMap<string, LeafAccount> = new Map();

  beforeAll(() => {
    accounts = accountOfFields();
  }, 240_000);

  test("each has an effect that a case shows, or a finding", () => {
    const unexplained = [...accounts].filter(([, { kind }]) => kind === "unexplained");
    expect(unexplained.map(([field]) => field)).toEqual([]);
  });

  test("what is said to have no effect has none", () => {
    const said = Object.entries(fieldsWithoutEffect).flatMap(([kind, fields]) =>
      fields.map(({ path }) => `${kind} ${path}`),
    );
    for (const field of said) {
      const below = [...accounts].filter(
        ([key]) => key === field || key.startsWith(`${field}.`) || key.startsWith(`${field}[`),
      );
      expect(below.length, field).toBeGreaterThan(0);
      const withEffect = below.filter(([, { kind }]) => kind === "effect");
      expect(withEffect, `${field} has an effect: take it out of fields-without-effect.ts`).toEqual([]);
    }
  });

  test("docs/fields.md says so (node test/fields/write-fields.ts), by cases that are there", () => {
    const page = readFileSync(new URL("../../docs/fields.md", import.meta.url), "utf8");
    expect(claimsOf(page)).toEqual(claimsOf(fieldsPage(accounts)));
    const cases = [...page.matchAll(/ \| ((?:translate|fields)\/\S+) \|$/gm)].map(([, name = ""]) => name);
    expect([...new Set(cases)].filter((name) => !existsSync(new URL(`../${name}`, import.meta.url)))).toEqual([]);
  });
});

/** What the page says of each field, whichever of several cases shows it. */
function claimsOf(page: string): readonly string[] {
  return page
    .split("\n")
    .filter((line) => line.startsWith("| `") || line.startsWith("## "))
    .map((line) =>
      line.replace(/ \| [^|]*\|$/, "").replace(/ \| (?:CDS|EDS|LDS|RDS|ECDS|NDS|bootstrap)\b.*$/, " | has an effect"),
    );
}

describe("a value without one of its fields", () => {
  test("loses that field only", () => {
    const value = { a: [{ b: 1, c: 2 }, { b: 3 }], d: "x" };
    expect(without(value, ["a", 0, "b"])).toEqual({ a: [{ c: 2 }, { b: 3 }], d: "x" });
    expect(without(value, ["a", 0])).toEqual({ a: [{ b: 3 }], d: "x" });
    expect(altered(value, ["a", 1, "b"], "y")).toEqual({ a: [{ b: 1, c: 2 }, { b: 4 }], d: "x" });
    expect(altered(value, ["d"], "y")).toEqual({ a: [{ b: 1, c: 2 }, { b: 3 }], d: "y" });
  });
});
