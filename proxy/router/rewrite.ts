/** Host and path rewrites of forwarded requests (R-37 … R-41). */
import type { HeaderMap } from "../http/header-map.ts";
import type { PathMatcher } from "./path-matcher.ts";
import { withoutQuery } from "./path-matcher.ts";
import type { HeaderFormatContext } from "./types.ts";
import type { TemplateRewriter, UriTemplate } from "./uri-template.ts";

/** Rewrites a request target, query included; undefined leaves it alone. */
export type PathRewrite = (path: string, context?: HeaderFormatContext) => string | undefined;

/** Replaces what the route's prefix (or exact path, or pattern) matched. */
export function prefixRewrite(replacement: string, matcher: PathMatcher): PathRewrite {
  return (path) => {
    const length = matcher.matchedLength(path);
    return length < 0 ? undefined : replacement + path.slice(length);
  };
}

/** Replaces every match in the path without its query; where nothing would be left, the path stays. */
export function regexRewrite(replace: (text: string) => string): PathRewrite {
  return (path) => {
    const bare = withoutQuery(path);
    const replaced = replace(bare);
    return replaced === "" ? undefined : replaced + path.slice(bare.length);
  };
}

/** Puts a formatted text in the place of the path without its query; an empty one leaves it alone. */
export function formatRewrite(format: (context: HeaderFormatContext) => string): PathRewrite {
  return (path, context) => {
    const text = context === undefined ? "" : format(context);
    return text === "" ? undefined : text + path.slice(withoutQuery(path).length);
  };
}

/** Writes the path anew from the variables of the route's template. */
export function templateRewrite(rewriter: TemplateRewriter, template: UriTemplate): PathRewrite {
  return (path) => {
    const values = template.capture(path);
    return values === undefined ? undefined : rewriter(values) + path.slice(withoutQuery(path).length);
  };
}

/** Puts the rewritten path, keeping the old one where asked. */
export function rewritePath(
  headers: HeaderMap,
  rewrite: PathRewrite | undefined,
  context: HeaderFormatContext,
  keepOriginal: boolean,
): void {
  const path = headers.path === "" ? undefined : rewrite?.(headers.path, context);
  if (path === undefined) return;
  if (keepOriginal) headers.set("x-envoy-original-path", headers.path);
  headers.path = path;
}

/** The new host of a request; undefined or empty leaves it alone. */
export type HostRewrite = (headers: HeaderMap, context: HeaderFormatContext) => string | undefined;

/** Puts a new host, keeping the old one where asked. */
export function rewriteHost(
  headers: HeaderMap,
  host: string,
  keepOriginal: boolean,
  appendForwardedHost: boolean,
): void {
  const old = headers.authority;
  if (keepOriginal) headers.set("x-envoy-original-host", old);
  if (appendForwardedHost) appendForwarded(headers, old);
  headers.authority = host;
}

function appendForwarded(headers: HeaderMap, host: string): void {
  const list = headers.getJoined("x-forwarded-host");
  if (list === undefined || list === "") headers.set("x-forwarded-host", host);
  else if (list.slice(list.lastIndexOf(",") + 1) !== host) headers.set("x-forwarded-host", `${list},${host}`);
}
