/** `proxy-config clusters`: istioctl's columns. */
import { at, istioConfigName, list, object, text, type ConfigDump, type Json } from "./config-dump.ts";
import { formatTable } from "./table.ts";

export function clustersTable(dump: ConfigDump): string {
  const section = dump.section("ClustersConfigDump");
  const clusters = [...list(section["static_clusters"]), ...list(section["dynamic_active_clusters"])].map((entry) =>
    object(object(entry)["cluster"]),
  );
  const rows = clusters.map(rowOf).toSorted((a, b) => a.join("\0").localeCompare(b.join("\0")));
  return formatTable(["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"], rows);
}

function rowOf(cluster: Json): readonly string[] {
  const name = text(cluster["name"]);
  const type = text(cluster["type"]) || text(at(cluster, "cluster_type.name")) || "STATIC";
  const rule = istioConfigName(cluster["metadata"]);
  const parts = name.split("|");
  if (parts.length !== 4) return [name, "-", "-", "-", type, rule];
  const [direction, port, subset, host] = parts;
  return [host ?? "", port ?? "", subset || "-", direction ?? "", type, rule];
}
