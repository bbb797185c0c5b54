/** Bounds of numbers and durations, in Envoy's wording. */
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Check, Rules } from "./constraints.ts";

type Bound = number | bigint;

/** Zero or one check for `gt`, `gte`, `lt` and `lte`. A lower bound above the upper one means "outside of". */
export function rangeCheck(set: Rules, format: (bound: unknown) => string): Check[] {
  const { gt, gte, lt, lte } = set as { gt?: Bound; gte?: Bound; lt?: Bound; lte?: Bound };
  const low = gt ?? gte;
  const high = lt ?? lte;
  const isAboveLow = (value: Bound): boolean => (gt === undefined ? value >= (gte as Bound) : value > gt);
  const isBelowHigh = (value: Bound): boolean => (lt === undefined ? value <= (lte as Bound) : value < lt);
  if (low === undefined && high === undefined) return [];
  if (low === undefined) {
    const reason = `value must be less than ${lt === undefined ? "or equal to " : ""}${format(high)}`;
    return [(value) => (isBelowHigh(value as Bound) ? undefined : reason)];
  }
  if (high === undefined) {
    const reason = `value must be greater than ${gt === undefined ? "or equal to " : ""}${format(low)}`;
    return [(value) => (isAboveLow(value as Bound) ? undefined : reason)];
  }
  if (high > low) {
    const range = `${gt === undefined ? "[" : "("}${format(low)}, ${format(high)}${lt === undefined ? "]" : ")"}`;
    return [
      (value) => {
        const bound = value as Bound;
        return isAboveLow(bound) && isBelowHigh(bound) ? undefined : `value must be inside range ${range}`;
      },
    ];
  }
  const range = `${lt === undefined ? "(" : "["}${format(high)}, ${format(low)}${gt === undefined ? ")" : "]"}`;
  return [
    (value) => {
      const bound = value as Bound;
      return isAboveLow(bound) || isBelowHigh(bound) ? undefined : `value must be outside range ${range}`;
    },
  ];
}

export function nanosOf({ seconds, nanos }: Duration): bigint {
  return seconds * 1_000_000_000n + BigInt(nanos);
}

/** A duration as Go prints it: `0s`, `1ms`, `1.5s`, `5m0s`. */
export function formatNanos(total: bigint): string {
  if (total < 0n) return `-${formatNanos(-total)}`;
  if (total === 0n) return "0s";
  const nanos = Number(total);
  if (nanos < 1_000) return `${nanos}ns`;
  if (nanos < 1_000_000) return `${nanos / 1_000}µs`;
  if (nanos < 1_000_000_000) return `${nanos / 1_000_000}ms`;
  const seconds = nanos / 1_000_000_000;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = `${Number((seconds % 60).toFixed(9))}s`;
  if (hours > 0) return `${hours}h${minutes}m${rest}`;
  return minutes > 0 ? `${minutes}m${rest}` : rest;
}
