/** EnvoyFilter patches of route configurations, virtual hosts and routes. */
import type { JsonObject } from "../json.ts";
import type { PatchContext } from "../spec/envoy-filter.ts";
import { editedList, listOf } from "./edit-list.ts";
import { mergedMessage } from "./merge-message.ts";
import { holdsIn, type Patch, type Patches } from "./patches.ts";

const ROUTE_PACKAGE = "envoy.config.route.v3.";

export interface RoutePlace {
  readonly context: PatchContext;
  /** Of a gateway: the service ports that lead to a container port. */
  readonly servicePorts?: (containerPort: number) => readonly number[] | undefined;
}

export function patchedRoutes(patches: Patches, place: RoutePlace, configuration: JsonObject): JsonObject {
  const name = String(configuration["name"]);
  const of = (kind: "ROUTE_CONFIGURATION" | "VIRTUAL_HOST" | "HTTP_ROUTE"): readonly Patch[] =>
    (patches.get(kind) ?? []).filter(
      (patch) => holdsIn(place.context, patch) && configurationMatches(place, name, patch),
    );
  let result = configuration;
  for (const { operation, value } of of("ROUTE_CONFIGURATION")) {
    if (operation === "MERGE") result = mergedMessage(`${ROUTE_PACKAGE}RouteConfiguration`, result, value);
  }
  const [hostPatches, routePatches] = [of("VIRTUAL_HOST"), of("HTTP_ROUTE")];
  if (hostPatches.length === 0 && routePatches.length === 0) return result;
  const hosts = listOf(result["virtualHosts"])
    .map((host) => patchedHost(hostPatches, routePatches, place, host))
    .filter((host) => host !== undefined);
  const added = hostPatches.filter(({ operation }) => operation === "ADD").map(({ value }) => value);
  return { ...result, virtualHosts: [...hosts, ...added] };
}

function configurationMatches({ context, servicePorts }: RoutePlace, name: string, { match }: Patch): boolean {
  const wanted = match.routeConfiguration;
  if (wanted === undefined || context === "WAYPOINT") return true;
  const number = wanted.portNumber ?? 0;
  if (context !== "GATEWAY") {
    const isNamed = (wanted.name ?? "") === "" || wanted.name === name || wanted.name === placedPort(name);
    return isNamed && (number === 0 || number === sidecarPort(name));
  }
  if ((wanted.name ?? "") !== "" && wanted.name !== name) return false;
  const route = gatewayRoute(name);
  if ((wanted.portName ?? "") !== "" && wanted.portName !== route.portName) return false;
  if ((wanted.gateway ?? "") !== "" && wanted.gateway !== route.gateway) return false;
  return number === 0 || (servicePorts?.(route.port)?.includes(number) ?? route.port === number);
}

function sidecarPort(name: string): number {
  return Number(name.startsWith("inbound|") ? name.split("|")[1] : (placedPort(name) ?? name));
}

/** Where every service port has its own listener, routes are called `host:80`, and stand for what is `80` elsewhere. */
function placedPort(name: string): string | undefined {
  return /^[^|]*:(\d+)$/.exec(name)?.[1];
}

/** `http.8080`, `https.443.https.gateway.namespace`. */
function gatewayRoute(name: string): { readonly port: number; readonly portName: string; readonly gateway: string } {
  const [kind, port = "", portName = "", gateway = "", namespace = ""] = name.split(".");
  if (kind !== "https") return { port: Number(port), portName: "", gateway: "" };
  return { port: Number(port), portName, gateway: `${namespace}/${gateway}` };
}

function patchedHost(
  patches: readonly Patch[],
  routePatches: readonly Patch[],
  place: RoutePlace,
  host: JsonObject,
): JsonObject | undefined {
  let result = host;
  for (const patch of patches) {
    if (!hostMatches(result, patch)) continue;
    if (patch.operation === "REMOVE") return undefined;
    if (patch.operation === "MERGE") result = mergedMessage(`${ROUTE_PACKAGE}VirtualHost`, result, patch.value);
    if (patch.operation === "REPLACE") result = patch.value;
  }
  const ofHost = routePatches.filter((patch) => hostMatches(result, patch));
  if (ofHost.length === 0) return result;
  const merged = listOf(result["routes"])
    .map((route) => patchedRoute(ofHost, place, route))
    .filter((route) => route !== undefined);
  let routes: readonly JsonObject[] = merged;
  for (const patch of ofHost) routes = withAdded(routes, patch, place);
  return { ...result, routes };
}

function hostMatches(host: JsonObject, { match }: Patch): boolean {
  const wanted = match.routeConfiguration?.vhost;
  if (wanted === undefined) return true;
  const isNamed = (wanted.name ?? "") === "" || wanted.name === host["name"];
  const domains = Array.isArray(host["domains"]) ? (host["domains"] as readonly unknown[]) : [];
  return isNamed && ((wanted.domainName ?? "") === "" || domains.includes(wanted.domainName));
}

function patchedRoute(patches: readonly Patch[], place: RoutePlace, route: JsonObject): JsonObject | undefined {
  let result = route;
  for (const patch of patches) {
    if (!routeMatches(place, result, patch)) continue;
    if (patch.operation === "REMOVE") return undefined;
    if (patch.operation === "MERGE") result = mergedMessage(`${ROUTE_PACKAGE}Route`, result, patch.value);
  }
  return result;
}

function withAdded(routes: readonly JsonObject[], patch: Patch, place: RoutePlace): readonly JsonObject[] {
  const { operation } = patch;
  if (operation === "REMOVE" || operation === "REPLACE" || operation === "MERGE") return routes;
  const isMatched = namesRoute(place, patch) ? (route: JsonObject) => routeMatches(place, route, patch) : undefined;
  // A route that is not there takes the insertion with it.
  if (operation === "INSERT_FIRST" && isMatched !== undefined && !routes.some(isMatched)) return routes;
  return editedList(routes, patch, isMatched);
}

function namesRoute({ context }: RoutePlace, { match }: Patch): boolean {
  if (context === "WAYPOINT") return match.waypoint?.route !== undefined;
  return match.routeConfiguration?.vhost?.route !== undefined;
}

const ACTIONS = { ROUTE: "route", REDIRECT: "redirect", DIRECT_RESPONSE: "directResponse" } as const;

function routeMatches({ context }: RoutePlace, route: JsonObject, { match }: Patch): boolean {
  if (context === "WAYPOINT") {
    const name = match.waypoint?.route?.name ?? "";
    return name === "" || name === route["name"];
  }
  const wanted = match.routeConfiguration?.vhost?.route;
  if (wanted === undefined) return true;
  if ((wanted.name ?? "") !== "" && wanted.name !== route["name"]) return false;
  const action = wanted.action ?? "ANY";
  const known = Object.values(ACTIONS).some((field) => route[field] !== undefined);
  return action === "ANY" || !known || route[ACTIONS[action]] !== undefined;
}
