/** `http[].match[]` → RouteMatch, and which matches concern this proxy at all (rules 16–22). */
import { jwtMetadata } from "./authorization-matchers.ts";
import { compact, type JsonObject, sortedEntries } from "./json.ts";
import { type Labels, selects } from "./labels.ts";
import type { HttpMatch, StringMatch } from "./spec/virtual-service.ts";
import { isPresence, stringMatcher } from "./string-match.ts";

/** Who asks, and for what. */
export interface MatchContext {
  readonly labels: Labels;
  readonly namespace: string;
  /** The port that the client called. */
  readonly port: number;
  /** `mesh`, or the gateways that this proxy serves. */
  readonly gateways: readonly string[];
}

/** `gateways`, when given, switches the source conditions off (rule 17). */
export function concerns(match: HttpMatch, context: MatchContext): boolean {
  if (match.port !== undefined && match.port !== 0 && match.port !== context.port) return false;
  if (match.gateways !== undefined && match.gateways.length > 0) {
    return match.gateways.some((gateway) => context.gateways.includes(gateway));
  }
  if (!selects(match.sourceLabels, context.labels)) return false;
  const namespace = match.sourceNamespace ?? "";
  return namespace === "" || namespace === context.namespace;
}

/** `undefined`: a rule without matches, which takes everything. In the Gateway API and in an Ingress a prefix ends where a segment does. */
export function routeMatch(match: HttpMatch | undefined, separatesPrefixes = false): JsonObject {
  if (match === undefined) return { prefix: "/" };
  const headers = headerMatchers(match);
  const claims = claimMatchers(match);
  const parameters = sortedEntries(match.queryParams).map(([name, value]) => queryMatcher(name, value));
  return compact({
    ...(separatesPrefixes ? separatedPathMatch(match.uri) : pathMatch(match.uri)),
    caseSensitive: match.ignoreUriCase !== true,
    headers: headers.length === 0 ? undefined : headers,
    queryParameters: parameters.length === 0 ? undefined : parameters,
    dynamicMetadata: claims.length === 0 ? undefined : claims,
  });
}

/** Nothing after it can be reached (rule 16). */
export function isCatchAll(match: JsonObject): boolean {
  if (["headers", "queryParameters", "dynamicMetadata"].some((field) => match[field] !== undefined)) return false;
  if (match["prefix"] === "/") return true;
  const regex = match["safeRegex"] as { readonly regex?: string } | undefined;
  return regex?.regex === ".*";
}

function pathMatch(uri: StringMatch | undefined): JsonObject {
  if (uri?.exact !== undefined) return { path: uri.exact };
  if (uri?.prefix !== undefined) return { prefix: uri.prefix };
  if (uri?.regex !== undefined) return { safeRegex: { regex: uri.regex } };
  return { prefix: "/" };
}

/** `/foo` is for `/foo` and what is below it, not for `/foobar` (rule 118). */
function separatedPathMatch(uri: StringMatch | undefined): JsonObject {
  const { prefix } = uri ?? {};
  if (prefix === undefined || prefix === "/" || prefix === "") return pathMatch(uri);
  return { pathSeparatedPrefix: prefix.endsWith("/") ? prefix.slice(0, -1) : prefix };
}

function headerMatchers(match: HttpMatch): readonly JsonObject[] {
  const result = sortedEntries(match.headers)
    .filter(([name]) => claimPath(name) === undefined)
    .map(([name, value]) => headerMatcher(name, value));
  for (const [name, value] of sortedEntries(match.withoutHeaders)) {
    if (claimPath(name) !== undefined) continue;
    const absentIsEmpty = isPresence(value) ? {} : { treatMissingHeaderAsEmpty: true };
    result.push({ ...headerMatcher(name, value), invertMatch: true, ...absentIsEmpty });
  }
  const pseudo = [
    [":method", match.method],
    [":authority", match.authority],
    [":scheme", match.scheme],
  ] as const;
  for (const [name, value] of pseudo) {
    if (value !== undefined) result.push(headerMatcher(name, value));
  }
  return result;
}

/** Claims of a token that was checked, which no header of the client can stand in for (rule 22). */
function claimMatchers({ headers, withoutHeaders }: HttpMatch): readonly JsonObject[] {
  const claims = (entries: HttpMatch["headers"], invert: boolean): readonly JsonObject[] =>
    sortedEntries(entries).flatMap(([name, value]) => {
      const path = claimPath(name);
      if (path === undefined) return [];
      const { metadata } = jwtMetadata(path, claimValue(value)) as { readonly metadata: JsonObject };
      return [invert ? { ...metadata, invert } : metadata];
    });
  return [...claims(headers, false), ...claims(withoutHeaders, true)];
}

/** A claim is text, or a list of which one item matches. */
function claimValue(match: StringMatch): JsonObject {
  if (isPresence(match)) return { presentMatch: true };
  const value = { stringMatch: stringMatcher(match) };
  return { orMatch: { valueMatchers: [{ listMatch: { oneOf: value } }, value] } };
}

const CLAIMS = "@request.auth.claims";

/** `@request.auth.claims.a.b`, or `@request.auth.claims[a][b]` where names hold dots; undefined for a header. */
function claimPath(name: string): readonly string[] | undefined {
  if (!name.toLowerCase().startsWith(CLAIMS)) return undefined;
  const rest = name.slice(CLAIMS.length);
  if (rest.startsWith(".") && rest.length > 1) return rest.slice(1).split(".");
  if (rest.startsWith("[") && rest.endsWith("]") && rest.length > 2) return rest.slice(1, -1).split("][");
  return undefined;
}

function headerMatcher(name: string, value: StringMatch): JsonObject {
  return isPresence(value) ? { name, presentMatch: true } : { name, stringMatch: stringMatcher(value) };
}

function queryMatcher(name: string, value: StringMatch): JsonObject {
  return isPresence(value) ? { name, presentMatch: true } : { name, stringMatch: stringMatcher(value) };
}
