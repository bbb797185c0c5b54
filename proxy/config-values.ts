/** Small values that many of Envoy's messages share. */
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { MessageReader } from "#protos/reader.ts";
import type { Metadata as MetadataMessage } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { RuntimeFractionalPercent } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { FractionalPercent } from "#protos/gen/envoy/type/v3/percent_pb.js";
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

/** `default_value` of a runtime fraction (absent: 0); the key names a runtime override, of which there is none here. */
export function runtimeFractionOf(reader: MessageReader<RuntimeFractionalPercent>): Fraction {
  reader.ignore("runtimeKey", "no runtime layer can override it; the default is in force");
  const value = reader.get("defaultValue");
  reader.finish();
  return value === undefined ? { numerator: 0, denominator: 100 } : fractionOf(value);
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
