/** Messages about whole configurations, compared with istioctl's, in the oracle folder beside the checkout. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readManifests } from "./read-manifests.ts";
import { analyzers } from "./registry.ts";
import { runAnalysis } from "./run-analysis.ts";

const oracle = join(import.meta.dirname, "../../../shared/oracle");

interface Answer {
  readonly exitCode: number;
  readonly messages: readonly {
    readonly code: string;
    readonly level: string;
    readonly origin: string;
    readonly reference: string;
  }[];
}

const line = ({ code, level, origin, reference }: Answer["messages"][number]): string =>
  `${code} ${level} ${origin} ${reference}`;

describe.skipIf(!existsSync(oracle))("analysis against istioctl's (skipped where there is no oracle folder)", () => {
  const cases = existsSync(oracle)
    ? readdirSync(oracle).filter((name) => existsSync(join(oracle, name, "analyze.json")))
    : [];
  test("there are cases", () => {
    expect(cases.length).toBeGreaterThanOrEqual(95);
  });

  test.each(cases)("%s", (name) => {
    const files = ["k8s.yaml", "config.yaml"].filter((file) => existsSync(join(oracle, name, file)));
    const objects = files.flatMap(
      (file) => readManifests(readFileSync(join(oracle, name, file), "utf8"), file).objects,
    );
    const answers = JSON.parse(readFileSync(join(oracle, name, "analyze.json"), "utf8")) as Record<string, Answer>;
    for (const [key, namespace] of [
      ["allNamespaces", undefined],
      ["namespaceDefault", "default"],
    ] as const) {
      const expected = answers[key];
      const { messages } = runAnalysis(objects, analyzers, { namespace });
      const found = messages.map(({ type, ...rest }) => line({ ...type, ...rest }));
      expect(found, key).toEqual(expected?.messages.map(line));
      const exitCode = messages.some(({ type }) => type.level === "Error") ? 79 : 0;
      expect(exitCode).toBe(expected?.exitCode);
    }
  });
});
