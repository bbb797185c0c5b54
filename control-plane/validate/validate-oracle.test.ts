/** Which objects are refused: compared with a real istiod's answers, in the oracle folder beside the checkout. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseManifests } from "../config/parse-manifests.ts";
import { formatProblem } from "#lib/problem.ts";
import { crdOf } from "./crds/crds.ts";
import { createFindings } from "./findings.ts";
import { istioKinds } from "./kinds.ts";
import { checkSchema } from "./schema.ts";
import { validateObject, validateSemantics } from "./validate-object.ts";

const oracle = join(import.meta.dirname, "../../../shared/oracle");
const seeds = join(import.meta.dirname, "../../../shared/seed-manifests");

interface Verdict {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
  readonly accepted: boolean;
  readonly errors?: readonly string[];
  readonly warnings?: readonly string[];
  readonly schemaErrors?: readonly string[];
}

/** A Gateway API object is judged in its status. */
function isIstios({ kind, apiVersion }: Verdict): boolean {
  return istioKinds[kind]?.group === apiVersion.split("/")[0];
}

describe.skipIf(!existsSync(oracle))(
  "validation against istiod's verdicts (skipped where there is no oracle folder)",
  () => {
    const cases = existsSync(oracle)
      ? readdirSync(oracle).filter((name) => existsSync(join(oracle, name, "validate.json")))
      : [];
    test.each(cases)("%s", (name) => {
      const { objects, problems } = parseManifests(
        readFileSync(join(oracle, name, "config.yaml"), "utf8"),
        "config.yaml",
      );
      expect(problems.map(formatProblem)).toEqual([]);
      const verdicts = JSON.parse(readFileSync(join(oracle, name, "validate.json"), "utf8")) as readonly Verdict[];
      for (const verdict of verdicts.filter(isIstios)) {
        const written = objects.filter(
          ({ apiVersion, kind, metadata }) =>
            apiVersion === verdict.apiVersion && kind === verdict.kind && metadata.name === verdict.name,
        );
        const object = written.find(({ metadata }) => metadata.namespace === verdict.namespace) ?? written[0];
        expect(object, `${verdict.kind} ${verdict.name}`).toBeDefined();
        if (object === undefined) continue;
        const semantic = validateSemantics(object);
        const refused = semantic.filter(({ level }) => level === "error").map(formatProblem);
        expect(
          refused.length === 0,
          `${verdict.kind} ${verdict.name}: ${refused.join("; ")} / ${verdict.errors?.join() ?? ""}`,
        ).toBe(verdict.accepted);
        const warned = semantic
          .filter(({ level, code }) => level === "warning" || code === "IST0131")
          .map(formatProblem);
        expect(warned.length > 0, `${verdict.name}: ${warned.join("; ")} / ${verdict.warnings?.join() ?? ""}`).toBe(
          verdict.warnings !== undefined,
        );
        const crd = crdOf(object.kind, object.group, object.version);
        const schema = createFindings(object);
        if (crd !== undefined) checkSchema(crd, schema);
        expect(schema.problems.map(formatProblem), verdict.schemaErrors?.join() ?? "no schema error").toHaveLength(
          verdict.schemaErrors?.length ?? 0,
        );
      }
    });
  },
);

describe.skipIf(!existsSync(seeds))("seed manifests (skipped where there is no folder of them)", () => {
  const files = existsSync(seeds)
    ? readdirSync(seeds, { recursive: true })
        .map(String)
        .filter((name) => name.endsWith(".yaml"))
    : [];
  test.each(files)("%s loads", (name) => {
    const { objects, problems } = parseManifests(readFileSync(join(seeds, name), "utf8"), name);
    expect(problems.map(formatProblem)).toEqual([]);
    expect(objects.length).toBeGreaterThan(0);
    const refused = objects.flatMap(validateObject).filter(({ level }) => level === "error");
    expect(refused.map(formatProblem)).toEqual([]);
  });
});
