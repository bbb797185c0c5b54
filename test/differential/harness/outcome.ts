/** What one of the two did with a case: all that is compared. */
import type { Socket } from "node:net";
import { blur, comparedStats } from "./blur.ts";
import { bootstrapOf, caseId, idIn, listenerOf, withId } from "./bootstrap.ts";
import type { Case, Table } from "./case.ts";
import { exchangeHttp2, exchangeRaw, openPlain } from "./client.ts";
import { startSide, type Side } from "./side.ts";

export interface Outcome {
  readonly responses: readonly string[];
  readonly upstreams: readonly string[];
  readonly log: readonly string[];
  readonly stats: Readonly<Record<string, number>>;
}

type WithoutStats = Omit<Outcome, "stats">;

/** Every case of the table on both, in the order of the table. */
export async function outcomesOf(
  table: Table,
  envoyBinary: string,
): Promise<Readonly<Record<Side["name"], readonly Outcome[]>>> {
  const sides = await startSides(table, envoyBinary);
  try {
    const outcomes: Record<Side["name"], WithoutStats[]> = { envoy: [], ours: [] };
    await Promise.all(
      sides.map(async (side) => {
        outcomes[side.name] = await runAll(table, side);
      }),
    );
    const stats: Record<Side["name"], Counts> = { envoy: new Map(), ours: new Map() };
    await settleStats(sides, stats, table);
    const whole = (name: Side["name"]): Outcome[] =>
      outcomes[name].map((one, index) => ({ ...one, stats: statsOf(table, index, stats[name]) }));
    return { envoy: whole("envoy"), ours: whole("ours") };
  } finally {
    await Promise.all(sides.map((side) => side.stop()));
  }
}

async function startSides(table: Table, envoyBinary: string): Promise<readonly Side[]> {
  const caseOf = (id: string): Case | undefined => {
    const one = table.cases[Number(/\d+/.exec(id)?.[0])];
    return one === undefined ? undefined : withId(one, id);
  };
  const bootstrap = bootstrapOf(table);
  const started = await Promise.allSettled([
    startSide({ name: "envoy", binary: envoyBinary }, bootstrap, caseOf, table.envoyArgs),
    startSide({ name: "ours" }, bootstrap, caseOf),
  ]);
  const sides = started.filter((one) => one.status === "fulfilled").map((one) => one.value);
  const refusals = started.filter((one) => one.status === "rejected").map((one) => String(one.reason));
  if (refusals.length === 0) return sides;
  await Promise.all(sides.map((side) => side.stop()));
  throw new Error(refusals.join("\n"));
}

async function runAll(table: Table, side: Side): Promise<WithoutStats[]> {
  const outcomes: WithoutStats[] = [];
  const queue = [...table.cases.keys()];
  const worker = async (): Promise<void> => {
    for (let index = queue.shift(); index !== undefined; index = queue.shift())
      outcomes[index] = await runCase(table.cases[index] as Case, caseId(index), side);
  };
  await Promise.all(Array.from({ length: table.concurrency ?? 8 }, worker));
  return outcomes;
}

async function runCase(one: Case, id: string, side: Side): Promise<WithoutStats> {
  const open = (): Socket => openPlain(side.port(listenerOf(one, id)));
  const responses: string[] = [];
  for (const given of one.exchanges) {
    if (given.kind === "own") responses.push(await given.run(side, id));
    else {
      const exchange = withId(given, id);
      responses.push(exchange.kind === "raw" ? await exchangeRaw(exchange, open) : await exchangeHttp2(exchange, open));
    }
  }
  const log = await side.logs(id, one.logs ?? one.exchanges.length);
  if (one.sees !== undefined) await side.recorder.untilSeen(id, one.sees);
  const seen = side.recorder.seen.filter((request) => request.id === id).map(({ text }) => text);
  const clear = (text: string): string => blur(side.named(text), one.blur);
  // By backend, then in the order of their coming: between backends there is none.
  const upstreams = seen.map((text, at) => [text[0] ?? "", at, text] as const);
  upstreams.sort(([a, i], [b, j]) => (a < b ? -1 : a > b ? 1 : i - j));
  return {
    responses: responses.map(clear),
    upstreams: upstreams.map(([, , text]) => clear(text)),
    log: log.map(clear),
  };
}

/** Statistics by case. */
type Counts = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** Counts may come a moment after the log's line: they are read until they agree, or for two seconds. */
async function settleStats(sides: readonly Side[], stats: Record<Side["name"], Counts>, table: Table): Promise<void> {
  for (let round = 0; round < 20; round++) {
    for (const side of sides) stats[side.name] = await readStats(side);
    const agrees = table.cases.every(
      ({ differs }, index) =>
        differs !== undefined ||
        JSON.stringify(statsOf(table, index, stats.envoy)) === JSON.stringify(statsOf(table, index, stats.ours)),
    );
    if (agrees) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function readStats(side: Side): Promise<Counts> {
  const page = await side.admin("/stats?usedonly&filter=case[0-9]%2Bx");
  const counts = new Map<string, Map<string, number>>();
  for (const line of page.split("\n")) {
    const at = line.lastIndexOf(": ");
    const value = Number(line.slice(at + 2));
    const id = idIn(line);
    if (at < 0 || Number.isNaN(value) || id === undefined) continue;
    const own = counts.get(id) ?? new Map<string, number>();
    counts.set(id, own.set(line.slice(0, at), value));
  }
  return counts;
}

/** What was counted for a case and is not zero, in the order of names. */
function statsOf(table: Table, index: number, all: Counts): Readonly<Record<string, number>> {
  const id = caseId(index);
  const except = table.cases[index]?.statsExcept ?? {};
  const prefix = new RegExp(`^(?:cluster|http|vhost|listener)\\.${id}(?:-[a-z0-9-]+)?\\.`);
  const kept = [...(all.get(id) ?? [])].filter(([name, value]) => {
    const rest = name.replace(prefix, "");
    return value !== 0 && rest !== name && except[rest] === undefined && comparedStats.some((one) => one.test(rest));
  });
  return Object.fromEntries(kept.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
