/** `METHOD SP request-target SP HTTP-version`, strictly (RFC 9112 §3): one space, no controls, a method that is known. */

export interface RequestLine {
  method: string;
  /** As on the wire. */
  target: string;
  version: "HTTP/1.0" | "HTTP/1.1";
}

/** The methods that Envoy's parser knows; others need `allow_custom_methods`. */
const knownMethods: ReadonlySet<string> = new Set(
  (
    "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND " +
    "REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE MKCALENDAR LINK UNLINK SOURCE"
  ).split(" "),
);
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Visible ASCII only: no space, no control, no byte above 0x7e. */
const targetSyntax = /^[\x21-\x7e]+$/;
// oxlint-disable-next-line no-control-regex -- these are what must not be in a target
const control = /[\x00-\x1f\x7f]/;
const versionSyntax = /^HTTP\/[0-9]\.[0-9]$/;

/** Reads `line` (without its CRLF) into `into`; else Envoy's details for the refusal. */
export function parseRequestLine(
  line: string,
  into: RequestLine,
  allowCustomMethods: boolean,
): "low_version" | "http1.codec_error" | "http1.invalid_characters" | undefined {
  const first = line.indexOf(" ");
  const last = line.lastIndexOf(" ");
  if (first < 0) return "http1.codec_error";
  into.method = line.slice(0, first);
  if (!knownMethods.has(into.method) && !(allowCustomMethods && token.test(into.method))) return "http1.codec_error";
  if (first === last) return "low_version"; // HTTP/0.9: a method and a path
  into.target = line.slice(first + 1, last);
  if (!targetSyntax.test(into.target))
    return control.test(into.target) ? "http1.invalid_characters" : "http1.codec_error";
  if (line.endsWith(" HTTP/1.1")) into.version = "HTTP/1.1";
  else if (line.endsWith(" HTTP/1.0")) into.version = "HTTP/1.0";
  else return versionSyntax.test(line.slice(last + 1)) ? "low_version" : "http1.codec_error";
  return undefined;
}

export interface AbsoluteTarget {
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
}

/** True when two authorities name the same host and port; `defaultPort` may be left out. */
export function isSameAuthority(one: string, other: string, defaultPort: string): boolean {
  return withoutPort(one.toLowerCase(), defaultPort) === withoutPort(other.toLowerCase(), defaultPort);
}

function withoutPort(authority: string, port: string): string {
  return authority.endsWith(`:${port}`) ? authority.slice(0, -port.length - 1) : authority;
}

/** `http://authority/path?query` → its parts; a string is Envoy's details for the refusal. */
export function parseAbsoluteTarget(
  target: string,
): AbsoluteTarget | "http1.codec_error" | "http1.invalid_url" | "http1.invalid_scheme" {
  if (target === "*") return "http1.invalid_url";
  const schemeEnd = target.indexOf("://");
  if (schemeEnd <= 0) return "http1.codec_error";
  const scheme = target.slice(0, schemeEnd).toLowerCase();
  if (scheme !== "http" && scheme !== "https") return "http1.invalid_scheme";
  const from = schemeEnd + 3;
  let end = target.length;
  for (let i = from; i < target.length; i++) {
    const code = target.charCodeAt(i);
    if (code === 0x2f /* / */ || code === 0x3f /* ? */ || code === 0x23 /* # */) {
      end = i;
      break;
    }
  }
  const authority = target.slice(from, end);
  // User information is dropped, as RFC 9110 §4.2.4 asks of a recipient that forwards.
  const at = authority.lastIndexOf("@");
  const host = at < 0 ? authority : authority.slice(at + 1);
  if (host === "") return "http1.codec_error";
  return { scheme, authority: host, path: end === target.length ? "/" : target.slice(end) };
}
