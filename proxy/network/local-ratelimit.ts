/** `envoy.filters.network.local_ratelimit`: so many connections a time. */
import type { Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { LocalRateLimit } from "#protos/gen/envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit_pb.js";
import { isRuntimeFlagOn, runtimeFlagOf, type RuntimeFlag } from "../config-values.ts";
import { ResponseFlag } from "../stream-info.ts";
import { parseTokenBucket, TokenBucket, type TokenBucketConfig } from "../token-bucket.ts";
import type { NetworkFilterFactory } from "./filter.ts";

interface NetworkLocalRateLimitConfig {
  readonly statPrefix: string;
  readonly bucket: TokenBucketConfig;
  readonly enabled: RuntimeFlag;
}

/** `share_key` is refused by name. */
export const networkLocalRateLimit: NetworkFilterFactory<NetworkLocalRateLimitConfig> = {
  name: "envoy.filters.network.local_ratelimit",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit"],
  isTerminal: false,
  parse(message, path) {
    const problems: Problem[] = [];
    const reader = new MessageReader(message as LocalRateLimit, path, problems);
    const bucket = reader.child("tokenBucket");
    const statPrefix = reader.get("statPrefix");
    const enabled = runtimeFlagOf(reader.child("runtimeEnabled"));
    if (reader.get("shareKey") !== "")
      reader.unsupported("shareKey", "buckets are not shared among filter chains here; leave it out");
    const parsed = bucket && parseTokenBucket(bucket);
    reader.finish();
    if (statPrefix === "") reader.invalid("statPrefix", "must be set");
    if (parsed === undefined) reader.invalid("tokenBucket", "is required");
    return problems.length > 0 || parsed === undefined
      ? { problems }
      : { value: { statPrefix, bucket: parsed, enabled }, problems };
  },
  create({ statPrefix, bucket: config, enabled }, { runtime, rootScope, runtimeSnapshot }) {
    const rateLimited = rootScope.scope("local_rate_limit").scope(statPrefix).counter("rate_limited");
    const bucket = new TokenBucket(config, runtime.clock.monotonic());
    return (downstream) => ({
      onNewConnection() {
        if (!isRuntimeFlagOn(enabled, runtimeSnapshot) || bucket.take(runtime.clock.monotonic())) return "continue";
        rateLimited.inc();
        downstream.info.setFlag(ResponseFlag.UpstreamRetryLimitExceeded);
        downstream.connection.reset();
        return "stop";
      },
    });
  },
};
