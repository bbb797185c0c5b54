/** Message heads as one latin1 string, ready for a single write. */
import type { HeaderMap } from "../header-map.ts";
import type { HeaderKeyFormat } from "./header-key-format.ts";

const reasons: Readonly<Record<number, string>> = {
  100: "Continue",
  101: "Switching Protocols",
  102: "Processing",
  103: "Early Hints",
  200: "OK",
  201: "Created",
  202: "Accepted",
  203: "Non-Authoritative Information",
  204: "No Content",
  205: "Reset Content",
  206: "Partial Content",
  207: "Multi-Status",
  208: "Already Reported",
  226: "IM Used",
  300: "Multiple Choices",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  305: "Use Proxy",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  411: "Length Required",
  412: "Precondition Failed",
  413: "Payload Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  416: "Range Not Satisfiable",
  417: "Expectation Failed",
  421: "Misdirected Request",
  422: "Unprocessable Entity",
  423: "Locked",
  424: "Failed Dependency",
  426: "Upgrade Required",
  428: "Precondition Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
  506: "Variant Also Negotiates",
  507: "Insufficient Storage",
  508: "Loop Detected",
  510: "Not Extended",
  511: "Network Authentication Required",
  599: "Last Unassigned Server Error Code",
};

/** The reason phrase that Envoy writes for a status; `Unknown` for one that has none. */
export function reasonPhrase(status: number): string {
  return reasons[status] ?? "Unknown";
}

const statusLines: readonly string[] = Array.from(
  { length: 600 },
  (_, status) => `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\n`,
);

/** Status line and fields, without the empty line that ends the head. */
export function responseHead(headers: HeaderMap, isHttp10 = false, format?: HeaderKeyFormat): string {
  const line = statusLines[headers.status] ?? `HTTP/1.1 ${headers.status} Unknown\r\n`;
  return (isHttp10 ? `HTTP/1.0${line.slice(8)}` : line) + fieldLines(headers, format);
}

/** Request line, `host` and fields, without the empty line that ends the head. */
export function requestHead(headers: HeaderMap, format?: HeaderKeyFormat): string {
  const target = headers.method === "CONNECT" && headers.path === "" ? headers.authority : headers.path;
  return (
    `${headers.method} ${target} HTTP/1.1\r\n${format?.("host") ?? "host"}: ${headers.authority}\r\n` +
    fieldLines(headers, format)
  );
}

/** `name: value` CRLF, for each field in order. */
export function fieldLines(headers: HeaderMap, format?: HeaderKeyFormat): string {
  const { names, values } = headers;
  let lines = "";
  if (format !== undefined) {
    for (let i = 0; i < names.length; i++) lines += `${format(names[i] as string)}: ${values[i]}\r\n`;
    return lines;
  }
  for (let i = 0; i < names.length; i++) lines += `${names[i]}: ${values[i]}\r\n`;
  return lines;
}

/** A field that the codec itself adds. */
export function ownField(name: string, value: string, format: HeaderKeyFormat | undefined): string {
  return `${format?.(name) ?? name}: ${value}\r\n`;
}

/** The size line of a chunk. */
export function chunkHead(size: number): string {
  return `${size.toString(16)}\r\n`;
}
