/** `corsPolicy` → CorsPolicy of a route (rule 33). */
import { wholeSeconds } from "./duration.ts";
import { any, type JsonObject } from "./json.ts";
import type { CorsPolicy } from "./spec/virtual-service.ts";
import { stringMatcher } from "./string-match.ts";

export const CORS_FILTER = "envoy.filters.http.cors";

export function corsConfig(policy: CorsPolicy): JsonObject {
  const origins = policy.allowOrigins ?? [];
  const matchers =
    origins.length > 0 ? origins.map(stringMatcher) : (policy.allowOrigin ?? []).map((origin) => ({ exact: origin }));
  const maxAge = wholeSeconds(policy.maxAge);
  return any("envoy.extensions.filters.http.cors.v3.CorsPolicy", {
    allowOriginStringMatch: matchers.length === 0 ? undefined : matchers,
    allowMethods: joinedOrNone(policy.allowMethods),
    allowHeaders: joinedOrNone(policy.allowHeaders),
    exposeHeaders: joinedOrNone(policy.exposeHeaders),
    maxAge: maxAge === undefined ? undefined : String(maxAge),
    allowCredentials: policy.allowCredentials,
    filterEnabled: { defaultValue: { numerator: 100 } },
    forwardNotMatchingPreflights: policy.unmatchedPreflights !== "IGNORE",
  });
}

function joinedOrNone(list: readonly string[] | undefined): string | undefined {
  return list === undefined || list.length === 0 ? undefined : list.join(",");
}
