/** Route tables from JSON, for tests. */
import type { Problem } from "#lib/problem.ts";
import { messageFromJson } from "#protos/json.ts";
import { HeaderMap } from "../../http/header-map.ts";
import type { HttpFilterFactory } from "../../http/filter.ts";
import { StreamInfo } from "../../stream-info.ts";
import { parseRouteConfiguration, type RouteParseOptions } from "../parse-route-config.ts";
import type { ForwardRoute, ResolvedRoute, RouteTable } from "../types.ts";

/** Problems of a configuration, `path: message`. */
export function problemsOf(json: object, options: Partial<RouteParseOptions> = {}): string[] {
  return parsed(json, options).problems.map(({ path, message }: Problem) => `${path}: ${message}`);
}

/** A table that is expected to be good. */
export function tableOf(json: object, filters: readonly HttpFilterFactory[] = []): RouteTable {
  const { value, problems } = parsed(json, { filters });
  if (value === undefined) throw new Error(JSON.stringify(problems));
  return value;
}

/** A table of one virtual host for every host. */
export function tableOfRoutes(routes: readonly object[], host: object = {}, rest: object = {}): RouteTable {
  return tableOf({ name: "test", virtualHosts: [{ name: "v", domains: ["*"], routes, ...host }], ...rest });
}

function parsed(json: object, options: Partial<RouteParseOptions>): ReturnType<typeof parseRouteConfiguration> {
  const message = messageFromJson("envoy.config.route.v3.RouteConfiguration", json);
  if (message.value === undefined) throw new Error(JSON.stringify(message.problems));
  return parseRouteConfiguration(message.value, { filters: [], ...options });
}

/** A GET request over http; fields override. */
export function requestOf(fields: Readonly<Record<string, string>> = {}): HeaderMap {
  const defaults = {
    ":method": "GET",
    ":path": "/",
    ":authority": "host",
    ":scheme": "http",
    "x-forwarded-proto": "http",
  };
  return HeaderMap.of({ ...defaults, ...fields });
}

export function match(
  table: RouteTable,
  fields: Readonly<Record<string, string>> = {},
  random = 0n,
): ResolvedRoute | undefined {
  return table.match(requestOf(fields), { streamRandom: random, info: new StreamInfo() });
}

/** The cluster that a request goes to; undefined where it is not forwarded. */
export function clusterFor(
  table: RouteTable,
  fields: Readonly<Record<string, string>> = {},
  random = 0n,
): string | undefined {
  const route = match(table, fields, random);
  return route?.kind === "forward" ? route.clusterName : undefined;
}

/** The request as it leaves for upstream. */
export function finalized(
  table: RouteTable,
  fields: Readonly<Record<string, string>> = {},
  suppressEnvoyHeaders = false,
): HeaderMap {
  const headers = requestOf(fields);
  const info = new StreamInfo();
  const route = table.match(headers, { streamRandom: 0n, info }) as ForwardRoute;
  route.finalizeRequest(headers, { info, requestHeaders: headers.copy() }, suppressEnvoyHeaders);
  return headers;
}
