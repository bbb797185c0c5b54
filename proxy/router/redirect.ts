/** Where a redirect leads. */
import type { HeaderMap } from "../http/header-map.ts";
import type { PathRewrite } from "./rewrite.ts";
import type { HeaderFormatContext } from "./types.ts";

export interface RedirectTarget {
  /** undefined: that of the request. */
  readonly scheme: string | undefined;
  readonly host: string;
  /** 0: the request's. */
  readonly port: number;
  readonly path: string;
  /** A path with command operators in it, for this location alone. */
  readonly format: PathRewrite | undefined;
  readonly stripQuery: boolean;
}

/** The `location` for a request whose path has been rewritten. */
export function redirectLocation(target: RedirectTarget, headers: HeaderMap, context: HeaderFormatContext): string {
  const scheme = target.scheme ?? headers.scheme;
  const port = target.port === 0 ? "" : `:${target.port}`;
  const host = target.host === "" ? requestHost(headers, scheme, port !== "") : target.host;
  return `${scheme}://${host}${port}${redirectPath(target, target.format?.(headers.path, context) ?? headers.path)}`;
}

/** Where the request itself leads: what a direct response of 201 or 3xx names. */
export function requestLocation(headers: HeaderMap): string {
  return `${headers.scheme}://${requestHost(headers, headers.scheme, false)}${headers.path}`;
}

/** The same URL over https, for virtual hosts that require TLS. */
export function sslLocation(headers: HeaderMap): string {
  return `https://${headers.authority}${headers.path}`;
}

function redirectPath({ path: wanted, stripQuery }: RedirectTarget, requested: string): string {
  if (wanted !== "") {
    const path = wanted.startsWith("/") ? wanted : `/${wanted}`;
    // A query in the configuration wins over the request's and is not stripped.
    if (path.includes("?")) return path;
    const query = requested.indexOf("?");
    return query < 0 || stripQuery ? path : path + requested.slice(query);
  }
  const query = stripQuery ? requested.indexOf("?") : -1;
  return query < 0 ? requested : requested.slice(0, query);
}

/** Without its port where another is set, or where it was the default of a scheme that changes. */
function requestHost(headers: HeaderMap, scheme: string, hasNewPort: boolean): string {
  const host = headers.authority;
  const colon = portAt(host);
  if (colon < 0) return host;
  const port = host.slice(colon);
  const protocol = headers.get("x-forwarded-proto") ?? "";
  const wasDefault = (protocol === "https" && port === ":443") || (protocol === "http" && port === ":80");
  return hasNewPort || (scheme !== protocol && wasDefault) ? host.slice(0, colon) : host;
}

/** Index of the `:` before the port; -1 when there is none. */
export function portAt(host: string): number {
  if (host.startsWith("[")) {
    const close = host.lastIndexOf("]:");
    return close < 0 ? -1 : close + 1;
  }
  return host.lastIndexOf(":");
}
