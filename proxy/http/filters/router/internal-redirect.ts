/** `internal_redirect_policy`: a 3xx of the upstream followed inside the proxy. */
import type { InternalRedirectPolicy } from "../../../router/types.ts";
import type { FilterStream } from "../../filter.ts";
import type { HeaderMap } from "../../header-map.ts";
import { parseAbsoluteTarget } from "../../http1/request-line.ts";
import type { RouterStats } from "./router.ts";

/** True: the stream's request headers now ask for the new place. False: the response goes downstream as it is. */
export function followsInternalRedirect(
  policy: InternalRedirectPolicy,
  response: HeaderMap,
  stream: FilterStream,
  redirectsSoFar: number,
  stats: RouterStats,
): boolean {
  if (!policy.statusCodes.has(response.status)) return false;
  const refuse = (outcome: string): false => {
    stats.internalRedirect(outcome).inc();
    return false;
  };
  const location = parseAbsoluteTarget(response.get("location") ?? "");
  if (typeof location === "string") return refuse("bad_location");
  if (redirectsSoFar >= policy.maxInternalRedirects) return refuse("too_many_redirects");
  const request = stream.requestHeaders;
  if (location.scheme !== request.scheme && !policy.allowCrossSchemeRedirect) return refuse("unsafe_scheme");
  if (!request.has("x-envoy-original-url"))
    request.set("x-envoy-original-url", `${request.scheme}://${request.authority}${request.path}`);
  const fragment = location.path.indexOf("#");
  request.scheme = location.scheme;
  request.authority = location.authority;
  request.path = fragment < 0 ? location.path : location.path.slice(0, fragment);
  if (response.status === 303 && request.method !== "GET" && request.method !== "HEAD") {
    request.method = "GET";
    request.remove("content-length");
  }
  for (const name of policy.responseHeadersToCopy) {
    const value = response.get(name);
    if (value === undefined) request.remove(name);
    else request.set(name, value);
  }
  return true;
}
