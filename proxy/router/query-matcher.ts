/** `envoy.config.route.v3.QueryParameterMatcher` → a test over the request target. */
import { MessageReader } from "#protos/reader.ts";
import { byteString } from "#lib/xxhash64.ts";
import type { QueryParameterMatcher } from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import type { RegexCache } from "./regex.ts";
import { parseStringMatcher } from "./string-matcher.ts";

/** Tests a path with query. */
export type QueryPredicate = (path: string) => boolean;

/** Reads one matcher; undefined when it has problems, which are on the reader's list. */
export function parseQueryMatcher(
  reader: MessageReader<QueryParameterMatcher>,
  regexes: RegexCache,
): QueryPredicate | undefined {
  const name = byteString(reader.get("name"));
  const specifier = reader.get("queryParameterMatchSpecifier");
  reader.finish();
  switch (specifier.case) {
    case undefined:
      return (path) => queryParameter(path, name) !== undefined;
    case "presentMatch": {
      const wanted = specifier.value;
      return (path) => (queryParameter(path, name) !== undefined) === wanted;
    }
    case "stringMatch": {
      const at = new MessageReader(specifier.value, reader.at("queryParameterMatchSpecifier"), reader.problems);
      const test = parseStringMatcher(at, regexes);
      if (test === undefined) return undefined;
      return (path) => {
        const value = queryParameter(path, name);
        return value !== undefined && test(value);
      };
    }
  }
}

/** First value of a query parameter, as written (no percent-decoding); undefined when it is absent, "" without a value. */
export function queryParameter(path: string, name: string): string | undefined {
  let from = path.indexOf("?") + 1;
  if (from === 0) return undefined;
  while (from <= path.length) {
    const separator = path.indexOf("&", from);
    const end = separator < 0 ? path.length : separator;
    if (path.startsWith(name, from)) {
      const after = from + name.length;
      if (after === end) return "";
      if (after < end && path.charCodeAt(after) === 61 /* = */) return path.slice(after + 1, end);
    }
    from = end + 1;
  }
  return undefined;
}
