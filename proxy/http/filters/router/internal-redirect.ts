/** `internal_redirect_policy`: a 3xx of the upstream followed inside the proxy, as a request of its own. */
import type { Counter } from "../../../observability/stats.ts";
import type { ForwardRoute, InternalRedirectPolicy } from "../../../router/types.ts";
import type { FilterStream, InternalRedirects } from "../../filter.ts";
import type { HeaderMap } from "../../header-map.ts";
import { parseAbsoluteTarget } from "../../http1/request-line.ts";

/** Counts why a redirect was not followed (`passthrough_internal_redirect_<outcome>`). */
export type RedirectOutcomes = (outcome: string) => Counter;

/**
 * Puts the place that `response` leads to into the request's headers. Undefined: it is not to be followed, the headers
 * are as they were, and the response goes downstream.
 */
export function followInternalRedirect(
  policy: InternalRedirectPolicy,
  route: ForwardRoute,
  response: HeaderMap,
  stream: FilterStream,
  outcomes: RedirectOutcomes,
): InternalRedirects | undefined {
  const refuse = (outcome: string): undefined => {
    outcomes(outcome).inc();
    return undefined;
  };
  const text = response.get("location");
  if (text === undefined) return undefined;
  const location = parseAbsoluteTarget(text);
  if (typeof location === "string") return refuse("bad_location");
  const request = stream.requestHeaders;
  const wasHttps = request.scheme === "https";
  const isHttps = location.scheme === "https";
  if (wasHttps !== isHttps && !policy.allowCrossSchemeRedirect) return refuse("unsafe_scheme");
  const before = stream.redirects;
  const count = before?.count ?? 0;
  if (count >= policy.maxInternalRedirects) return refuse("too_many_redirects");
  const saved = request.copy();
  const restore = (outcome: string): undefined => {
    request.assign(saved);
    stream.clearRouteCache();
    return refuse(outcome);
  };
  copyHeaders(policy.responseHeadersToCopy, response, request);
  const fragment = location.path.indexOf("#");
  request.scheme = location.scheme;
  request.authority = location.authority;
  request.path = fragment < 0 ? location.path : location.path.slice(0, fragment);
  stream.clearRouteCache();
  const target = stream.route;
  if (target === undefined) return restore("no_route");
  const visited = before?.visited ?? new Map<string, ReadonlySet<string>>();
  const hop = { from: route.name, to: target.name, wasHttps, isHttps, visited };
  if (!policy.predicates.every((accepts) => accepts(hop))) return restore("predicate");
  if (response.status === 303 && request.method !== "GET" && request.method !== "HEAD") {
    request.method = "GET";
    request.remove("content-length");
  }
  request.set("x-envoy-original-url", `${wasHttps ? "https" : "http"}://${saved.authority}${saved.path}`);
  const known = new Set(visited.get(route.name)).add(target.name);
  return { count: count + 1, visited: new Map(visited).set(route.name, known) };
}

function copyHeaders(names: readonly string[], response: HeaderMap, request: HeaderMap): void {
  for (const name of names) {
    request.remove(name);
    for (const value of response.getAll(name)) request.add(name, value);
  }
}
