import { describe, expect, test } from "vitest";
import { distributedWeights, failoverPriority, labelPriority, localityMatches } from "./locality.ts";

const at = (text: string): { region: string; zone: string; subZone: string } => {
  const [region = "", zone = "", subZone = ""] = text.split("/");
  return { region, zone, subZone };
};

describe("locality", () => {
  test("rule 48: subzone, zone, region, elsewhere, and another region than the preferred", () => {
    const setting = { failover: [{ from: "north", to: "east" }] };
    const priority = (to: string): number => failoverPriority(setting, at("north/one/a"), at(to));
    expect(["north/one/a", "north/one/b", "north/two/a", "east/one/a", "west/one/a"].map(priority)).toEqual([
      0, 1, 2, 3, 4,
    ]);
  });
  test("patterns hold a part of the name, or all", () => {
    expect(localityMatches(at("north/one/a"), "north/*")).toBe(true);
    expect(localityMatches(at("north/one/a"), "north")).toBe(true);
    expect(localityMatches(at("north/one/a"), "*")).toBe(true);
    expect(localityMatches(at("north/one/a"), "north/two/*")).toBe(false);
  });
  test("rule 48: the first `from` counts alone, weights are split with ceil", () => {
    const groups = [
      { locality: at("north/one"), weight: 2 },
      { locality: at("north/two"), weight: 1 },
      { locality: at("south/one"), weight: 5 },
    ];
    const setting = {
      distribute: [
        { from: "north/*", to: { "north/*": 70, "south/*": 30 } },
        { from: "*", to: { "south/*": 100 } },
      ],
    };
    const weights = distributedWeights(setting, at("north/one"), groups);
    expect(groups.map((group) => weights?.get(group))).toEqual([47, 24, 30]);
    expect(distributedWeights({ distribute: [] }, at("north/one"), groups)).toBeUndefined();
  });
  test("rule 49: the first label that differs decides", () => {
    const keys = ["rack", "room=cold", "row"];
    const from = { rack: "1", row: "x" };
    expect(labelPriority(keys, from, { rack: "1", room: "cold", row: "x" })).toBe(0);
    expect(labelPriority(keys, from, { rack: "1", room: "cold", row: "y" })).toBe(1);
    expect(labelPriority(keys, from, { rack: "1", room: "warm", row: "x" })).toBe(2);
    expect(labelPriority(keys, from, { rack: "2", room: "cold", row: "x" })).toBe(3);
  });
});
