/** `proxy-config routes`: istioctl's columns; a line a route. */
import { at, istioConfigName, list, object, text, type ConfigDump, type Json } from "./config-dump.ts";
import { formatTable } from "./table.ts";

export function routesTable(dump: ConfigDump): string {
  const section = dump.section("RoutesConfigDump");
  const tables = [...list(section["static_route_configs"]), ...list(section["dynamic_route_configs"])].map((entry) =>
    object(object(entry)["route_config"]),
  );
  const rows = tables
    .toSorted((a, b) => text(a["name"]).localeCompare(text(b["name"]), undefined, { numeric: true }))
    .flatMap((table) => list(table["virtual_hosts"]).flatMap((host) => rowsOf(text(table["name"]), object(host))));
  return formatTable(["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"], rows);
}

function rowsOf(table: string, host: Json): readonly (readonly string[])[] {
  const domains = list(host["domains"]).map(text);
  const shown =
    domains.length <= 2 ? domains.join(", ") : `${domains[0]}, ${domains[1]} + ${domains.length - 2} more...`;
  return list(host["routes"]).map((route) => [
    table,
    text(host["name"]),
    shown,
    matchOf(object(object(route)["match"])),
    istioConfigName(object(route)["metadata"]) || targetOf(object(route)),
  ]);
}

function matchOf(match: Json): string {
  const path =
    text(match["path"]) ||
    (text(match["prefix"]) === "" ? "" : `${text(match["prefix"])}*`) ||
    (text(match["path_separated_prefix"]) === "" ? "" : `PathPrefix:${text(match["path_separated_prefix"])}`) ||
    text(at(match, "safe_regex.regex"));
  const headers = list(match["headers"]).map((header) => `${text(at(header, "name"))}`);
  return headers.length === 0 ? path : `${path} (${headers.join(",")})`;
}

function targetOf(route: Json): string {
  const status = text(at(route, "direct_response.status"));
  return status === "" ? "" : status === "404" || status === "502" ? status : `direct ${status}`;
}
