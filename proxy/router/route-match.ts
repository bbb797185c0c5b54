/** `envoy.config.route.v3.RouteMatch` → a test of requests (R-09 … R-27). */
import { MessageReader } from "#protos/reader.ts";
import { unpackAny } from "#protos/any.ts";
import { typeNameOf } from "#protos/type-url.ts";
import { byteString } from "#lib/xxhash64.ts";
import type { CookieMatcher } from "#protos/gen/envoy/additions/route_pb.js";
import type { FilterStateMatcher } from "#protos/gen/envoy/type/matcher/v3/filter_state_pb.js";
import type { TypedExtensionConfig } from "#protos/gen/envoy/config/core/v3/extension_pb.js";
import type {
  RouteMatch,
  RouteMatch_TlsContextMatchOptions,
} from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import type { UriTemplateMatchConfig } from "#protos/gen/envoy/extensions/path/match/uri_template/v3/uri_template_match_pb.js";
import { isRuntimeFraction, runtimeFractionOf } from "../config-values.ts";
import type { HeaderMap } from "../http/header-map.ts";
import { cookieValue } from "./hash-policy.ts";
import { parseHeaderMatchers } from "./header-matcher.ts";
import { parseMetadataMatcher } from "./metadata-matcher.ts";
import {
  connectMatcher,
  exactMatcher,
  pathSeparatedPrefixMatcher,
  prefixMatcher,
  regexMatcher,
  type PathMatcher,
} from "./path-matcher.ts";
import { parseQueryMatcher } from "./query-matcher.ts";
import type { RegexCache } from "./regex.ts";
import { parseRegexMatcher, parseStringMatcher } from "./string-matcher.ts";
import type { MatchContext } from "./types.ts";
import { compileUriTemplate, type UriTemplate } from "./uri-template.ts";

type Condition = (headers: HeaderMap, context: MatchContext) => boolean;

/** When a route applies: its path, and conditions that must all hold. */
export interface RouteMatcher {
  readonly path: PathMatcher;
  readonly template: UriTemplate | undefined;
  readonly conditions: readonly Condition[];
}

/** `path` is the request's, possibly without path parameters. CONNECT without a path matches only `connect_matcher`. */
export function matchesRoute(matcher: RouteMatcher, path: string, headers: HeaderMap, context: MatchContext): boolean {
  const pathMatcher = matcher.path;
  if (pathMatcher.kind === "connect") {
    if (headers.method !== "CONNECT") return false;
  } else if (!pathMatcher.matches(path) || (path === "" && headers.method === "CONNECT")) return false;
  const conditions = matcher.conditions;
  for (let i = 0; i < conditions.length; i++) {
    if (!(conditions[i] as Condition)(headers, context)) return false;
  }
  return true;
}

/** Reads a match; undefined when it has no usable path specifier. Problems are on the reader's list. */
export function parseRouteMatch(reader: MessageReader<RouteMatch>, regexes: RegexCache): RouteMatcher | undefined {
  const path = parsePath(reader, regexes);
  const conditions: Condition[] = [];
  const fraction = reader.child("runtimeFraction");
  if (fraction !== undefined) {
    const wanted = runtimeFractionOf(fraction);
    conditions.push((_headers, { streamRandom, runtimeSnapshot }) =>
      isRuntimeFraction(wanted, streamRandom, runtimeSnapshot),
    );
  }
  if (reader.get("grpc") !== undefined) conditions.push(isGrpcRequest);
  conditions.push(...parseHeaderMatchers(reader.children("headers"), regexes));
  for (const parameter of reader.children("queryParameters")) {
    const test = parseQueryMatcher(parameter, regexes);
    if (test !== undefined) conditions.push((headers) => test(headers.path));
  }
  const tls = reader.child("tlsContext");
  if (tls !== undefined) conditions.push(tlsCondition(tls));
  for (const metadata of reader.children("dynamicMetadata")) {
    const test = parseMetadataMatcher(metadata, regexes);
    if (test !== undefined)
      conditions.push((_headers, { info }) => test((namespace) => info.dynamicMetadata?.get(namespace)));
  }
  for (const state of reader.children("filterState")) {
    const test = parseFilterState(state, regexes);
    if (test !== undefined) conditions.push((_headers, { info }) => test(info.filterState));
  }
  for (const cookie of reader.children("cookies")) {
    const test = parseCookieMatcher(cookie, regexes);
    if (test !== undefined) conditions.push(test);
  }
  reader.finish();
  if (path === undefined) return undefined;
  return { path, template: path.kind === "uri-template" ? (path as UriTemplate) : undefined, conditions };
}

/** gRPC by content type. */
export function isGrpcRequest(headers: HeaderMap): boolean {
  const type = headers.get("content-type");
  return type !== undefined && type.startsWith("application/grpc") && (type.length === 16 || type[16] === "+");
}

/** An object of the filter state as text; one that is not there never matches. */
export function parseFilterState(
  reader: MessageReader<FilterStateMatcher>,
  regexes: RegexCache,
): ((state: ReadonlyMap<string, unknown> | undefined) => boolean) | undefined {
  const key = reader.get("key");
  const matcher = reader.get("matcher");
  const at = reader.at("matcher");
  reader.finish();
  if (matcher.case !== "stringMatch") {
    reader.unsupported("matcher");
    return undefined;
  }
  const test = parseStringMatcher(new MessageReader(matcher.value, at, reader.problems), regexes);
  if (test === undefined) return undefined;
  return (state) => {
    const value = state?.get(key);
    return typeof value === "string" && test(byteString(value));
  };
}

/** The first cookie of the name; a missing one matches only an inverted matcher. */
function parseCookieMatcher(reader: MessageReader<CookieMatcher>, regexes: RegexCache): Condition | undefined {
  const name = reader.get("name");
  const matcher = reader.child("stringMatch");
  const invert = reader.get("invertMatch");
  reader.finish();
  const test = matcher === undefined ? undefined : parseStringMatcher(matcher, regexes);
  if (test === undefined) return undefined;
  return (headers) => {
    const value = cookieValue(headers, name);
    return (value !== undefined && test(value)) !== invert;
  };
}

function tlsCondition(reader: MessageReader<RouteMatch_TlsContextMatchOptions>): Condition {
  const presented = reader.get("presented");
  const validated = reader.get("validated");
  reader.finish();
  return (_headers, { info }) => {
    const peer = info.connection?.tls?.peer;
    if (presented !== undefined && presented !== (peer !== undefined)) return false;
    return validated === undefined || validated === (peer?.verified === true);
  };
}

function parsePath(reader: MessageReader<RouteMatch>, regexes: RegexCache): PathMatcher | undefined {
  const specifier = reader.get("pathSpecifier");
  const at = reader.at("pathSpecifier");
  const caseSensitive = reader.get("caseSensitive") ?? true;
  switch (specifier.case) {
    case "prefix":
      return prefixMatcher(byteString(specifier.value), caseSensitive);
    case "path":
      return exactMatcher(byteString(specifier.value), caseSensitive);
    case "safeRegex": {
      const regex = parseRegexMatcher(new MessageReader(specifier.value, at, reader.problems), regexes);
      return regex === undefined ? undefined : regexMatcher(regex);
    }
    case "connectMatcher":
      return connectMatcher;
    case "pathSeparatedPrefix":
      if (!/^\/(?:[^?#]*[^?#/])$/.test(specifier.value)) {
        reader.invalid("pathSpecifier", "must start with `/`, not end with `/`, contain no `?` or `#` and not be `/`");
        return undefined;
      }
      return pathSeparatedPrefixMatcher(byteString(specifier.value), caseSensitive);
    case "pathMatchPolicy":
      return parsePathTemplate(new MessageReader(specifier.value, at, reader.problems));
    case undefined:
      reader.problems.push({
        code: "invalid-value",
        level: "error",
        path: reader.path,
        message: "one of prefix, path, safe_regex, path_separated_prefix, connect_matcher must be set",
      });
      return undefined;
  }
}

/** A path template as an extension; any other is refused by name. */
export function parsePathTemplate(reader: MessageReader<TypedExtensionConfig>): UriTemplate | undefined {
  const name = reader.get("name");
  const config = reader.get("typedConfig");
  const at = reader.at("typedConfig");
  reader.finish();
  const wanted = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";
  if (config === undefined || typeNameOf(config.typeUrl) !== wanted) {
    reader.unsupported("typedConfig", `the path match policy ${name} is not supported; ${wanted} is`);
    return undefined;
  }
  const opened = unpackAny(config, at);
  reader.problems.push(...opened.problems);
  if (opened.value === undefined) return undefined;
  const inner = new MessageReader(opened.value as UriTemplateMatchConfig, at, reader.problems);
  const template = compileUriTemplate(inner.get("pathTemplate"));
  inner.finish();
  if (typeof template !== "string") return template;
  inner.invalid("pathTemplate", template);
  return undefined;
}
