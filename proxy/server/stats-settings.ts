/** `stats_config` of the bootstrap: what is kept, how it is tagged, which buckets histograms have. */
import { formatProblem, type Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { HistogramBucketSettings, StatsConfig } from "#protos/gen/envoy/config/metrics/v3/stats_pb.js";
import { DEFAULT_BUCKETS } from "../observability/prometheus.ts";
import { parseStatsMatcher } from "../observability/stats-matcher.ts";
import { createStatsStore, type Stat, type StatsStore } from "../observability/stats-store.ts";
import { createTagger, defaultTagRules, parseTagRules, type TaggedName } from "../observability/stats-tags.ts";
import { RegexCache } from "../router/regex.ts";
import { parseStringMatcher, type StringMatcher } from "../router/string-matcher.ts";
import { MeshError } from "#lib/problem.ts";

export interface StatsSettings {
  readonly store: StatsStore;
  readonly tagsOf: (stat: Stat) => TaggedName;
  readonly bucketsOf: (name: string) => readonly number[];
}

/** Throws a `MeshError` `stats-config` when something in it can't be done. */
export function createStatsSettings(config: StatsConfig | undefined): StatsSettings {
  if (config === undefined)
    return { store: createStatsStore(), tagsOf: createTagger(defaultTagRules()), bucketsOf: () => DEFAULT_BUCKETS };
  const problems: Problem[] = [];
  const reader = new MessageReader(config, "stats_config", problems);
  const rules = parseTagRules(reader);
  const matcher = reader.child("statsMatcher");
  const accepts = matcher && parseStatsMatcher(matcher);
  const buckets = reader.children("histogramBucketSettings").map((setting) => parseBuckets(setting));
  reader.finish();
  if (problems.length > 0) throw new MeshError("stats-config", problems.map(formatProblem).join("\n"), problems);
  return {
    store: createStatsStore({ accepts }),
    tagsOf: createTagger(rules),
    bucketsOf: (name) => buckets.find(({ matches }) => matches?.(name) === true)?.edges ?? DEFAULT_BUCKETS,
  };
}

function parseBuckets(reader: MessageReader<HistogramBucketSettings>): {
  readonly matches: StringMatcher | undefined;
  readonly edges: readonly number[];
} {
  const match = reader.child("match");
  const matches = match && parseStringMatcher(match, new RegexCache());
  const edges = [...reader.get("buckets")].sort((a, b) => a - b);
  reader.finish();
  return { matches, edges };
}
