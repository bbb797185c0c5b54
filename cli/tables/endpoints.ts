/** `proxy-config endpoints`: istioctl's columns, from `/clusters?format=json`. */
import { at, list, object, text } from "./config-dump.ts";
import { formatTable } from "./table.ts";

export function endpointsTable(clusters: unknown): string {
  const rows = list(object(clusters)["cluster_statuses"])
    .map(object)
    .flatMap((cluster) =>
      list(cluster["host_statuses"]).map((host) => {
        const address = text(at(host, "address.socket_address.address"));
        const port = text(at(host, "address.socket_address.port_value"));
        const eds = text(at(host, "health_status.eds_health_status")) || "UNKNOWN";
        const ejected = at(host, "health_status.failed_outlier_check") === true;
        return [
          address === "" ? text(at(host, "address.pipe.path")) : `${address}:${port}`,
          eds,
          ejected ? "FAILED" : "OK",
          text(cluster["name"]),
        ];
      }),
    )
    .toSorted(
      (a, b) =>
        (a[0] ?? "").localeCompare(b[0] ?? "", undefined, { numeric: true }) || (a[3] ?? "").localeCompare(b[3] ?? ""),
    );
  return formatTable(["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"], rows);
}
