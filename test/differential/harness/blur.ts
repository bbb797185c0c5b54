/** What may differ between two runs, or between Envoy and us, and why. Nothing else may. */

const blurred: readonly (readonly [pattern: RegExp, replacement: string, why: string])[] = [
  [/\bdate: [^\r\n]+/gi, "date: D", "the time of day"],
  [/"date","[^"]+"/g, '"date","D"', "the same, as JSON"],
  [
    /\bx-request-id: [0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/gi,
    "x-request-id: ID-$1",
    "random, but for the reason to trace in its fifteenth character",
  ],
  [/\bx-envoy-upstream-service-time: \d+/gi, "x-envoy-upstream-service-time: N", "measured"],
];

/** The text without what differs from run to run. */
export function blur(text: string, own: readonly (readonly [RegExp, string])[] = []): string {
  let result = text;
  for (const [pattern, replacement] of [...blurred, ...own]) result = result.replaceAll(pattern, replacement);
  return result;
}

/** Statistics that are compared, of `cluster.<case>`, `http.<case>` and `vhost.<case>`: by the rest of the name. */
export const comparedStats: readonly RegExp[] = [
  /^upstream_rq_(?!time)/,
  /^(internal|external|canary)\.upstream_rq_(?!time)/,
  /^upstream_cx_(total|http1_total|http2_total|connect_fail|protocol_error|none_healthy|overflow|max_requests|idle_timeout)$/,
  /^retry_or_shadow_abandoned$/,
  /^http[12]\.(?!.*(nghttp2|trailers|active|pending_send_bytes|outbound|deferred_stream_close))/,
  /^downstream_rq_(?!active|time|http3|non_relative)/,
  /^downstream_cx_(total|http1_total|http2_total|protocol_error|upgrades_total|idle_timeout|max_requests_reached|delayed_close_timeout)$/,
  /^(no_route|no_cluster|rq_direct_response|rq_redirect|rq_reset_after_downstream_response_started|rq_retry|rq_total|rs_too_large|passthrough_internal_redirect)/,
  /^(fault|cors|ext_authz|rbac|jwt_authn|set_metadata|stateful_session|compressor|decompressor|ratelimit)\./,
  /^(vcluster|route)\./,
];
