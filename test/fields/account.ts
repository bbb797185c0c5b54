/** Every leaf of every CRD of Istio's: the xDS that it becomes, shown by taking it away; or the finding that it gets. */
import { parseManifests } from "#control-plane/config/parse-manifests.ts";
import type { Crd, CrdSchema } from "#control-plane/validate/crds/crd-schema.ts";
import type { Problem } from "#lib/problem.ts";
import type { MeshObject } from "#control-plane/model/object.ts";
import { crdOf, crds } from "#control-plane/validate/crds/crds.ts";
import { validateObject } from "#control-plane/validate/validate-object.ts";
import { altered, leavesOf, occurrencesOf, without, type Occurrence } from "./leaves.ts";
import { situations, snapshotsOf, type Situation } from "./situation.ts";

export type LeafAccount =
  /** Without it something else is sent: where the first difference is, and the situation that shows it. */
  | { readonly kind: "effect"; readonly where: string; readonly shownBy: string }
  /** It has no effect, and a finding says so. */
  /** The object is refused without it, and nothing that it may say instead was tried with an effect. */
  | { readonly kind: "required"; readonly shownBy: string }
  | { readonly kind: "finding"; readonly message: string; readonly shownBy: string }
  | { readonly kind: "unexplained"; readonly isProbed: boolean };

/** By `<kind> <path>`, in the order of the CRDs. */
export function accountOfFields(): ReadonlyMap<string, LeafAccount> {
  const accounts = new Map<string, LeafAccount>();
  for (const { kind, path, schema } of crds.flatMap(leavesOf)) {
    const key = `${kind} ${path}`;
    const said =
      forPeople.get(key) ?? (mustBeEmpty(schema) ? "refused: a policy reaches only its own namespace." : undefined);
    const known = said === undefined ? undefined : ({ kind: "finding", message: said, shownBy: "the CRD" } as const);
    accounts.set(key, known ?? { kind: "unexplained", isProbed: false });
  }
  for (const situation of situations()) explainBy(situation, accounts);
  for (const crd of crds) explainByKind(crd, accounts);
  return accounts;
}

const NAME = "a name for people; istiod makes nothing of it either";

/** What says something to people only, at istiod's, too; and what can say one thing only. */
const forPeople: ReadonlyMap<string, string> = new Map([
  ["EnvoyFilter spec.targetRefs[].group", "read as gateway.networking.k8s.io, whatever it says"],
  ["Gateway spec.servers[].name", NAME],
  ["Sidecar spec.ingress[].port.name", NAME],
  ["Sidecar spec.egress[].port.name", NAME],
]);

const mustBeEmpty = (schema: CrdSchema): boolean =>
  typeof schema === "object" && schema.rules?.includes("self.size() == 0") === true;

/** A kind that has no effect at all has one finding for all of its fields. */
function explainByKind({ kind, group, storage }: Crd, accounts: Map<string, LeafAccount>): void {
  const text = JSON.stringify({ apiVersion: `${group}/${storage}`, kind, metadata: { name: "x" }, spec: {} });
  const [object] = parseManifests(text, "x.json").objects;
  const finding = object && validateObject(object).find(({ code, path }) => path === "" && isAboutKind(code));
  if (finding === undefined) return;
  for (const [key, account] of accounts) {
    if (account.kind === "unexplained" && key.startsWith(`${kind} `)) {
      accounts.set(key, { kind: "finding", message: finding.message, shownBy: "control-plane/validate/kinds.ts" });
    }
  }
}

const isAboutKind = (code: string): boolean => code === "GM0101";

function explainBy(situation: Situation, accounts: Map<string, LeafAccount>): void {
  let before: Snapshots | undefined;
  for (const [index, object] of situation.objects.entries()) {
    const crd = crdOf(object.kind, object.group);
    if (crd === undefined) continue;
    const refusals = validateObject(object).filter(({ level }) => level === "error");
    for (const occurrence of occurrencesOf(object.spec, crd.spec)) {
      const key = `${object.kind} ${occurrence.pattern}`;
      const known = accounts.get(key);
      if (known === undefined || known.kind === "effect" || known.kind === "finding") continue;
      if (refusals.length > 0) {
        const refusal = refusals.find((problem) => isAbout(problem, occurrence.pattern));
        if (refusal !== undefined) {
          accounts.set(key, { kind: "finding", message: `refused: ${refusal.message}`, shownBy: situation.name });
        }
        continue;
      }
      before ??= snapshotsOf(situation, acceptedOf(situation.objects));
      const where = differenceWithout(situation, index, occurrence, before);
      const hasEffect = where !== undefined && where !== REQUIRED;
      const finding = hasEffect ? undefined : findingAbout(object, occurrence, before);
      if (where === REQUIRED && finding === undefined) {
        accounts.set(key, { kind: "required", shownBy: situation.name });
      } else if (where !== undefined && where !== REQUIRED)
        accounts.set(key, { kind: "effect", where, shownBy: situation.name });
      else if (finding !== undefined) {
        accounts.set(key, { kind: "finding", message: finding, shownBy: situation.name });
      } else if (known.kind !== "required") accounts.set(key, { kind: "unexplained", isProbed: true });
    }
  }
}

function acceptedOf(objects: readonly MeshObject[]): readonly MeshObject[] {
  return objects.filter(isAccepted);
}

const verdicts = new WeakMap<MeshObject, boolean>();

function isAccepted(object: MeshObject): boolean {
  const known = verdicts.get(object);
  if (known !== undefined) return known;
  const verdict = !validateObject(object).some(({ level }) => level === "error");
  verdicts.set(object, verdict);
  return verdict;
}

type Snapshots = ReturnType<typeof snapshotsOf>;

function differenceWithout(
  situation: Situation,
  index: number,
  { steps }: Occurrence,
  before: Snapshots,
): string | undefined {
  const object = situation.objects[index];
  if (object === undefined) return undefined;
  const changed = [without(object.spec, steps), ...others.map((text) => altered(object.spec, steps, text))]
    .map((spec): MeshObject => ({ ...object, spec, raw: { ...object.raw, spec } }))
    .find(isAccepted);
  if (changed === undefined) return REQUIRED;
  const objects = acceptedOf(situation.objects.map((item) => (item === object ? changed : item)));
  const after = snapshotsOf(situation, objects);
  for (const [at, snapshot] of before.entries()) {
    for (const type of [
      "clusters",
      "endpoints",
      "listeners",
      "routes",
      "extensionConfigs",
      "nameTable",
      "node",
    ] as const) {
      const path = firstDifference(snapshot[type], after[at]?.[type]);
      if (path !== undefined) return `${words[type]}${path === "" ? "" : ` \`${path}\``}`;
    }
  }
  return undefined;
}

/** What a string may say instead, where it must say something: the first that is accepted. */
const others = ["other", "10.9.9.9", "7s", "CONNECT", "/other", "HTTP", "TCP", "50"];

const REQUIRED = "required";

const words = {
  clusters: "CDS",
  endpoints: "EDS",
  listeners: "LDS",
  routes: "RDS",
  extensionConfigs: "ECDS",
  nameTable: "NDS",
  node: "bootstrap",
} as const;

/** The path of the first difference, `[]` for items; undefined where there is none. Named items are compared by name, filters in their order, too. */
function firstDifference(one: unknown, other: unknown, path = ""): string | undefined {
  if (one === other) return undefined;
  if (Array.isArray(one) && Array.isArray(other)) {
    const [named, otherNamed] = [byName(one), byName(other)];
    if (named !== undefined && otherNamed !== undefined) {
      const below = path === "" ? "" : `${path}[]`;
      for (const [name, item] of named) {
        if (!otherNamed.has(name)) return below;
        const found = firstDifference(item, otherNamed.get(name), below);
        if (found !== undefined) return found;
      }
      const isInOrder = !/filters$/i.test(path) || [...named.keys()].join() === [...otherNamed.keys()].join();
      return named.size === otherNamed.size && isInOrder ? undefined : below;
    }
    if (one.length !== other.length) return `${path}[]`;
    for (const [index, item] of one.entries()) {
      const found = firstDifference(item, other[index], `${path}[]`);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (!isMap(one) || !isMap(other)) return path;
  for (const key of new Set([...Object.keys(one), ...Object.keys(other)])) {
    const name = /^[\w@]+$/.test(key) ? key : "{}";
    const found = firstDifference(one[key], other[key], path === "" ? name : `${path}.${name}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

function byName(items: readonly unknown[]): ReadonlyMap<string, unknown> | undefined {
  const named = new Map(
    items.map((item) => {
      const { name, clusterName } = isMap(item) ? item : {};
      return [typeof name === "string" ? name : typeof clusterName === "string" ? clusterName : "", item];
    }),
  );
  return named.size === items.length && !named.has("") ? named : undefined;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A finding at the field, at a block that holds it, or about the whole kind. */
function findingAbout(object: MeshObject, occurrence: Occurrence, snapshots: Snapshots): string | undefined {
  const own = `${object.kind} ${object.metadata.namespace}/${object.metadata.name}`;
  const problems = [
    ...validateObject(object),
    ...snapshots.flatMap((snapshot) => snapshot.problems.filter((problem) => problem.object === own)),
  ];
  const about = problems.filter((problem) => problem.level !== "error" && isAbout(problem, occurrence.pattern));
  return about.sort((a, b) => b.path.length - a.path.length)[0]?.message;
}

function isAbout({ path, code }: Problem, pattern: string): boolean {
  const place = path.replace(/\[\d+\]/g, "[]").replace(/\["(?:[^"\\]|\\.)*"\]/g, "{}");
  if (place === "") return isAboutKind(code);
  return (
    pattern === place ||
    pattern.startsWith(`${place}.`) ||
    pattern.startsWith(`${place}[`) ||
    pattern.startsWith(`${place}{`)
  );
}
