/** `envoy.config.route.v3.Route` → when it applies and what it gives. */
import { MessageReader } from "#protos/reader.ts";
import { byteString } from "#lib/xxhash64.ts";
import type {
  DirectResponseAction,
  RedirectAction,
  Route,
  VirtualHost,
} from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import { parseBodySource } from "../body-source.ts";
import { metadataOf } from "../config-values.ts";
import { parseBodyFormat } from "../http/local-reply-config.ts";
import type { VirtualHostContext } from "./parse-context.ts";
import { parseRegexRewrite } from "./parse-regex-rewrite.ts";
import { parseRouteAction, type RouteAround } from "./parse-route-action.ts";
import { redirectLocation, type RedirectTarget } from "./redirect.ts";
import { parsePathFormat } from "./parse-rewrites.ts";
import { prefixRewrite, regexRewrite, rewritePath, type PathRewrite } from "./rewrite.ts";
import { composeLevels, parseLevel, type ComposedLevels } from "./route-level.ts";
import { parseRouteTracing } from "./route-tracing.ts";
import { parseRouteMatch, type RouteMatcher } from "./route-match.ts";
import type { DirectResponseRoute, RedirectRoute } from "./types.ts";
import type { RouteSelector } from "./weighted-clusters.ts";

export interface CompiledRoute {
  readonly matcher: RouteMatcher;
  readonly select: RouteSelector;
}

/** Reads a route; undefined when it has problems, which are on the reader's list. */
export function parseRoute(reader: MessageReader<Route>, context: VirtualHostContext): CompiledRoute | undefined {
  const match = reader.child("match");
  const matcher = match === undefined ? undefined : parseRouteMatch(match, context.regexes);
  if (match === undefined) reader.invalid("match", "a route needs a match");
  const decorator = reader.child("decorator");
  const tracing = reader.child("tracing");
  const level = parseLevel(
    {
      requestHeadersToAdd: reader.children("requestHeadersToAdd"),
      requestHeadersToRemove: reader.get("requestHeadersToRemove"),
      responseHeadersToAdd: reader.children("responseHeadersToAdd"),
      responseHeadersToRemove: reader.get("responseHeadersToRemove"),
      typedPerFilterConfig: reader.get("typedPerFilterConfig"),
    },
    reader.path,
    reader.problems,
    context.filters,
  );
  const around: Omit<RouteAround, "matcher"> = {
    name: reader.get("name"),
    statPrefix: reader.get("statPrefix"),
    metadata: metadataOf(reader.child("metadata")),
    level,
    decoratorOperation: decorator?.get("operation"),
    decoratorPropagate: decorator?.get("propagate") ?? true,
    tracing: tracing === undefined ? undefined : parseRouteTracing(tracing),
    perRequestBufferLimitBytes: bufferLimit(reader),
  };
  decorator?.finish();
  const action = reader.get("action");
  const at = reader.at("action");
  reader.finish();
  if (matcher === undefined) return undefined;
  const select = parseAction(reader, action, at, { ...around, matcher }, context);
  return select === undefined ? undefined : { matcher, select };
}

/** `request_body_buffer_limit` has taken the place of the older field. */
export function bufferLimit(reader: MessageReader<Route> | MessageReader<VirtualHost>): number | undefined {
  const either = reader as MessageReader<Route>;
  const old = either.get("perRequestBufferLimitBytes");
  const limit = either.get("requestBodyBufferLimit");
  return limit === undefined ? old : Number(limit);
}

function parseAction(
  reader: MessageReader<Route>,
  action: Route["action"],
  at: string,
  around: RouteAround,
  context: VirtualHostContext,
): RouteSelector | undefined {
  const composed = composeLevels([around.level, context.virtualHostLevel, context.level], context.mostSpecificWins);
  switch (action.case) {
    case "route":
      return parseRouteAction(new MessageReader(action.value, at, reader.problems), around, context);
    case "redirect": {
      const inner = new MessageReader(action.value, at, reader.problems);
      const route = parseRedirect(inner, around, context, composed);
      return () => route;
    }
    case "directResponse": {
      const inner = new MessageReader(action.value, at, reader.problems);
      const route = parseDirectResponse(inner, around, context, composed);
      return () => route;
    }
    case "filterAction":
    case "nonForwardingAction":
      reader.unsupported("action");
      return undefined;
    case undefined:
      reader.problems.push({
        code: "invalid-value",
        level: "error",
        path: reader.path,
        message: "a route needs one of route, redirect or direct_response",
      });
      return undefined;
  }
}

const redirectStatuses = [301, 302, 303, 307, 308];

function parseRedirect(
  reader: MessageReader<RedirectAction>,
  around: RouteAround,
  context: VirtualHostContext,
  composed: ComposedLevels,
): RedirectRoute {
  const scheme = reader.get("schemeRewriteSpecifier");
  const path = reader.get("pathRewriteSpecifier");
  const at = reader.at("pathRewriteSpecifier");
  const target: RedirectTarget = {
    scheme: scheme.case === "schemeRedirect" ? scheme.value : scheme.value === true ? "https" : undefined,
    host: byteString(reader.get("hostRedirect")),
    port: reader.get("portRedirect"),
    path: path.case === "pathRedirect" ? byteString(path.value) : "",
    format: path.case === "pathRewrite" ? parsePathFormat(path.value, at, reader.problems) : undefined,
    stripQuery: reader.get("stripQuery"),
  };
  const rewrite = redirectRewrite(path, at, reader, around, context);
  const status = redirectStatuses[reader.get("responseCode")] ?? 301;
  reader.finish();
  return {
    ...shared(around, context, composed),
    kind: "redirect",
    status,
    rewritePath: (headers, formatContext, suppressEnvoyHeaders) =>
      rewritePath(headers, rewrite, formatContext, !suppressEnvoyHeaders),
    location: (headers, formatContext) => redirectLocation(target, headers, formatContext),
  };
}

function redirectRewrite(
  path: RedirectAction["pathRewriteSpecifier"],
  at: string,
  reader: MessageReader<RedirectAction>,
  around: RouteAround,
  context: VirtualHostContext,
): PathRewrite | undefined {
  if (path.case === "prefixRewrite") return prefixRewrite(byteString(path.value), around.matcher.path);
  if (path.case !== "regexRewrite") return undefined;
  const replace = parseRegexRewrite(new MessageReader(path.value, at, reader.problems), context.regexes);
  return replace === undefined ? undefined : regexRewrite(replace);
}

function parseDirectResponse(
  reader: MessageReader<DirectResponseAction>,
  around: RouteAround,
  context: VirtualHostContext,
  composed: ComposedLevels,
): DirectResponseRoute {
  const status = reader.get("status");
  const source = reader.child("body");
  const body = parseBodySource(source) ?? "";
  const bodyFormat = parseBodyFormat(reader.child("bodyFormat"));
  reader.finish();
  if (body.length > context.maxDirectResponseBodyBytes)
    source?.invalid(
      "specifier",
      `response body size is ${body.length} bytes; maximum is ${context.maxDirectResponseBodyBytes}`,
    );
  return { ...shared(around, context, composed), kind: "direct-response", status, body, bodyFormat };
}

function shared(
  { name, metadata, decoratorOperation, decoratorPropagate, tracing }: RouteAround,
  { virtualHostName }: VirtualHostContext,
  { filters, requestMutations, responseMutations }: ComposedLevels,
): Omit<DirectResponseRoute, "kind" | "status" | "body" | "bodyFormat"> {
  return {
    name,
    metadata,
    decoratorOperation,
    decoratorPropagate,
    tracing,
    virtualHostName,
    perFilter: (name) => filters.perFilter(name),
    perFilterLevels: (name) => filters.perFilterLevels(name),
    isFilterEnabled: (name) => filters.isFilterEnabled(name),
    requestMutations,
    responseMutations,
  };
}
