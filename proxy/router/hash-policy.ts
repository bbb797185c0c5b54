/** `RouteAction.hash_policy` → a hash of the request (R-101, R-102). The values are Envoy's. */
import { MessageReader } from "#protos/reader.ts";
import { byteString, xxHash64 } from "#lib/xxhash64.ts";
import { formatAddress } from "#lib/connection.ts";
import type {
  RouteAction_HashPolicy,
  RouteAction_HashPolicy_Cookie,
} from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import { durationMs } from "../config-values.ts";
import type { HeaderMap } from "../http/header-map.ts";
import type { StreamInfo } from "../stream-info.ts";
import { headerKey } from "./header-matcher.ts";
import { queryParameter } from "./query-matcher.ts";
import type { RegexCache } from "./regex.ts";
import { parseRegexRewrite } from "./parse-regex-rewrite.ts";

/** Hashes a request; undefined when no policy yields anything. Cookies to be set are added to `responseCookies`. */
export type HashPolicy = (headers: HeaderMap, info: StreamInfo, responseCookies: string[]) => bigint | undefined;

interface HashMethod {
  readonly hash: HashPolicy;
  readonly isTerminal: boolean;
}

/** Compiles a list of policies; undefined when it is empty. */
export function parseHashPolicies(
  readers: readonly MessageReader<RouteAction_HashPolicy>[],
  regexes: RegexCache,
): HashPolicy | undefined {
  const methods = readers.map((reader) => parseHashMethod(reader, regexes)).filter((method) => method !== undefined);
  if (methods.length === 0) return undefined;
  return (headers, info, cookies) => {
    let combined: bigint | undefined;
    for (const { hash, isTerminal } of methods) {
      const value = hash(headers, info, cookies);
      if (value !== undefined) {
        // Rotate, so that two equal parts do not cancel each other out.
        const old = combined === undefined ? 0n : BigInt.asUintN(64, (combined << 1n) | (combined >> 63n));
        combined = old ^ value;
      }
      if (isTerminal && combined !== undefined) break;
    }
    return combined;
  };
}

function parseHashMethod(reader: MessageReader<RouteAction_HashPolicy>, regexes: RegexCache): HashMethod | undefined {
  const isTerminal = reader.get("terminal");
  const hash = parseSpecifier(reader, regexes);
  reader.finish();
  return hash === undefined ? undefined : { hash, isTerminal };
}

function parseSpecifier(reader: MessageReader<RouteAction_HashPolicy>, regexes: RegexCache): HashPolicy | undefined {
  const specifier = reader.get("policySpecifier");
  const at = reader.at("policySpecifier");
  switch (specifier.case) {
    case "header": {
      const header = new MessageReader(specifier.value, at, reader.problems);
      const name = headerKey(header.get("headerName"));
      const rewriteReader = header.child("regexRewrite");
      header.finish();
      const rewrite = rewriteReader === undefined ? undefined : parseRegexRewrite(rewriteReader, regexes);
      return (headers) => hashHeader(headers, name, rewrite);
    }
    case "cookie":
      return cookieHash(new MessageReader(specifier.value, at, reader.problems));
    case "connectionProperties": {
      const { sourceIp } = specifier.value;
      return sourceIp ? (_headers, info) => hashSourceIp(info) : () => undefined;
    }
    case "queryParameter": {
      const name = byteString(specifier.value.name);
      return (headers) => {
        const value = queryParameter(headers.path, name);
        return value === undefined ? undefined : xxHash64(value);
      };
    }
    case "filterState": {
      const { key } = specifier.value;
      return (_headers, info) => {
        const value = info.filterState?.get(key);
        return typeof value === "string" ? xxHash64(byteString(value)) : undefined;
      };
    }
    case undefined:
      reader.problems.push({
        code: "invalid-value",
        level: "error",
        path: reader.path,
        message: "one of header, cookie, connection_properties, query_parameter or filter_state must be set",
      });
      return undefined;
  }
}

function hashHeader(
  headers: HeaderMap,
  name: string,
  rewrite: ((text: string) => string) | undefined,
): bigint | undefined {
  let values = name.startsWith(":") ? [headers.get(name)].filter((value) => value !== undefined) : headers.getAll(name);
  if (values.length === 0) return undefined;
  if (rewrite !== undefined) values = values.map(rewrite);
  if (values.length > 1) values.sort();
  let seed = 0n;
  for (const value of values) seed = xxHash64(value, seed);
  return seed;
}

function hashSourceIp(info: StreamInfo): bigint | undefined {
  const remote = info.downstreamRemoteAddress;
  if (remote !== "") return xxHash64(withoutPort(remote));
  const address = info.connection?.remoteAddress;
  return address?.kind === "ip" ? xxHash64(address.address) : undefined;
}

function withoutPort(address: string): string {
  if (address.startsWith("[")) return address.slice(1, address.indexOf("]"));
  const colon = address.lastIndexOf(":");
  return colon < 0 ? address : address.slice(0, colon);
}

function cookieHash(reader: MessageReader<RouteAction_HashPolicy_Cookie>): HashPolicy {
  const name = reader.get("name");
  const ttlMs = durationMs(reader.get("ttl"));
  const path = reader.get("path");
  const attributes = reader.children("attributes").map((attribute) => {
    const [key, value] = [attribute.get("name"), attribute.get("value")];
    attribute.finish();
    return value === "" ? `; ${key}` : `; ${key}=${value}`;
  });
  reader.finish();
  const maxAge = ttlMs === undefined || ttlMs < 1000 ? "" : `; Max-Age=${Math.trunc(ttlMs / 1000)}`;
  const tail = `${maxAge}${path === "" ? "" : `; Path=${path}`}${attributes.join("")}; HttpOnly`;
  return (headers, info, responseCookies) => {
    const existing = cookieValue(headers, name);
    if (existing !== undefined && existing !== "") return xxHash64(existing);
    if (ttlMs === undefined) return undefined;
    const value = newCookie(info);
    responseCookies.push(`${name}="${value}"${tail}`);
    return xxHash64(value);
  };
}

/** A value that is the same for a client and listener, in 16 hexadecimal digits. */
function newCookie(info: StreamInfo): string {
  const { connection } = info;
  const remote =
    info.downstreamRemoteAddress || (connection === undefined ? "" : formatAddress(connection.remoteAddress));
  const local = connection === undefined ? "" : formatAddress(connection.localAddress);
  return xxHash64(remote + local)
    .toString(16)
    .padStart(16, "0");
}

/** Value of a cookie of the request, without its quotes. */
export function cookieValue(headers: HeaderMap, name: string): string | undefined {
  for (let at = headers.names.indexOf("cookie"); at >= 0; at = headers.names.indexOf("cookie", at + 1)) {
    for (const pair of (headers.values[at] as string).split(";")) {
      const text = pair.trim();
      const equals = text.indexOf("=");
      if (equals < 0 || text.slice(0, equals) !== name) continue;
      const value = text.slice(equals + 1);
      return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
    }
  }
  return undefined;
}
