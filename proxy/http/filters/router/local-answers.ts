/** Routes that answer by themselves, and requests that have none. */
import type { ResolvedRoute } from "../../../router/types.ts";
import { ResponseFlag } from "../../../stream-info.ts";
import type { FilterStream, LocalReply } from "../../filter.ts";
import { HeaderMap } from "../../header-map.ts";
import { requestLocation } from "../../../router/redirect.ts";
import type { RouterStats } from "./router.ts";

/** 404 without a route, a redirect, or a direct response. */
export function answerWithoutUpstream(
  route: Exclude<ResolvedRoute, { readonly kind: "forward" }> | undefined,
  stream: FilterStream,
  headers: HeaderMap,
  stats: RouterStats,
  suppressEnvoyHeaders: boolean,
): void {
  if (route === undefined) {
    stats.noRoute.inc();
    stream.sendLocalReply({ status: 404, details: "route_not_found", flag: ResponseFlag.NoRouteFound });
    return;
  }
  stats.rqDirectResponse.inc();
  const added = new HeaderMap();
  if (route.kind === "redirect") {
    const context = { info: stream.info, requestHeaders: headers };
    route.rewritePath(headers, context, suppressEnvoyHeaders);
    added.set("location", route.location(headers, context));
  } else if (route.status === 201 || (route.status >= 300 && route.status < 400)) {
    added.set("location", requestLocation(headers)); // RFC 9110, 10.2.2
  }
  const pairs = added.names.map((name, index) => [name, added.values[index] ?? ""] as const);
  const reply = { status: route.status, details: "direct_response", headers: pairs };
  if (route.kind === "redirect") return stream.sendLocalReply(reply);
  if (route.bodyFormat === undefined) return stream.sendLocalReply({ ...reply, body: route.body });
  const { format, contentType } = route.bodyFormat;
  const body = format({
    info: stream.info,
    requestHeaders: headers,
    responseHeaders: added,
    localReplyBody: route.body,
  });
  stream.sendLocalReply({ ...reply, body, headers: [["content-type", contentType], ...pairs] });
}

const integerHeaders: ReadonlySet<string> = new Set([
  "x-envoy-upstream-rq-timeout-ms",
  "x-envoy-upstream-rq-per-try-timeout-ms",
  "x-envoy-max-retries",
]);
const retryTokens: Readonly<Record<string, ReadonlySet<string>>> = {
  "x-envoy-retry-on": new Set(
    "5xx gateway-error connect-failure retriable-4xx refused-stream retriable-status-codes retriable-headers reset reset-before-request envoy-ratelimited http3-post-connect-failure".split(
      " ",
    ),
  ),
  "x-envoy-retry-grpc-on": new Set("cancelled deadline-exceeded internal resource-exhausted unavailable".split(" ")),
};

/** `strict_check_headers`: the refusal of the first header that is malformed; undefined when all are well. */
export function strictCheckReply(headers: HeaderMap, names: readonly string[]): LocalReply | undefined {
  for (const name of names) {
    const value = headers.get(name);
    if (value === undefined || isWellFormed(name, value)) continue;
    return {
      status: 400,
      body: `invalid header '${name}' with value '${value}'`,
      details: `request_headers_failed_strict_check{${name}}`,
      flag: ResponseFlag.InvalidEnvoyRequestHeaders,
    };
  }
  return undefined;
}

function isWellFormed(name: string, value: string): boolean {
  if (integerHeaders.has(name)) return /^\d+$/.test(value);
  const tokens = retryTokens[name];
  return tokens === undefined || value.split(",").every((token) => tokens.has(token.trim()));
}
