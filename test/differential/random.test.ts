/**
 * Route tables and requests by chance: a real Envoy and ours must answer alike and send the upstream the same.
 * `DIFFERENTIAL_PAIRS=100000 DIFFERENTIAL_SEED=7 vitest run test/differential/random` asks more, or the same again.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { needEnvoy } from "../needs.ts";
import type { Json } from "./harness/case.ts";
import { aManager, aRequest, aRouteTable, Chance } from "./harness/generator.ts";
import { randomOutcomes, type RandomTable } from "./harness/random-outcomes.ts";

const need = needEnvoy();
const requestsPerTable = 50;
const pairs = Number(process.env["DIFFERENTIAL_PAIRS"] ?? 2000);
const seed = Number(process.env["DIFFERENTIAL_SEED"] ?? 20260101);

function tablesOf(count: number): RandomTable[] {
  return Array.from({ length: count }, (_, index) => {
    const chance = new Chance(seed + index);
    const routes: Json = aRouteTable(chance, `t${index}`);
    const manager = aManager(chance);
    return {
      seed: seed + index,
      routes,
      manager,
      requests: Array.from({ length: requestsPerTable }, () => aRequest(chance)),
    };
  });
}

describe.skipIf(need.missing !== undefined)(`random route tables from seed ${seed}, beside a real Envoy`, () => {
  const tables = tablesOf(Math.ceil(pairs / requestsPerTable));
  let outcomes: Awaited<ReturnType<typeof randomOutcomes>>;
  beforeAll(async () => {
    outcomes = await randomOutcomes(tables, need.path);
  }, 600_000);

  test.each(tables.map((table, index) => [table.seed, index] as const))("seed %i", (_seed, index) => {
    const table = tables[index];
    expect(outcomes.envoy[index]).toHaveLength(requestsPerTable);
    for (const [at, request] of (table?.requests ?? []).entries())
      expect({ request, answer: outcomes.ours[index]?.[at] }, JSON.stringify([table?.manager, table?.routes])).toEqual({
        request,
        answer: outcomes.envoy[index]?.[at],
      });
  });
});
