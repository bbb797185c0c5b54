/** Every field that a control plane may send, set in a message for the real parsers: read, without effect, or refused. */
import { readFileSync, globSync } from "node:fs";
import { create, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import { registry } from "#protos/registry.ts";
import { entries, type Entry } from "./entries.ts";
import { anyAround, basesOf, valuesOf, withField } from "./examples.ts";
import { passedOn } from "./settings.ts";
import { observe, placeOf, type Observation, type Sight } from "./observe.ts";

export type Verdict =
  | { readonly kind: "read" }
  /** Read by name, and without effect for this reason. */
  | { readonly kind: "ignored"; readonly why: string }
  | { readonly kind: "refused"; readonly message: string }
  /** No probe came so far: nothing is claimed. */
  | { readonly kind: "unknown"; readonly message: string };

export interface FieldAccount {
  /** What becomes of it at the first place where most becomes of it. */
  readonly verdict: Verdict;
  /** The places where it is refused, though it is read at others. */
  readonly refusedAt: readonly string[];
  /** Values of an enumeration that are taken; undefined: all, or it is none. */
  readonly values: ReadonlySet<string> | undefined;
  /** Types that an Any, or the extension point that is here, may hold. */
  readonly types: ReadonlySet<string> | undefined;
}

export interface MessageAccount {
  readonly desc: DescMessage;
  /** The first place where it may stand, and the entry that it hangs below. */
  readonly trail: string;
  readonly entry: Entry;
  readonly fields: ReadonlyMap<string, FieldAccount>;
}

/** By type, in the order in which the messages are met. */
export function accountOfMessages(): ReadonlyMap<string, MessageAccount> {
  const walk = new Walk();
  for (const entry of entries()) walk.entry(entry);
  return walk.accounts();
}

/** One message at one place of a resource. */
interface Place {
  readonly entry: Entry;
  readonly desc: DescMessage;
  /** As problems name it, without indices. */
  readonly path: string;
  /** For people: fields, and the short names of the types of extensions. */
  readonly trail: string;
  readonly bases: readonly Message[];
  /** The whole resource with this message in its place. */
  readonly wrap: (message: Message) => Message;
  /** The field that holds this message, where it is one that holds an Any. */
  readonly holder: FieldNote | undefined;
  readonly depth: number;
}

interface Found {
  readonly verdict: Verdict;
  readonly base: Message;
  readonly value: unknown;
}

const ANY = "google.protobuf.Any";
/** How many places of a message are probed: parsers are shared, places differ seldom. */
const MAX_PLACES = 3;
const MAX_DEPTH = 24;
/** In how many of the messages of a type each type of extension is tried. */
const MAX_BASES = 2;

interface Gathered {
  readonly desc: DescMessage;
  readonly trail: string;
  readonly entry: Entry;
  readonly fields: Map<string, FieldNote>;
  places: number;
}

interface FieldNote {
  verdict: Verdict;
  refusedAt: string[];
  values: Set<string> | undefined;
  types: Set<string> | undefined;
}

class Walk {
  readonly #messages = new Map<string, Gathered>();
  readonly #queue: Place[] = [];
  readonly #roots = new Set<string>();
  readonly #candidates = candidates();

  entry(entry: Entry): void {
    const desc = registry().getMessage(entry.typeName);
    if (desc === undefined) throw new Error(entry.typeName);
    this.#roots.add(entry.typeName);
    this.#queue.push({
      entry,
      desc,
      path: entry.path,
      trail: "",
      bases: basesOf(desc),
      wrap: (message) => message,
      holder: undefined,
      depth: 0,
    });
  }

  accounts(): ReadonlyMap<string, MessageAccount> {
    for (let place = this.#queue.shift(); place !== undefined; place = this.#queue.shift()) this.#place(place);
    return this.#messages;
  }

  #place(place: Place): void {
    const { desc, trail, entry } = place;
    let gathered = this.#messages.get(desc.typeName);
    if (gathered === undefined) {
      gathered = { desc, trail, entry, fields: new Map(), places: 0 };
      this.#messages.set(desc.typeName, gathered);
    }
    gathered.places++;
    const isFirst = gathered.places === 1;
    for (const field of desc.fields) {
      if (field.message?.typeName === ANY) this.#extension(place, field, gathered);
      else this.#field(place, field, gathered, isFirst);
    }
  }

  #field(place: Place, field: DescField, gathered: Gathered, isFirst: boolean): void {
    const found = bestOf(place, field, valuesOf(field));
    const isRead = found.verdict.kind === "read";
    const values = field.enum !== undefined && isRead ? enumValues(place, field, found) : undefined;
    const noted = note(gathered, place, field, found.verdict, values);
    if (field.message === undefined) return;
    const isPoint = field.message.fields.some(
      ({ name, message }) => name === "typed_config" && message?.typeName === ANY,
    );
    if (isRead || (isPoint && !isRefusedWhole(found.verdict)))
      this.#descend(place, field, field.message, found.base, isFirst, isPoint ? noted : undefined);
  }

  #descend(
    place: Place,
    field: DescField,
    desc: DescMessage,
    base: Message,
    isFirst: boolean,
    holder: FieldNote | undefined,
  ): void {
    if (/^(?:google\.protobuf|cel)\./.test(desc.typeName) || passedOn[place.desc.typeName] !== undefined) return;
    if (this.#roots.has(desc.typeName) && place.depth === 0) return;
    const seen = this.#messages.get(desc.typeName)?.places ?? 0;
    const waiting = this.#queue.filter((other) => other.desc === desc).length;
    const isKnown = !isFirst || seen + waiting >= MAX_PLACES;
    if ((isKnown && holder === undefined) || place.depth > MAX_DEPTH) return;
    if (holder !== undefined && holder.types !== undefined) return;
    this.#queue.push({
      entry: place.entry,
      desc,
      path: join(place.path, field.name),
      trail: join(place.trail, field.name),
      bases: basesOf(desc),
      wrap: (message) => place.wrap(withField(base, field, message)),
      holder,
      depth: place.depth + 1,
    });
  }

  /** Which types an Any may hold at a place. */
  #extension(place: Place, field: DescField, gathered: Gathered): void {
    const { holder } = place;
    const taken = new Set<string>();
    let verdict: Verdict = { kind: "unknown", message: "nobody looked" };
    for (const base of place.bases.slice(0, MAX_BASES)) {
      const { verdict: control } = this.#opened(place, field, base, "google.protobuf.Empty");
      const isDiscerning = control.kind === "refused";
      if (rank(control) > rank(verdict) && isDiscerning) verdict = control;
      for (const desc of this.#candidates) {
        if (taken.has(desc.typeName)) continue;
        const { verdict: one, isOpened, around } = this.#opened(place, field, base, desc.typeName);
        // A type that has no fields may be known by its name alone: then others are refused, and it is not.
        const isKnownByName = desc.fields.length === 0 && isDiscerning && one.kind === "read";
        if (!isOpened && rank(one) > rank(verdict) && !isDiscerning) verdict = one;
        if (!isOpened && !isKnownByName) continue;
        taken.add(desc.typeName);
        const isWaiting = this.#queue.some((other) => other.desc === desc);
        if (this.#messages.has(desc.typeName) || isWaiting || place.depth >= MAX_DEPTH) continue;
        this.#queue.push({
          entry: place.entry,
          desc,
          path: join(place.path, field.name),
          trail: join(place.trail, `${field.name}<${desc.name}>`),
          bases: basesOf(desc),
          wrap: around,
          holder: undefined,
          depth: place.depth + 1,
        });
      }
    }
    if (taken.size > 0) verdict = { kind: "read" };
    const noted = note(gathered, place, field, verdict, undefined);
    noted.types = new Set([...(noted.types ?? []), ...taken]);
    if (holder === undefined) return;
    holder.types = new Set([...(holder.types ?? []), ...taken]);
    if (taken.size > 0) holder.verdict = { kind: "read" };
  }

  #opened(
    place: Place,
    field: DescField,
    base: Message,
    typeName: string,
  ): { readonly verdict: Verdict; readonly isOpened: boolean; readonly around: (message: Message) => Message } {
    const desc = registry().getMessage(typeName);
    if (desc === undefined) throw new Error(typeName);
    const around = (message: Message): Message =>
      place.wrap(withField(base, field, anyAround(desc, message), typeName));
    const path = join(place.path, field.name);
    let verdict: Verdict = { kind: "unknown", message: "" };
    let isOpened = false;
    for (const inner of basesOf(desc)) {
      const seen = observe(() => place.entry.parse(around(inner)));
      const one = verdictOf(place.path, field, seen, place.desc.typeName);
      if (rank(one) >= rank(verdict)) verdict = one;
      isOpened ||= seen.sights.some((sight) => sight.type === typeName && sight.path === path);
    }
    return { verdict, isOpened, around };
  }
}

/** The best that becomes of a field in any of the bases. */
function bestOf(place: Place, field: DescField, values: readonly unknown[]): Found {
  let best: Found | undefined;
  for (const base of place.bases) {
    for (const value of values) {
      const seen = observe(() => place.entry.parse(place.wrap(withField(base, field, value))));
      const verdict = verdictOf(place.path, field, seen, place.desc.typeName);
      if (best === undefined || rank(verdict) > rank(best.verdict)) best = { verdict, base, value };
      if (verdict.kind === "read") return best;
    }
  }
  return best ?? { verdict: { kind: "unknown", message: "no value" }, base: create(place.desc), value: undefined };
}

function enumValues(place: Place, field: DescField, { base }: Found): Set<string> | undefined {
  const taken = new Set<string>();
  const all = field.enum?.values ?? [];
  for (const { number, name } of all) {
    const isTaken = [base, ...place.bases].some((one) => {
      const seen = observe(() => place.entry.parse(place.wrap(withField(one, field, number))));
      return verdictOf(place.path, field, seen, place.desc.typeName).kind === "read";
    });
    if (isTaken) taken.add(name);
  }
  return taken.size === all.length ? undefined : taken;
}

const ranks = { unknown: 0, refused: 1, ignored: 2, read: 3 } as const;
const rank = ({ kind }: Verdict): number => ranks[kind];

/** The reader's own words: nobody reads the field at all. */
function isRefusedWhole(verdict: Verdict): boolean {
  return verdict.kind === "refused" && verdict.message.includes("is not supported by this proxy; remove it");
}

function verdictOf(path: string, field: DescField, seen: Observation, typeName: string): Verdict {
  if (seen.thrown !== undefined)
    return { kind: "unknown", message: `threw: ${seen.thrown instanceof Error ? seen.thrown.message : "no Error"}` };
  const own = join(path, field.name);
  const errors = seen.problems.filter(({ level }) => level === "error");
  const about = errors.find((problem) => placeOf(problem.path) === own);
  if (about !== undefined && about.code === "unsupported-field") return { kind: "refused", message: about.message };
  const isHere = (sight: Sight): boolean =>
    sight.path === path && (sight.type === undefined || sight.type === typeName);
  const ofField = seen.sights.filter((sight) => isHere(sight) && isOf(sight, field));
  const ignored = ofField.find(({ kind }) => kind === "ignored");
  const isRead = ofField.some(({ kind }) => (needsTaking(field) ? kind === "taken" : kind !== "ignored"));
  if (!isRead && ignored !== undefined) return { kind: "ignored", why: ignored.why ?? "" };
  if (about !== undefined) return { kind: "refused", message: about.message };
  if (isRead || passedOn[typeName] !== undefined) return { kind: "read" };
  const whole = errors.find((problem) => placeOf(problem.path) === path && field.oneof !== undefined);
  if (whole !== undefined) return { kind: "refused", message: whole.message };
  const above = errors.find(({ code, path: at }) => code === "unsupported-field" && own.startsWith(`${placeOf(at)}.`));
  if (above !== undefined) return { kind: "refused", message: above.message };
  return {
    kind: "unknown",
    message: `nobody looked; ${errors.map((error) => `${error.path}: ${error.message}`).join("; ")}`,
  };
}

/** A member of a oneof is read when its value is; where it says all by being there, when the oneof is. */
function needsTaking({ oneof, scalar, message }: DescField): boolean {
  return oneof !== undefined && scalar !== 8 && message?.fields.length !== 0;
}

const isOf = ({ field }: Sight, { localName, oneof }: DescField): boolean =>
  field === localName || (oneof !== undefined && field === oneof.localName);

function note(
  { fields }: Gathered,
  place: Place,
  field: DescField,
  verdict: Verdict,
  values: Set<string> | undefined,
): FieldNote {
  const at = join(place.trail, field.name);
  let known = fields.get(field.name);
  if (known === undefined) {
    known = { verdict, refusedAt: [], values, types: undefined };
    fields.set(field.name, known);
  } else if (values !== undefined && known.values !== undefined) for (const value of values) known.values.add(value);
  if (verdict.kind === "refused") known.refusedAt.push(at);
  if (rank(verdict) > rank(known.verdict)) {
    known.verdict = verdict;
    known.values ??= values;
  }
  return known;
}

/** What an Any may be tried with: the types that the proxy's sources name, in whole or (after a prefix) in part. */
function candidates(): readonly DescMessage[] {
  const root = new URL("../../proxy/", import.meta.url).pathname;
  const files = globSync("**/*.ts", { cwd: root }).filter((file) => !/\.test\.ts$|testing\//.test(file));
  const text = files.map((file) => readFileSync(`${root}${file}`, "utf8")).join("\n");
  const names = new Set(
    [...text.matchAll(/[a-z_]+\.(?:[a-z][\w]*\.)*[A-Z]\w*|\}\.?[A-Z]\w*/g)].map(([name]) => name.replace("}.", "}")),
  );
  const found: DescMessage[] = [];
  for (const type of registry()) if (type.kind === "message" && isCandidate(type, names)) found.push(type);
  return found.sort((a, b) => (a.typeName < b.typeName ? -1 : 1));
}

function isCandidate({ typeName, parent }: DescMessage, names: ReadonlySet<string>): boolean {
  if (typeName.startsWith("google.")) return false;
  if (names.has(typeName)) return true;
  const parts = typeName.split(".");
  const isPart = names.has(parts.slice(-3).join(".")) || names.has(`}${parts.at(-1)}`);
  return parent === undefined && typeName.startsWith("envoy.extensions.") && isPart;
}

const join = (path: string, name: string): string => (path === "" ? name : `${path}.${name}`);
