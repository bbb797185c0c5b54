/** Filters of HTTPRoute and GRPCRoute → blocks of an Istio route. */
import { type Fields, fieldsOf, listOf, numberOf, stringOf, stringsOf } from "../model/read-fields.ts";
import type {
  CorsPolicy,
  HeaderChange,
  HeaderOperations,
  HttpRedirect,
  HttpRewrite,
  HttpRule,
  StringMatch,
} from "../translate/spec/virtual-service.ts";
import { backendDestination, type RouteContext } from "./backends.ts";
import { joinedErrors, type StatusError } from "./conditions.ts";
import { backendRefFrom, type RouteFilter } from "./read-refs.ts";

type Mirror = NonNullable<HttpRule["mirrors"]>[number];

export interface FilterBlocks {
  readonly blocks: Pick<HttpRule, "headers" | "redirect" | "rewrite" | "mirrors" | "corsPolicy">;
  /** A mirror that is left out. */
  readonly error: StatusError | undefined;
}

const HTTP_FILTERS: readonly string[] = [
  "RequestHeaderModifier",
  "ResponseHeaderModifier",
  "RequestRedirect",
  "RequestMirror",
  "URLRewrite",
  "CORS",
];
const GRPC_FILTERS: readonly string[] = ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror"];
const BACKEND_FILTERS: readonly string[] = ["RequestHeaderModifier", "ResponseHeaderModifier"];

/** Of a rule; a filter that nobody knows spoils the whole route. */
export function filterBlocks(context: RouteContext, filters: readonly RouteFilter[]): FilterBlocks | StatusError {
  const unknown = unknownFilter(filters, context.route.kind === "GRPCRoute" ? GRPC_FILTERS : HTTP_FILTERS);
  if (unknown !== undefined) return unknown;
  let error: StatusError | undefined;
  const mirrors: Mirror[] = [];
  let redirect: HttpRedirect | undefined;
  let rewrite: HttpRewrite | undefined;
  let corsPolicy: CorsPolicy | undefined;
  for (const { type, fields } of filters) {
    if (type === "RequestRedirect") redirect = redirectFrom(fieldsOf(fields["requestRedirect"]));
    else if (type === "URLRewrite") rewrite = rewriteFrom(fieldsOf(fields["urlRewrite"])) ?? rewrite;
    else if (type === "CORS") corsPolicy = corsFrom(fieldsOf(fields["cors"]));
    else if (type === "RequestMirror") {
      const made = mirrorFrom(context, fieldsOf(fields["requestMirror"]));
      error = joinedErrors(error, made.error);
      if (made.mirror !== undefined) mirrors.push(made.mirror);
    }
  }
  const headers = headersOf(filters);
  return {
    blocks: {
      ...(headers !== undefined && { headers }),
      ...(redirect !== undefined && { redirect }),
      ...(rewrite !== undefined && { rewrite }),
      ...(mirrors.length > 0 && { mirrors }),
      ...(corsPolicy !== undefined && { corsPolicy }),
    },
    error,
  };
}

/** Of a backend only changes of headers are possible. */
export function backendHeaders(filters: readonly RouteFilter[]): {
  readonly headers?: HeaderOperations | undefined;
  readonly error?: StatusError | undefined;
} {
  return { headers: headersOf(filters), error: unknownFilter(filters, BACKEND_FILTERS) };
}

function unknownFilter(filters: readonly RouteFilter[], known: readonly string[]): StatusError | undefined {
  const unknown = filters.find(({ type }) => !known.includes(type));
  if (unknown === undefined) return filters.map(headerFault).find((fault) => fault !== undefined);
  const message = `filter ${unknown.type} is not supported here; supported are ${known.join(", ")}`;
  return { reason: "InvalidFilter", message };
}

/** Envoy refuses all routes for one header value with a line end in it. */
function headerFault({ fields }: RouteFilter): StatusError | undefined {
  const changes = [fields["requestHeaderModifier"], fields["responseHeaderModifier"]].map(fieldsOf);
  const values = changes.flatMap(({ set, add }) => [...listOf(set), ...listOf(add)]).map(fieldsOf);
  const faulty = values.find(({ value }) => /[\0\r\n]/u.test(stringOf(value) ?? ""));
  if (faulty === undefined) return undefined;
  const message = `the value of header ${stringOf(faulty["name"]) ?? ""} must not contain line ends`;
  return { reason: "InvalidFilter", message };
}

/** Of two filters of a kind the later counts. */
function headersOf(filters: readonly RouteFilter[]): HeaderOperations | undefined {
  const last = (type: string, name: string): HeaderChange | undefined => {
    const filter = filters.findLast((item) => item.type === type);
    return filter === undefined ? undefined : headerChange(fieldsOf(filter.fields[name]));
  };
  const request = last("RequestHeaderModifier", "requestHeaderModifier");
  const response = last("ResponseHeaderModifier", "responseHeaderModifier");
  if (request === undefined && response === undefined) return undefined;
  return { ...(request !== undefined && { request }), ...(response !== undefined && { response }) };
}

function headerChange(fields: Fields): HeaderChange {
  const set = headerMap(fields["set"]);
  const add = headerMap(fields["add"]);
  const remove = stringsOf(fields["remove"]);
  return {
    ...(set !== undefined && { set }),
    ...(add !== undefined && { add }),
    ...(remove.length > 0 && { remove }),
  };
}

/** Names in small letters; of two with one name the first counts. */
function headerMap(value: unknown): Readonly<Record<string, string>> | undefined {
  const result = new Map<string, string>();
  for (const item of listOf(value).map(fieldsOf)) {
    const name = (stringOf(item["name"]) ?? "").toLowerCase();
    if (!result.has(name)) result.set(name, stringOf(item["value"]) ?? "");
  }
  return result.size === 0 ? undefined : Object.fromEntries(result);
}

/** Without a port that of the request stays, unless the scheme changes. */
function redirectFrom(fields: Fields): HttpRedirect {
  const scheme = stringOf(fields["scheme"]);
  const port = numberOf(fields["port"]);
  const hostname = stringOf(fields["hostname"]);
  const uri = redirectPath(fieldsOf(fields["path"]));
  return {
    redirectCode: numberOf(fields["statusCode"]) ?? 302,
    ...(hostname !== undefined && { authority: hostname }),
    ...(scheme !== undefined && { scheme }),
    ...(port === undefined
      ? { derivePort: scheme === undefined ? ("FROM_REQUEST_PORT" as const) : ("FROM_PROTOCOL_DEFAULT" as const) }
      : { port }),
    ...(uri !== undefined && { uri }),
  };
}

/** Before the path that stands for a matched prefix in a redirect of the Gateway API. */
export const PREFIX_MARK = "%PREFIX()%";

function redirectPath(path: Fields): string | undefined {
  if (path["type"] === "ReplaceFullPath") return stringOf(path["replaceFullPath"]) ?? "";
  if (path["type"] === "ReplacePrefixMatch") return `${PREFIX_MARK}${stringOf(path["replacePrefixMatch"]) ?? ""}`;
  return undefined;
}

/** Undefined for a filter that changes nothing. */
function rewriteFrom(fields: Fields): HttpRewrite | undefined {
  const path = fieldsOf(fields["path"]);
  const authority = stringOf(fields["hostname"]);
  const host = authority === undefined ? {} : { authority };
  if (path["type"] === "ReplacePrefixMatch") {
    const prefix = stringOf(path["replacePrefixMatch"]) ?? "";
    // `/` takes the prefix away.
    return { ...host, uri: (prefix.endsWith("/") ? prefix.slice(0, -1) : prefix) || "/" };
  }
  if (path["type"] === "ReplaceFullPath") {
    return { ...host, uriRegexRewrite: { match: "/.*", rewrite: stringOf(path["replaceFullPath"]) ?? "" } };
  }
  return authority === undefined ? undefined : host;
}

function mirrorFrom(
  context: RouteContext,
  fields: Fields,
): { readonly mirror?: Mirror; readonly error?: StatusError | undefined } {
  const { destination, error } = backendDestination(context, backendRefFrom(fields["backendRef"]));
  if (destination === undefined || error !== undefined) return { error };
  const fraction = fields["fraction"] === undefined ? undefined : fieldsOf(fields["fraction"]);
  const percent =
    fraction === undefined
      ? numberOf(fields["percent"])
      : (100 * (numberOf(fraction["numerator"]) ?? 0)) / (numberOf(fraction["denominator"]) || 100);
  return { mirror: { destination, ...(percent !== undefined && { percentage: { value: percent } }) } };
}

const DEFAULT_MAX_AGE = 5;

function corsFrom(fields: Fields): CorsPolicy {
  return {
    allowOrigins: stringsOf(fields["allowOrigins"])
      .filter((origin) => origin !== "")
      .map(originMatch),
    allowMethods: stringsOf(fields["allowMethods"]),
    allowHeaders: stringsOf(fields["allowHeaders"]),
    exposeHeaders: stringsOf(fields["exposeHeaders"]),
    maxAge: `${numberOf(fields["maxAge"]) ?? DEFAULT_MAX_AGE}s`,
    ...(fields["allowCredentials"] === true && { allowCredentials: true }),
    unmatchedPreflights: "IGNORE",
  };
}

function originMatch(origin: string): StringMatch {
  if (!origin.includes("*")) return { exact: origin };
  return { regex: `^${origin.split("*").map(quoted).join(".*")}$` };
}

/** The text itself, as a regular expression. */
export function quoted(text: string): string {
  return text.replaceAll(/[\\.+*?()|[\]{}^$]/g, "\\$&");
}
