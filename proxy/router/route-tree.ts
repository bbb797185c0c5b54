/** `VirtualHost.matcher`: which routes take a request, by the generic matcher in place of a list. */
import type { Message } from "@bufbuild/protobuf";
import type { MessageReader } from "#protos/reader.ts";
import type { Route, RouteList } from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import type { HttpRequestHeaderMatchInput } from "#protos/gen/envoy/type/matcher/v3/http_inputs_pb.js";
import type { Matcher as MatcherMessage } from "#protos/gen/xds/type/matcher/v3/matcher_pb.js";
import { byteString } from "#lib/xxhash64.ts";
import type { HeaderMap } from "../http/header-map.ts";
import { parseEnvironmentInput, parseFilterStateInput } from "../matcher/common-inputs.ts";
import type { Matcher, MatchInput } from "../matcher/kit.ts";
import { parseMatcher } from "../matcher/matcher.ts";
import { headerKey } from "./header-matcher.ts";
import type { VirtualHostContext } from "./parse-context.ts";
import { parseRoute, type CompiledRoute } from "./parse-route.ts";
import type { MatchContext } from "./types.ts";

/** What is asked about: the request's headers, and what filters have said of its stream. */
export interface MatchedRequest {
  readonly headers: HeaderMap;
  readonly context: MatchContext;
}

/** Gives the routes to try, in order; each still has its own `match`. Undefined: there are none for this request. */
export type RouteTree = Matcher<MatchedRequest, readonly CompiledRoute[]>;

/** Reads the tree; as in Envoy it may ask for request headers, filter state and the environment, and nothing else. */
export function parseRouteTree(reader: MessageReader<MatcherMessage>, context: VirtualHostContext): RouteTree {
  return parseMatcher<MatchedRequest, readonly CompiledRoute[]>(reader, {
    regexes: context.regexes,
    textOf: byteString,
    input: (message, inner) => parseInput(message, inner),
    action: (message, inner) => parseAction(message, inner, context),
  });
}

function parseInput(message: Message, reader: MessageReader<Message>): MatchInput<MatchedRequest> | undefined {
  if (message.$typeName === "envoy.type.matcher.v3.HttpRequestHeaderMatchInput") {
    const header = reader as MessageReader<HttpRequestHeaderMatchInput>;
    const name = headerKey(header.get("headerName"));
    header.finish();
    return ({ headers }) => headers.getJoined(name);
  }
  const environment = parseEnvironmentInput(message, reader);
  if (environment !== undefined) return environment;
  const state = parseFilterStateInput(message, reader);
  if (state !== undefined) return ({ context }) => state(context.info.filterState);
  reader.problems.push({
    code: "unsupported-type",
    level: "error",
    path: reader.path,
    message: `Route table can only match on request headers, saw ${message.$typeName}; ask for envoy.type.matcher.v3.HttpRequestHeaderMatchInput or FilterStateInput`,
  });
  return undefined;
}

function parseAction(
  message: Message,
  reader: MessageReader<Message>,
  context: VirtualHostContext,
): readonly CompiledRoute[] | undefined {
  switch (message.$typeName) {
    case "envoy.config.route.v3.Route": {
      const route = parseRoute(reader as MessageReader<Route>, context);
      return route === undefined ? [] : [route];
    }
    case "envoy.config.route.v3.RouteList": {
      const list = reader as MessageReader<RouteList>;
      const routes = list.children("routes").map((route) => parseRoute(route, context));
      list.finish();
      return routes.filter((route) => route !== undefined);
    }
    default:
      return undefined;
  }
}
