/** `envoy.service.ratelimit.v3.RateLimitService`: asked whether a request may pass. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { createMessage, schema } from "#protos/registry.ts";
import type { RateLimitRequest, RateLimitResponse } from "#protos/gen/envoy/service/ratelimit/v3/rls_pb.js";
import type { RateLimitDescriptor } from "../../../router/rate-limit-policy.ts";
import type { FilterFactoryContext } from "../../filter.ts";
import { callUnary } from "../../unary-call.ts";
import type { RateLimitConfig } from "./config.ts";

/** Units of a limit, by their numbers on the wire. */
const units = ["UNKNOWN", "SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "YEAR"];
const seconds = [1, 1, 60, 3600, 86_400, 2_592_000, 31_536_000];

/** Asks; undefined: it could not be asked, or its answer is none. */
export function askRateLimitService(
  { service }: RateLimitConfig,
  domain: string,
  descriptors: readonly RateLimitDescriptor[],
  hitsAddend: number,
  context: FilterFactoryContext,
  onAnswer: (response: RateLimitResponse | undefined) => void,
): { cancel(): void } {
  const request = createMessage<RateLimitRequest>("envoy.service.ratelimit.v3.RateLimitRequest", {
    domain,
    hitsAddend,
    descriptors: descriptors.map(({ entries, limit }) => ({
      $typeName: "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor",
      entries: entries.map(({ key, value }) => ({
        $typeName: "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry",
        key: utf8(key),
        value: utf8(value),
      })),
      ...(limit === undefined
        ? {}
        : {
            limit: {
              $typeName: "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.RateLimitOverride",
              requestsPerUnit: limit.requestsPerUnit,
              unit: Math.max(0, units.indexOf(limit.unit.toUpperCase())),
            },
          }),
      isNegativeHits: false,
    })),
  });
  const bytes = toBinary(schema<RateLimitRequest>("envoy.service.ratelimit.v3.RateLimitRequest"), request);
  return callUnary(service, bytes, context, (message) => onAnswer(message && decoded(message)));
}

function decoded(message: Buffer): RateLimitResponse | undefined {
  try {
    return fromBinary(schema<RateLimitResponse>("envoy.service.ratelimit.v3.RateLimitResponse"), message);
  } catch {
    return undefined; // no message of this type: as good as no answer
  }
}

/** Header values hold one byte a character, a protobuf string holds text. */
function utf8(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}

/** `x-ratelimit-*` of draft 03: of the limit of which least is left, with all limits as its policy. */
export function rateLimitHeaders({ statuses }: RateLimitResponse): readonly (readonly [string, string])[] {
  const limited = statuses.filter(({ currentLimit }) => currentLimit !== undefined);
  const [first, ...rest] = limited;
  if (first === undefined) return [];
  const least = rest.reduce((found, one) => (one.limitRemaining < found.limitRemaining ? one : found), first);
  let policy = "";
  for (const { currentLimit } of limited) {
    if (currentLimit === undefined) continue;
    const window = seconds[currentLimit.unit] ?? 1;
    policy += `, ${currentLimit.requestsPerUnit};w=${window}`;
    if (currentLimit.name !== "") policy += `;name="${currentLimit.name}"`;
  }
  return [
    ["x-ratelimit-limit", `${least.currentLimit?.requestsPerUnit ?? 0}${policy}`],
    ["x-ratelimit-remaining", String(least.limitRemaining)],
    ["x-ratelimit-reset", String(least.durationUntilReset?.seconds ?? 0n)],
  ];
}
