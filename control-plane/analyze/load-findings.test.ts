import { describe, expect, test } from "vitest";
import { formatProblem } from "#lib/problem.ts";
import { parseManifests } from "../config/parse-manifests.ts";
import { loadFindings } from "./load-findings.ts";

const lines = (yaml: string): readonly string[] =>
  loadFindings(parseManifests(yaml, "f.yaml").objects).map(
    (problem) => `${problem.level} ${problem.code} ${formatProblem(problem)}`,
  );

const virtualService = (name: string, destination: string): string =>
  `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: ${name} }\nspec:\n  hosts: [a]\n  http: [{ route: [{ destination: { ${destination} } }] }]\n`;

describe("findings about loaded objects", () => {
  test("a subset that nobody defines is named with its place, and refuses nothing", () => {
    expect(lines(virtualService("v", "host: a, subset: s"))).toEqual([
      expect.stringMatching(
        /^warning IST0101 f\.yaml:6:\d+: VirtualService default\/v spec\.http\[0\]\.route\[0\]\.destination\.host: .*"a\+s"/,
      ),
    ]);
  });

  test("of two VirtualServices for one host each is named", () => {
    const yaml = [virtualService("v", "host: a"), virtualService("w", "host: a")].join("---\n");
    expect(lines(yaml).map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual([
      "warning IST0109",
      "warning IST0109",
    ]);
  });

  test("a host that nobody defines yet is nobody's fault", () => {
    expect(lines(virtualService("v", "host: later.example.com"))).toEqual([]);
  });
});
