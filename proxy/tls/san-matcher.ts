/** `match_typed_subject_alt_names` and `match_subject_alt_names`. */
import type { MessageReader } from "#protos/reader.ts";
import type { SubjectAltNameMatcher } from "#protos/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js";
import type { StringMatcher as StringMatcherMessage } from "#protos/gen/envoy/type/matcher/v3/string_pb.js";
import type { RegexCache } from "../router/regex.ts";
import { parseStringMatcher } from "../router/string-matcher.ts";
import type { SanMatcher } from "./types.ts";

/** Names of a certificate by type, as its SAN extension has them. */
export interface CertificateNames {
  readonly dns: readonly string[];
  readonly uri: readonly string[];
  readonly email: readonly string[];
  readonly ip: readonly string[];
}

const TYPES: readonly (SanMatcher["type"] | undefined)[] = [undefined, "email", "dns", "uri", "ip"];

/** Reads one matcher that says which type of name it is for. */
export function parseTypedSanMatcher(
  reader: MessageReader<SubjectAltNameMatcher>,
  regexes: RegexCache,
): SanMatcher | undefined {
  const type = TYPES[reader.get("sanType")];
  const matcher = reader.child("matcher");
  const test = matcher === undefined ? undefined : parseStringMatcher(matcher, regexes);
  reader.finish();
  if (type === undefined) {
    reader.unsupported("sanType", "san_type must be one of DNS, URI, EMAIL, IP_ADDRESS");
    return undefined;
  }
  return test === undefined ? undefined : { type, ...patternOf(matcher?.message), matches: test };
}

/** Reads one matcher of the older list, which is for names of every type. */
export function parseSanMatcher(
  reader: MessageReader<StringMatcherMessage>,
  regexes: RegexCache,
): SanMatcher | undefined {
  const test = parseStringMatcher(reader, regexes);
  return test === undefined ? undefined : { type: "any", ...patternOf(reader.message), matches: test };
}

/** A matcher for one DNS name, as `auto_sni_san_validation` makes it. */
export function dnsSanMatcher(name: string): SanMatcher {
  return { type: "dns", exact: name, pattern: `exact ${name}`, matches: (san) => san === name };
}

/** True when one of the matchers accepts one of the names; no matchers accept everything. */
export function matchesSans(matchers: readonly SanMatcher[], names: CertificateNames): boolean {
  if (matchers.length === 0) return true;
  for (const matcher of matchers) {
    const isAny = matcher.type === "any";
    if ((isAny || matcher.type === "uri") && names.uri.some((san) => matcher.matches(san))) return true;
    if ((isAny || matcher.type === "dns") && names.dns.some((san) => matchesDns(matcher, san))) return true;
    if ((isAny || matcher.type === "ip") && names.ip.some((san) => matcher.matches(san))) return true;
    if ((isAny || matcher.type === "email") && names.email.some((san) => matcher.matches(san))) return true;
  }
  return false;
}

/** An exact name is compared as host names are: without case, and a leftmost `*` in the certificate stands for one label. */
function matchesDns(matcher: SanMatcher, san: string): boolean {
  if (matcher.matches(san)) return true;
  if (matcher.exact === undefined) return false;
  const wanted = matcher.exact.toLowerCase();
  const pattern = san.toLowerCase();
  if (wanted === pattern) return true;
  const wildcard = /^([^.*]*)\*([^.*]*)(\.[^.]+\..+)$/.exec(pattern);
  if (wildcard === null) return false;
  const [, before = "", after = "", parent = ""] = wildcard;
  const dot = wanted.indexOf(".");
  const label = wanted.slice(0, dot);
  return (
    dot > 0 &&
    wanted.slice(dot) === parent &&
    label.length >= before.length + after.length &&
    label.startsWith(before) &&
    label.endsWith(after) &&
    !label.startsWith("xn--")
  );
}

function patternOf(message: StringMatcherMessage | undefined): Pick<SanMatcher, "exact" | "pattern"> {
  const pattern = message?.matchPattern;
  switch (pattern?.case) {
    case "exact":
      return { exact: pattern.value, pattern: `exact ${pattern.value}` };
    case "prefix":
    case "suffix":
    case "contains":
      return { exact: undefined, pattern: `${pattern.case} ${pattern.value}` };
    case "safeRegex":
      return { exact: undefined, pattern: `regex ${pattern.value.regex}` };
    default:
      return { exact: undefined, pattern: "" };
  }
}
