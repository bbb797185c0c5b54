/** One object's validation, taken apart: what istiod says, and what an API server says before it. */
import type { Problem } from "#lib/problem.ts";
import type { MeshObject } from "../model/object.ts";
import { crdOf } from "./crds/crds.ts";
import { createFindings } from "./findings.ts";
import { FIELD_WITHOUT_EFFECT } from "./fields-without-effect.ts";
import { checkSchema } from "./schema.ts";
import { NO_EFFECT, validateObject, validateSemantics } from "./validate-object.ts";

export interface Verdict {
  readonly object: MeshObject;
  /** istiod takes the object. */
  readonly isAccepted: boolean;
  /** Why istiod refuses it. */
  readonly errors: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** Why an API server with Istio's CRDs refuses it. */
  readonly schemaErrors: readonly Problem[];
  /** What is worth knowing: what has no effect here. */
  readonly notes: readonly Problem[];
}

export function verdictOn(object: MeshObject): Verdict {
  const all = validateObject(object);
  const crd = crdOf(object.kind, object.group, object.version);
  if (crd === undefined) {
    const ofLevel = (wanted: Problem["level"]): readonly Problem[] => all.filter(({ level }) => level === wanted);
    const errors = ofLevel("error");
    const warnings = ofLevel("warning").filter((problem) => !isAboutUs(problem));
    const notes = [...ofLevel("info"), ...ofLevel("warning").filter(isAboutUs)];
    return { object, isAccepted: errors.length === 0, errors, warnings, schemaErrors: [], notes };
  }
  const schema = createFindings(object);
  checkSchema(crd, schema);
  const isServed = crd.versions.includes(object.version);
  const wrongVersion = isServed ? [] : all.filter(({ code }) => code === "unknown-api-version");
  const schemaErrors = [
    ...wrongVersion,
    ...schema.problems.filter(({ level, code }) => level === "error" || code === "null-field"),
  ];
  // An object whose types are wrong never becomes one of istiod's.
  const isReadable = isServed && !schema.problems.some(({ code }) => code === "wrong-type");
  const semantic = isReadable ? validateSemantics(object) : [];
  const errors = semantic.filter(({ level }) => level === "error");
  const warnings = semantic.filter(({ level }) => level === "warning");
  const notes = [...semantic.filter(({ level }) => level === "info"), ...all.filter(isAboutUs)];
  return { object, isAccepted: isReadable && errors.length === 0, errors, warnings, schemaErrors, notes };
}

function isAboutUs({ code }: Problem): boolean {
  return code === NO_EFFECT || code === FIELD_WITHOUT_EFFECT;
}
