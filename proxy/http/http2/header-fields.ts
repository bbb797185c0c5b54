/** Header lists between Node's HTTP/2 and `HeaderMap`. */
import type { OutgoingHttpHeaders } from "node:http";
import { HeaderMap } from "../header-map.ts";

/** Fields that mean nothing in HTTP/2 (RFC 9113 §8.2.2); what mattered of them has been acted upon before. */
const connectionFields: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "host",
]);

/** Name, value, name, value … → map. Crumbs of a cookie are put together again (RFC 9113 §8.2.3). */
export function headerMapOf(raw: readonly string[]): HeaderMap {
  const headers = new HeaderMap();
  let host: string | undefined;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] as string;
    const value = raw[i + 1] as string;
    if (name === "host") host = value;
    else if (name === "cookie" && headers.has("cookie")) headers.set("cookie", `${headers.get("cookie")}; ${value}`);
    else headers.add(name, value);
  }
  if (headers.authority === "" && host !== undefined) headers.authority = host;
  return headers;
}

/** The fields without pseudo headers; repeated ones as lists. */
export function outgoingFields(headers: HeaderMap): OutgoingHttpHeaders {
  const { names, values } = headers;
  const fields: OutgoingHttpHeaders = {};
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    if (connectionFields.has(name)) continue;
    const value = values[i] as string;
    const before = fields[name];
    if (before === undefined) fields[name] = value;
    else if (Array.isArray(before)) before.push(value);
    else fields[name] = [String(before), value];
  }
  return fields;
}
