/** `proxy-config listeners`: istioctl's columns; a line a filter chain. */
import { at, list, object, text, type ConfigDump, type Json } from "./config-dump.ts";
import { formatTable } from "./table.ts";

export function listenersTable(dump: ConfigDump): string {
  const section = dump.section("ListenersConfigDump");
  const listeners = [
    ...list(section["static_listeners"]).map((entry) => object(object(entry)["listener"])),
    ...list(section["dynamic_listeners"]).map((entry) => object(at(entry, "active_state.listener"))),
  ];
  const rows = listeners
    .flatMap(rowsOf)
    .toSorted((a, b) => Number(a[1]) - Number(b[1]) || (a[0] ?? "").localeCompare(b[0] ?? ""));
  return formatTable(["ADDRESSES", "PORT", "MATCH", "DESTINATION"], rows, 1);
}

function rowsOf(listener: Json): readonly (readonly string[])[] {
  const address = text(at(listener, "address.socket_address.address"));
  const port = text(at(listener, "address.socket_address.port_value"));
  const chains = list(listener["filter_chains"]).map(object);
  const fallback = listener["default_filter_chain"];
  return [
    ...chains.map((chain) => [address, port, matchOf(object(chain["filter_chain_match"])), destinationOf(chain)]),
    ...(fallback === undefined ? [] : [[address, port, "ALL", destinationOf(object(fallback))]]),
  ];
}

function matchOf(match: Json): string {
  const parts: string[] = [];
  const names = list(match["server_names"]).map(text);
  if (names.length > 0) parts.push(`SNI: ${names.join(",")}`);
  const transport = text(match["transport_protocol"]);
  if (transport !== "") parts.push(`Trans: ${transport}`);
  const alpn = list(match["application_protocols"]).map(text);
  if (alpn.length > 0) parts.push(`App: ${alpn.join(",")}`);
  const ranges = list(match["prefix_ranges"]).map(
    (range) => `${text(at(range, "address_prefix"))}/${text(at(range, "prefix_len"))}`,
  );
  if (ranges.length > 0) parts.push(`Addr: ${ranges.join(",")}`);
  const port = text(match["destination_port"]);
  if (port !== "") parts.push(`Port: ${port}`);
  return parts.length === 0 ? "ALL" : parts.join("; ");
}

function destinationOf(chain: Json): string {
  for (const filter of list(chain["filters"]).map((entry) => object(object(entry)["typed_config"]))) {
    const type = text(filter["@type"]);
    if (type.endsWith(".HttpConnectionManager")) {
      const rds = text(at(filter, "rds.route_config_name"));
      if (rds !== "") return `Route: ${rds}`;
      const hosts = list(at(filter, "route_config.virtual_hosts")).flatMap((host) => list(object(host)["routes"]));
      const clusters = new Set(hosts.map((route) => text(at(route, "route.cluster"))).filter((name) => name !== ""));
      return clusters.size === 0 ? "Inline Route:" : `Inline Route: ${[...clusters].map(clusterWords).join(", ")}`;
    }
    if (type.endsWith(".TcpProxy")) {
      const weighted = list(at(filter, "weighted_clusters.clusters")).map((entry) => text(at(entry, "name")));
      const names = weighted.length > 0 ? weighted : [text(filter["cluster"])];
      return names.map(clusterWords).join(", ");
    }
  }
  return "Non-HTTP/Non-TCP";
}

function clusterWords(name: string): string {
  return name.startsWith("BlackHole") || name.startsWith("Passthrough") || name.startsWith("InboundPassthrough")
    ? name
    : `Cluster: ${name}`;
}
