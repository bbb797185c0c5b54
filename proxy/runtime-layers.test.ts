import { describe, expect, test } from "vitest";
import { createStatsStore } from "./observability/stats-store.ts";
import { RuntimeLayers } from "./runtime-layers.ts";

function layers(...all: ConstructorParameters<typeof RuntimeLayers>[0][number][]) {
  const stats = createStatsStore();
  const runtime = new RuntimeLayers(all, stats.root);
  const stat = (name: string): number | undefined =>
    [...stats.counters(), ...stats.gauges()].find((one) => one.name === `runtime.${name}`)?.value;
  return { runtime, stat };
}

describe("layered_runtime", () => {
  test("values are numbers, booleans, texts and fractions, by names with dots", () => {
    const { runtime, stat } = layers({
      kind: "static",
      name: "base",
      values: {
        "a.b": 1,
        c: { d: true, f: { numerator: 3, denominator: "TEN_THOUSAND" } },
        g: "12",
        h: 1.5,
        j: "true",
      },
    });
    expect([runtime.integer("a.b"), runtime.integer("g"), runtime.integer("h")]).toEqual([1, 12, 1]);
    expect(runtime.number("h")).toBe(1.5);
    expect([runtime.boolean("c.d"), runtime.boolean("j"), runtime.boolean("a.b")]).toEqual([true, true, undefined]);
    expect(runtime.fraction("c.f")).toEqual({ numerator: 3, denominator: 10_000 });
    expect(runtime.fraction("a.b")).toEqual({ numerator: 1, denominator: 100 });
    expect(runtime.fraction("nothing")).toBeUndefined();
    expect([stat("num_layers"), stat("num_keys"), stat("load_success")]).toEqual([1, 6, 2]);
  });

  test("the last layer that has a key wins; /runtime shows all", () => {
    const { runtime } = layers(
      { kind: "static", name: "base", values: { a: 1, b: 1 } },
      { kind: "static", name: "over", values: { a: 2 } },
    );
    expect([runtime.integer("a"), runtime.integer("b")]).toEqual([2, 1]);
    expect(runtime.view()).toEqual({
      layers: ["base", "over"],
      entries: {
        a: { layer_values: ["1", "2"], final_value: "2" },
        b: { layer_values: ["1", ""], final_value: "1" },
      },
    });
  });

  test("/runtime_modify overrides in the admin layer, and takes back with an empty value", () => {
    const { runtime, stat } = layers(
      { kind: "static", name: "base", values: { a: 1 } },
      { kind: "admin", name: "admin" },
    );
    const change = [
      ["a", "7"],
      ["f", "{numerator: 2, denominator: MILLION}"],
    ] as const;
    expect(runtime.override(change)).toBe(true);
    expect(runtime.integer("a")).toBe(7);
    expect(runtime.fraction("f")).toEqual({ numerator: 2, denominator: 1_000_000 });
    expect(stat("admin_overrides_active")).toBe(1);
    runtime.override([
      ["a", ""],
      ["f", ""],
    ]);
    expect([runtime.integer("a"), stat("admin_overrides_active")]).toEqual([1, 0]);
  });

  test("without an admin layer nothing is overridden", () => {
    expect(layers({ kind: "static", name: "base", values: {} }).runtime.override([["a", "1"]])).toBe(false);
  });

  test("a dynamic layer is replaced as a whole; one that is wrong stays as it was", () => {
    const { runtime, stat } = layers({ kind: "rtds", name: "dynamic" });
    runtime.replace("dynamic", { a: 1, b: 1 });
    runtime.replace("dynamic", { a: 2 });
    expect([runtime.integer("a"), runtime.integer("b")]).toEqual([2, undefined]);
    expect(() => runtime.replace("dynamic", { a: [1] })).toThrow("Invalid runtime entry value for a");
    expect(() => runtime.replace("dynamic", { a: null })).toThrow("Invalid runtime entry value for a");
    expect([runtime.integer("a"), stat("load_error")]).toEqual([2, 2]);
  });
});
