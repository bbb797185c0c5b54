/** The choice among weighted clusters. */
import type { HeaderMap } from "../http/header-map.ts";
import type { MatchContext, ResolvedRoute } from "./types.ts";

/** Gives the route for a request. */
export type RouteSelector = (headers: HeaderMap, context: MatchContext) => ResolvedRoute;

export interface WeightedChoice {
  readonly weight: number;
  /** Overrides the weight; undefined: nothing does. */
  readonly runtimeKey?: string | undefined;
  readonly select: RouteSelector;
}

/**
 * The first whose cumulated weight exceeds `value % total`, where the value is what `valueOf` gives, else the stream's
 * random bits, which stay the same for its retries.
 */
export function weightedSelector(
  choices: readonly WeightedChoice[],
  valueOf: (headers: HeaderMap, context: MatchContext) => bigint | undefined,
): RouteSelector {
  const selectors = choices.map((choice) => choice.select);
  const ends: number[] = [];
  let total = 0;
  for (const { weight } of choices) ends.push((total += weight));
  const modulus = BigInt(total);
  const last = selectors.length - 1;
  if (choices.some(({ runtimeKey }) => runtimeKey !== undefined)) return overridableSelector(choices, valueOf);
  return (headers, context) => {
    const value = Number((valueOf(headers, context) ?? context.streamRandom) % modulus);
    let index = 0;
    while (index < last && value >= (ends[index] as number)) index++;
    return (selectors[index] as RouteSelector)(headers, context);
  };
}

/** With `runtime_key_prefix`: weights are those of the moment. Where all are 0, the first is taken. */
function overridableSelector(
  choices: readonly WeightedChoice[],
  valueOf: (headers: HeaderMap, context: MatchContext) => bigint | undefined,
): RouteSelector {
  return (headers, context) => {
    const weights = choices.map(
      ({ weight, runtimeKey }) => (runtimeKey && context.runtimeSnapshot?.integer(runtimeKey)) ?? weight,
    );
    const total = weights.reduce<number>((sum, weight) => sum + Number(weight), 0);
    const value = total === 0 ? 0 : Number((valueOf(headers, context) ?? context.streamRandom) % BigInt(total));
    let index = 0;
    for (let end = Number(weights[0]); index < choices.length - 1 && value >= end; end += Number(weights[index]))
      index++;
    return (choices[index] as WeightedChoice).select(headers, context);
  };
}

/** The number in a header that appears exactly once. */
export function numberIn(headers: HeaderMap, name: string): bigint | undefined {
  const values = headers.getAll(name);
  const [text] = values;
  if (values.length !== 1 || text === undefined || !/^\d{1,20}$/.test(text)) return undefined;
  const value = BigInt(text);
  return value < 2n ** 64n ? value : undefined;
}
