/** What was judged is what is forwarded: one spelling of a path before anything looks at it (R-92 … R-95). */
import type { NormalizationConfig } from "./connection-manager-config.ts";

export type NormalizedPath =
  | { readonly kind: "ok"; readonly path: string }
  /** With the path that access logs show of it, where that is another. */
  | { readonly kind: "reject"; readonly path?: string }
  | { readonly kind: "redirect"; readonly path: string };

/** Something that normalisation might change: looked for first, because nearly no path has it. */
const suspicious = /[%\\"<>^`{|}\u0080-\u00ff]|\/\/|\/\./;

/** `undefined`: the path stays as it is. `path` begins with a slash and carries its query. */
export function normalizePath(path: string, config: NormalizationConfig): NormalizedPath | undefined {
  // A fragment is never sent by a client that means well, and servers disagree about it.
  if (path.includes("#")) return { kind: "reject" };
  const queryAt = path.indexOf("?");
  const before = queryAt < 0 ? path : path.slice(0, queryAt);
  if (!suspicious.test(before)) return undefined;
  let changed = before;
  let redirects = false;
  if (config.escapedSlashes !== "keep" && escapedSlash.test(changed)) {
    changed = changed.replace(escapedSlashes, unescapedSlash);
    if (config.escapedSlashes === "reject")
      return { kind: "reject", path: queryAt < 0 ? changed : changed + path.slice(queryAt) };
    redirects = config.escapedSlashes === "redirect";
  }
  if (config.normalizePath) {
    const canonical = canonicalPath(changed);
    if (canonical === undefined) return { kind: "reject" };
    changed = canonical;
  }
  // Nothing but slashes becomes two, as in Envoy.
  if (config.mergeSlashes) changed = /^\/{2,}$/.test(changed) ? "//" : changed.replace(/\/{2,}/g, "/");
  if (changed === before) return undefined;
  return { kind: redirects ? "redirect" : "ok", path: queryAt < 0 ? changed : changed + path.slice(queryAt) };
}

const escapedSlash = /%(?:2f|5c)/i;
const escapedSlashes = /%(?:2f|5c)/gi;

function unescapedSlash(escape: string): string {
  return escape[1] === "2" ? "/" : "\\";
}

/** Characters that no path may have (RFC 3986 §3.3), as far as the codecs let them through. */
const unescaped = /["<>^`{|}\u0080-\u00ff]/g;

/**
 * RFC 3986 §6.2.2: dot segments gone, unreserved characters decoded, what no path may have encoded; backslashes are
 * slashes. Undefined: `%00` or no path.
 */
function canonicalPath(path: string): string | undefined {
  const decoded = decodeUnreserved(path.replaceAll("\\", "/"))?.replace(
    unescaped,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  if (decoded === undefined || !decoded.startsWith("/")) return undefined;
  if (!decoded.includes("/.")) return decoded;
  const kept: string[] = [];
  const segments = decoded.split("/");
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i] as string;
    const isLast = i === segments.length - 1;
    if (segment === ".") {
      if (isLast) kept.push("");
    } else if (segment === "..") {
      kept.pop();
      if (isLast) kept.push("");
    } else kept.push(segment);
  }
  return `/${kept.join("/")}`;
}

const percentEscape = /%([0-9a-fA-F]{2})?/g;
const unreserved = /[A-Za-z0-9\-._~]/;
/** Stands for a `%` that begins no escape, until it is known what follows it; no byte of a path is one. */
const LONE_PERCENT = "\u0100";
const newEscape = /\u0100(?=[0-9a-fA-F]{2})/g;

function decodeUnreserved(path: string): string | undefined {
  if (!path.includes("%")) return path;
  let isValid = true;
  const decoded = path.replace(percentEscape, (escape: string, hex: string | undefined) => {
    if (hex === undefined) return LONE_PERCENT;
    const code = Number.parseInt(hex, 16);
    if (code === 0) isValid = false;
    const character = String.fromCharCode(code);
    return unreserved.test(character) ? character : escape;
  });
  if (!isValid) return undefined;
  // What was decoded must not become an escape with what stands before it: `/%2%65%2%65/` is not `/%2e%2e/`.
  return decoded.replace(newEscape, "%25").replaceAll(LONE_PERCENT, "%");
}

/** The host of `:authority` without its port and without a final dot, as configured. */
export function normalizeHost(host: string, config: NormalizationConfig, listenerPort: number): string {
  let name = host;
  if (config.stripTrailingHostDot) name = withoutTrailingDot(name);
  if (config.stripPort === "none") return name;
  const colon = portAt(name);
  if (colon < 0) return name;
  const port = name.slice(colon + 1);
  if (config.stripPort === "matching" && port !== String(listenerPort)) return name;
  return name.slice(0, colon);
}

/** Index of the colon before a port; -1 when there is none. An IPv6 address is in brackets. */
function portAt(host: string): number {
  const colon = host.lastIndexOf(":");
  if (colon < 0 || host.indexOf("]", colon) >= 0) return -1;
  if (host.indexOf(":") !== colon && !host.startsWith("[")) return -1;
  return /^[0-9]+$/.test(host.slice(colon + 1)) ? colon : -1;
}

function withoutTrailingDot(host: string): string {
  const colon = portAt(host);
  const end = colon < 0 ? host.length : colon;
  if (end === 0 || host.charCodeAt(end - 1) !== 46 /* . */) return host;
  return host.slice(0, end - 1) + host.slice(end);
}
