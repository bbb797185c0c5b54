/**
 * Envoy's runtime: values that operators set in layers, of which the last that has a key wins. Messages name keys beside
 * their defaults (`RuntimeFractionalPercent`, `RuntimeFeatureFlag` …); some keys have names of their own.
 */
import { parse as parseYaml } from "yaml";
import type { Counter, Gauge, StatsScope } from "./observability/stats.ts";

/** What is in force now. Undefined: no layer has the key, or its value is of another kind. */
export interface RuntimeSnapshot {
  /** A whole number ≥ 0. */
  integer(key: string): number | undefined;
  number(key: string): number | undefined;
  boolean(key: string): boolean | undefined;
  /** A fraction, or a whole number, which is a percentage. */
  fraction(key: string): SnapshotFraction | undefined;
}

export interface SnapshotFraction {
  readonly numerator: number;
  readonly denominator: 100 | 10_000 | 1_000_000;
}

/** A layer's values: `google.protobuf.Struct` in JSON. */
export type RuntimeValues = Readonly<Record<string, unknown>>;

interface Entry {
  /** As `/runtime` shows it. */
  readonly text: string;
  readonly number: number | undefined;
  readonly boolean: boolean | undefined;
  readonly fraction: SnapshotFraction | undefined;
}

interface Layer {
  readonly name: string;
  readonly kind: "static" | "admin" | "rtds";
  entries: ReadonlyMap<string, Entry>;
}

/** A layer that can't be used: names the key and what is allowed. */
export class RuntimeLayerError extends Error {
  override readonly name = "RuntimeLayerError";
}

/** The layers of one proxy, in the order of the bootstrap. */
export class RuntimeLayers implements RuntimeSnapshot {
  readonly #layers: readonly Layer[];
  readonly #stats: RuntimeStats;
  #inForce: ReadonlyMap<string, Entry> = new Map();

  /** Throws a `RuntimeLayerError` for a static layer that can't be used. */
  constructor(
    layers: readonly {
      readonly kind: Layer["kind"];
      readonly name: string;
      readonly values?: RuntimeValues | undefined;
    }[],
    scope: StatsScope,
  ) {
    this.#stats = runtimeStats(scope.scope("runtime"));
    this.#layers = layers.map(({ kind, name, values }) => ({ kind, name, entries: entriesOf(values ?? {}) }));
    this.#stats.numLayers.set(layers.length);
    this.#load();
    this.#load(); // as Envoy, which loads once more when its clusters are there: it shows in `load_success`
  }

  integer(key: string): number | undefined {
    const number = this.#inForce.get(key)?.number;
    return number !== undefined && number >= 0 ? Math.trunc(number) : undefined;
  }

  number(key: string): number | undefined {
    return this.#inForce.get(key)?.number;
  }

  boolean(key: string): boolean | undefined {
    return this.#inForce.get(key)?.boolean;
  }

  fraction(key: string): SnapshotFraction | undefined {
    const entry = this.#inForce.get(key);
    if (entry === undefined || entry.fraction !== undefined) return entry?.fraction;
    return entry.number !== undefined && Number.isInteger(entry.number) && entry.number >= 0
      ? { numerator: entry.number, denominator: 100 }
      : undefined;
  }

  /** Puts what RTDS sent in the place of a layer's values. Throws a `RuntimeLayerError`; the old values stay then. */
  replace(name: string, values: RuntimeValues): void {
    const layer = this.#layers.find((candidate) => candidate.kind === "rtds" && candidate.name === name);
    if (layer === undefined) return;
    try {
      layer.entries = entriesOf(values);
    } catch (error) {
      this.#stats.loadError.inc();
      throw error;
    }
    this.#load();
  }

  /** `/runtime_modify`: an empty value takes an override back. False: there is no admin layer. */
  override(values: Iterable<readonly [key: string, value: string]>): boolean {
    const layer = this.#layers.find(({ kind }) => kind === "admin");
    if (layer === undefined) return false;
    const entries = new Map(layer.entries);
    for (const [key, value] of values) {
      if (value === "") entries.delete(key);
      else entries.set(key, entryOf(value));
    }
    layer.entries = entries;
    this.#stats.adminOverridesActive.set(entries.size > 0 ? 1 : 0);
    this.#load();
    return true;
  }

  /** What `/runtime` shows. */
  view(): RuntimeView {
    const entries: Record<string, RuntimeView["entries"][string]> = {};
    for (const [key, entry] of [...this.#inForce].toSorted(([a], [b]) => (a < b ? -1 : 1)))
      entries[key] = {
        layer_values: this.#layers.map((layer) => layer.entries.get(key)?.text ?? ""),
        final_value: entry.text,
      };
    return { layers: this.#layers.map(({ name }) => name), entries };
  }

  #load(): void {
    const inForce = new Map<string, Entry>();
    for (const { entries } of this.#layers) for (const [key, entry] of entries) inForce.set(key, entry);
    this.#inForce = inForce;
    this.#stats.numKeys.set(inForce.size);
    this.#stats.loadSuccess.inc();
    this.#stats.overrideDirNotExists.inc();
  }
}

export interface RuntimeView {
  readonly layers: readonly string[];
  readonly entries: Readonly<
    Record<string, { readonly layer_values: readonly string[]; readonly final_value: string }>
  >;
}

interface RuntimeStats {
  readonly numLayers: Gauge;
  readonly numKeys: Gauge;
  readonly adminOverridesActive: Gauge;
  readonly loadSuccess: Counter;
  readonly loadError: Counter;
  readonly overrideDirNotExists: Counter;
}

function runtimeStats(scope: StatsScope): RuntimeStats {
  for (const name of ["override_dir_exists", "deprecated_feature_use"]) scope.counter(name);
  scope.gauge("deprecated_feature_seen_since_process_start");
  return {
    numLayers: scope.gauge("num_layers"),
    numKeys: scope.gauge("num_keys"),
    adminOverridesActive: scope.gauge("admin_overrides_active"),
    loadSuccess: scope.counter("load_success"),
    loadError: scope.counter("load_error"),
    overrideDirNotExists: scope.counter("override_dir_not_exists"),
  };
}

const denominators: Readonly<Record<string, SnapshotFraction["denominator"]>> = {
  HUNDRED: 100,
  TEN_THOUSAND: 10_000,
  MILLION: 1_000_000,
};

/** Nested structs are keys with dots, but for fractions. */
function entriesOf(values: RuntimeValues, prefix = "", entries = new Map<string, Entry>()): Map<string, Entry> {
  for (const [key, value] of Object.entries(values)) {
    const name = prefix + key;
    if (typeof value !== "object" || value === null) {
      if (!["string", "number", "boolean"].includes(typeof value))
        throw new RuntimeLayerError(
          `Invalid runtime entry value for ${name}: null; a value is a number, bool or string`,
        );
      entries.set(name, entryOf(value as string | number | boolean));
    } else if (Array.isArray(value)) {
      throw new RuntimeLayerError(
        `Invalid runtime entry value for ${name}: a list; a value is a number, bool, string, fraction or struct of them`,
      );
    } else if (Object.hasOwn(value, "numerator") || Object.hasOwn(value, "denominator")) {
      const fraction = fractionFrom(value as RuntimeValues);
      entries.set(name, { text: JSON.stringify(value), number: undefined, boolean: undefined, fraction });
    } else entriesOf(value as RuntimeValues, `${name}.`, entries);
  }
  return entries;
}

function entryOf(value: string | number | boolean): Entry {
  const text = String(value);
  const number = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\s*$/i.test(text) ? Number(text) : undefined;
  const lower = text.trim().toLowerCase();
  const boolean = lower === "true" ? true : lower === "false" ? false : undefined;
  return { text, number, boolean, fraction: typeof value === "string" ? fractionInText(value) : undefined };
}

/** `numerator: 3` in YAML, as `/runtime_modify` takes it. */
function fractionInText(text: string): SnapshotFraction | undefined {
  if (!/\b(?:numerator|denominator)\b/.test(text) || text.length > 200) return undefined;
  try {
    const value: unknown = parseYaml(text);
    return typeof value === "object" && value !== null ? fractionFrom(value as RuntimeValues) : undefined;
  } catch {
    return undefined; // a text like any other
  }
}

function fractionFrom({ numerator = 0, denominator = "HUNDRED" }: RuntimeValues): SnapshotFraction | undefined {
  const parts = typeof denominator === "string" ? denominators[denominator] : undefined;
  return typeof numerator === "number" && numerator >= 0 && parts !== undefined
    ? { numerator: Math.trunc(numerator), denominator: parts }
    : undefined;
}
