/** Small values that many of Envoy's messages share. */
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { MessageReader } from "#protos/reader.ts";
import type { Metadata as MetadataMessage } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { RuntimeFeatureFlag, RuntimeFractionalPercent } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { FractionalPercent } from "#protos/gen/envoy/type/v3/percent_pb.js";
import type { RuntimeSnapshot } from "./runtime-layers.ts";
import type { Metadata } from "./upstream/types.ts";

/** Whole milliseconds, as Envoy takes durations; undefined when absent. */
export function durationMs(duration: Duration | undefined): number | undefined {
  if (duration === undefined) return undefined;
  return Number(duration.seconds) * 1000 + Math.trunc(duration.nanos / 1_000_000);
}

/** A fraction of requests; `matches` takes the stream's random bits. */
export interface Fraction {
  readonly numerator: number;
  readonly denominator: 100 | 10_000 | 1_000_000;
}

const denominators = [100, 10_000, 1_000_000] as const;

/** A percentage with its denominator. An unknown denominator counts as a million, as in Envoy. */
export function fractionOf(percent: FractionalPercent): Fraction {
  return { numerator: percent.numerator, denominator: denominators[percent.denominator] ?? 1_000_000 };
}

/** A fraction that a runtime key may override; empty: none. */
export interface RuntimeFraction extends Fraction {
  readonly runtimeKey: string;
}

/** `default_value` of a runtime fraction (absent: 0) and its key. */
export function runtimeFractionOf(reader: MessageReader<RuntimeFractionalPercent>): RuntimeFraction {
  const runtimeKey = reader.get("runtimeKey");
  const value = reader.get("defaultValue");
  reader.finish();
  return { ...(value === undefined ? { numerator: 0, denominator: 100 } : fractionOf(value)), runtimeKey };
}

/** A fraction without a runtime key. */
export function fixedFraction(numerator: number, denominator: Fraction["denominator"] = 100): RuntimeFraction {
  return { numerator, denominator, runtimeKey: "" };
}

/** True for the fraction of all values of `random` that is in force: the runtime's, else the default. */
export function isRuntimeFraction(
  fraction: RuntimeFraction,
  random: bigint,
  snapshot: RuntimeSnapshot | undefined,
): boolean {
  const { runtimeKey } = fraction;
  if (runtimeKey === "" || snapshot === undefined) return isInFraction(fraction, random);
  return isInFraction(snapshot.fraction(runtimeKey) ?? fraction, random);
}

/** `RuntimeFeatureFlag`: a switch that a runtime key may override. */
export interface RuntimeFlag {
  readonly isOn: boolean;
  readonly runtimeKey: string;
}

/** Absent: `fallback`, without a key. */
export function runtimeFlagOf(reader: MessageReader<RuntimeFeatureFlag> | undefined, fallback = true): RuntimeFlag {
  if (reader === undefined) return { isOn: fallback, runtimeKey: "" };
  const flag = { isOn: reader.get("defaultValue") ?? fallback, runtimeKey: reader.get("runtimeKey") };
  reader.finish();
  return flag;
}

export function isRuntimeFlagOn({ isOn, runtimeKey }: RuntimeFlag, snapshot: RuntimeSnapshot | undefined): boolean {
  return runtimeKey === "" ? isOn : (snapshot?.boolean(runtimeKey) ?? isOn);
}

/** True for `fraction` of all values of `random`. */
export function isInFraction(fraction: Fraction, random: bigint): boolean {
  if (fraction.numerator >= fraction.denominator) return true;
  if (fraction.numerator === 0) return false;
  return Number(random % BigInt(fraction.denominator)) < fraction.numerator;
}

const noMetadata: Metadata = {};

/** `filter_metadata`; typed metadata is refused by name. */
export function metadataOf(reader: MessageReader<MetadataMessage> | undefined): Metadata {
  if (reader === undefined) return noMetadata;
  const filterMetadata = reader.get("filterMetadata");
  reader.finish();
  return filterMetadata as Metadata;
}
