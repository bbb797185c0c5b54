/** Operators over headers, the path and the query. */
import type { HeaderMap } from "../../http/header-map.ts";
import { truncated, type Operator, type OperatorTable, type ValueOf } from "./operator.ts";
import type { FormatContext } from "./types.ts";

type HeadersOf = (context: FormatContext) => HeaderMap | undefined;

const requestHeaders: HeadersOf = (context) => context.requestHeaders;
const responseHeaders: HeadersOf = (context) => context.responseHeaders;
const responseTrailers: HeadersOf = (context) => context.responseTrailers;

const request = headerOperator(requestHeaders);
const response = headerOperator(responseHeaders);
const trailer = headerOperator(responseTrailers);

/** `REQ(X?Y):N` and its kin. */
export const headerOperators: OperatorTable = {
  REQ: request,
  REQUEST_HEADER: request,
  RESP: response,
  RESPONSE_HEADER: response,
  TRAILER: trailer,
  RESPONSE_TRAILER: trailer,
  REQ_WITHOUT_QUERY: {
    parameters: "required",
    length: true,
    compile(args, limit) {
      const value = headerValue(args, requestHeaders);
      if (typeof value === "string") return value;
      return truncated((context) => withoutQuery(value(context) as string | undefined), limit);
    },
  },
  QUERY_PARAM: {
    parameters: "required",
    length: true,
    compile: (args, limit) =>
      args === ""
        ? "names no parameter"
        : truncated((context) => queryParameter(context.requestHeaders?.path, args), limit),
  },
  PATH: { parameters: "optional", length: true, compile: compilePath },
};

function headerOperator(headers: HeadersOf): Operator {
  return {
    parameters: "required",
    length: true,
    compile(args, limit) {
      const value = headerValue(args, headers);
      return typeof value === "string" ? value : truncated(value, limit);
    },
  };
}

function headerValue(args: string, headers: HeadersOf): ValueOf | string {
  const names = args.toLowerCase().split("?");
  if (names.length > 2) return "has more than one alternative header";
  const [main = "", alternative = ""] = names;
  if (main === "" && alternative === "") return "names no header";
  const first = headerGetter(main, headers);
  if (alternative === "") return first;
  const second = headerGetter(alternative, headers);
  return (context) => first(context) ?? second(context);
}

function headerGetter(name: string, headers: HeadersOf): ValueOf {
  switch (name) {
    case "":
      return () => undefined;
    case ":method":
      return (context) => headers(context)?.method || undefined;
    case ":path":
      return (context) => headers(context)?.path || undefined;
    case ":authority":
      return (context) => headers(context)?.authority || undefined;
    default:
      return (context) => headers(context)?.get(name);
  }
}

function compilePath(args: string, limit: number | undefined): ValueOf | string {
  const [query = "", which = "", ...more] = args === "" ? ["", ""] : args.split(":");
  if (more.length > 0 || (args !== "" && !args.includes(":") && args !== "WQ" && args !== "NQ"))
    return "takes (WQ|NQ:ORIG|PATH|ORIG_OR_PATH)";
  if (!["", "WQ", "NQ"].includes(query)) return "takes WQ (with query) or NQ (no query) first";
  if (!["", "ORIG", "PATH", "ORIG_OR_PATH"].includes(which)) return "takes ORIG, PATH or ORIG_OR_PATH second";
  const path: (context: FormatContext) => string | undefined =
    which === "ORIG"
      ? (context) => context.requestHeaders?.get("x-envoy-original-path")
      : which === "PATH"
        ? (context) => context.requestHeaders?.get(":path")
        : (context) => context.requestHeaders?.get("x-envoy-original-path") ?? context.requestHeaders?.get(":path");
  return truncated(query === "NQ" ? (context) => withoutQuery(path(context)) : path, limit);
}

function withoutQuery(path: string | undefined): string | undefined {
  const query = path?.indexOf("?") ?? -1;
  return query < 0 ? path : path?.slice(0, query);
}

function queryParameter(path: string | undefined, name: string): string | undefined {
  const query = path?.indexOf("?") ?? -1;
  if (path === undefined || query < 0) return undefined;
  const fragment = path.indexOf("#", query);
  for (const pair of path.slice(query + 1, fragment < 0 ? undefined : fragment).split("&")) {
    const equals = pair.indexOf("=");
    if ((equals < 0 ? pair : pair.slice(0, equals)) === name) return equals < 0 ? "" : pair.slice(equals + 1);
  }
  return undefined;
}
