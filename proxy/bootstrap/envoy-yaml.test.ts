import { describe, expect, test } from "vitest";
import { parseEnvoyYaml } from "./envoy-yaml.ts";

function read(text: string): unknown {
  const { value, problems } = parseEnvoyYaml(text, "x.yaml");
  expect(problems).toEqual([]);
  return value?.json;
}

describe("scalars, as Envoy 1.40 reads them", () => {
  test.each([
    ["yes", true],
    ["Yes", true],
    ["on", true],
    ["y", true],
    ["TRUE", true],
    ["tRue", "tRue"],
    ["off", false],
    ["n", false],
    ["NO", false],
    ["~", null],
    ["NULL", null],
    ["", null],
    ["0x10", 16],
    ["010", 8],
    ["08", "08"],
    ["0o10", "0o10"],
    ["0b11", "0b11"],
    ["+1", 1],
    ["-0", 0],
    ["1_000", "1_000"],
    ["9007199254740991", 9007199254740991],
    ["9007199254740993", "9007199254740993"],
    ["1.50", "1.50"],
    ["1e3", "1e3"],
    [".inf", ".inf"],
    ["2001-01-01", "2001-01-01"],
    ["12:30", "12:30"],
    ["'yes'", "yes"],
    ['"123"', "123"],
    ["!!str yes", true],
    ['!!int "5"', 5],
    ["|\n  yes\n", "yes\n"],
  ])("%j is %j", (text, value) => {
    expect(read(`a: ${text}\n`)).toEqual({ a: value });
  });

  test("anchors are followed, << is a key like any other", () => {
    expect(read("a: &x {k: 1}\nb: *x\nc: {<<: *x, z: 2}\n")).toEqual({
      a: { k: 1 },
      b: { k: 1 },
      c: { "<<": { k: 1 }, z: 2 },
    });
  });

  test("in JSON a number is a number, and a problem has its place all the same", () => {
    const { value } = parseEnvoyYaml('{"a": 1.5,\n "b": {"c": 1}}', "x.json");
    expect(value?.json).toEqual({ a: 1.5, b: { c: 1 } });
    expect(value?.locate("b.c")).toEqual({ file: "x.json", line: 2, column: 8 });
  });

  test("JSON with YAML in it is YAML", () => {
    expect(read('{"a": on, "b": 1.5}')).toEqual({ a: true, b: "1.5" });
  });

  test("JSON is YAML", () => {
    expect(read('{"a": [1, "2", true, null, {"b": "no"}]}')).toEqual({ a: [1, "2", true, null, { b: "no" }] });
  });
});

describe("places", () => {
  const { value } = parseEnvoyYaml("a:\n  bC:\n  - x\n  - {d.e: 1}\n", "x.yaml");
  test.each([
    ["a", 1, 1],
    ["a.bC[1]", 4, 5],
    ["a.b_c[1][d.e]", 4, 6],
    ["a.b_c[7].z", 2, 3],
    ["", 1, 1],
  ])("%s is at %i:%i", (path, line, column) => {
    expect(value?.locate(path)).toEqual({ file: "x.yaml", line, column });
  });
});

describe("refused", () => {
  test.each([
    ["a: 1\na: 2\n", "unique", 2],
    ["a: [\n", "Flow sequence", 1],
    ["a: 1\n---\nb: 2\n", "more than one YAML document", 2],
  ])("%j", (text, message, line) => {
    const { value, problems } = parseEnvoyYaml(text, "x.yaml");
    expect(value).toBeUndefined();
    expect(problems[0]?.message).toContain(message);
    expect(problems[0]?.source?.line).toBeGreaterThanOrEqual(line);
  });

  test("nothing", () => {
    expect(parseEnvoyYaml("", "x.yaml").problems[0]?.message).toBe("x.yaml is empty");
  });
});
