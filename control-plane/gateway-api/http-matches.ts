/** Matches of HTTPRoute and GRPCRoute → those of an Istio route, with the API server's defaults. */
import { regexFault } from "../validate/check-strings.ts";
import type { StatusError } from "./conditions.ts";
import { type Fields, fieldsOf, listOf, stringOf } from "../model/read-fields.ts";
import type { HttpMatch, StringMatch } from "../translate/spec/virtual-service.ts";

export function httpMatch(match: Fields): HttpMatch {
  const method = stringOf(match["method"]);
  const queryParams = named(match["queryParams"]);
  return {
    uri: pathMatch(fieldsOf(match["path"])),
    ...headersOf(match),
    ...(queryParams !== undefined && { queryParams }),
    ...(method !== undefined && { method: { exact: method } }),
  };
}

/** A path is `/service/method`; without a method match there is none. */
export function grpcMatch(match: Fields): HttpMatch {
  const uri = match["method"] === undefined ? undefined : grpcPath(fieldsOf(match["method"]));
  return { ...(uri !== undefined && { uri }), ...headersOf(match) };
}

/** A regular expression that a proxy can't read would make it refuse the routes of all others, too. */
export function matchFault({ uri, headers, queryParams }: HttpMatch): StatusError | undefined {
  for (const match of [uri, ...Object.values(headers ?? {}), ...Object.values(queryParams ?? {})]) {
    const fault = match?.regex === undefined ? undefined : regexFault(match.regex);
    if (fault !== undefined) return { reason: "InvalidConfiguration", message: `${match?.regex ?? ""}: ${fault}` };
  }
  return undefined;
}

/** A slash at the end of a prefix says nothing. */
function pathMatch(path: Fields): StringMatch {
  const value = stringOf(path["value"]) ?? "/";
  switch (stringOf(path["type"]) ?? "PathPrefix") {
    case "Exact":
      return { exact: value };
    case "RegularExpression":
      return { regex: value };
    default:
      return { prefix: value !== "/" && value.endsWith("/") ? value.slice(0, -1) : value };
  }
}

function grpcPath(method: Fields): StringMatch | undefined {
  const service = stringOf(method["service"]);
  const name = stringOf(method["method"]);
  if (service === undefined && name === undefined) return undefined;
  if (service === undefined) return { regex: `/[^/]+/${name ?? ""}` };
  if (method["type"] === "RegularExpression") return { regex: `/${service}/${name ?? ".+"}` };
  return name === undefined ? { prefix: `/${service}/` } : { exact: `/${service}/${name}` };
}

function headersOf(match: Fields): Pick<HttpMatch, "headers"> {
  const headers = named(match["headers"]);
  return headers === undefined ? {} : { headers };
}

function named(value: unknown): Readonly<Record<string, StringMatch>> | undefined {
  const entries = listOf(value).map((item): [string, StringMatch] => {
    const fields = fieldsOf(item);
    const text = stringOf(fields["value"]) ?? "";
    return [stringOf(fields["name"]) ?? "", fields["type"] === "RegularExpression" ? { regex: text } : { exact: text }];
  });
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}
