/** `glassmesh proxy-status`: how far each proxy is, as istioctl prints it. */
import { request } from "undici";
import { MeshError } from "#lib/problem.ts";
import { readArguments, textOption } from "../arguments.ts";
import type { Command } from "../command.ts";
import { findMesh } from "../local/mesh-file.ts";
import { list, object, text } from "../tables/config-dump.ts";
import { formatTable } from "../tables/table.ts";

const HELP = `glassmesh proxy-status [options]

How far each proxy is with each kind of resource: SYNCED (acknowledged), STALE (sent, not yet acknowledged),
NACK (refused; the reason stands below), NOT SENT (nothing to send), IGNORED (never asked for).
Extensions that a proxy says it lacks and that were left out for it are named below.

  -o FORMAT       short (a table; the default) or json
`;

export const proxyStatus: Command = {
  name: "proxy-status",
  aliases: ["ps"],
  summary: "which proxies have acknowledged what",
  help: HELP,
  async run(args, io) {
    const read = readArguments("proxy-status", args, { output: { type: "string", short: "o" } });
    const format = textOption(read, "output") ?? "short";
    if (format !== "short" && format !== "json")
      throw new MeshError("usage", `-o takes short or json, not "${format}"`);
    const { address, port } = findMesh(io.env, io.cwd).controlPlane.debug;
    let status: unknown;
    try {
      const response = await request(`http://${address}:${port}/debug/syncz`);
      status = await response.body.json();
    } catch (error) {
      throw new MeshError(
        "no-answer",
        `the control plane at ${address}:${port} does not answer: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    io.out(format === "json" ? `${JSON.stringify(status, undefined, 4)}\n` : statusTable(status));
    return 0;
  },
};

const TYPES = ["CDS", "LDS", "EDS", "RDS"] as const;

/** From `/debug/syncz`: a line a proxy, then the reasons of what was refused, and what was left out. */
export function statusTable(status: unknown): string {
  const proxies = list(status)
    .map(object)
    .toSorted((a, b) => text(a["proxy"]).localeCompare(text(b["proxy"])));
  const rows = proxies.map((proxy) => [
    text(proxy["proxy"]),
    text(proxy["cluster_id"]),
    ...TYPES.map((type) => wordOf(object(object(proxy["types"])[type]))),
    text(proxy["istiod"]) || text(proxy["control_plane"]),
    text(proxy["proxy_version"]) || text(proxy["istio_version"]),
  ]);
  const refusals = proxies.flatMap((proxy) =>
    TYPES.flatMap((type) => {
      const detail = text(object(object(proxy["types"])[type])["error_detail"]);
      return detail === "" ? [] : [`${text(proxy["proxy"])} refused ${type}: ${detail}\n`];
    }),
  );
  const leftOut = proxies.flatMap((proxy) => {
    const names = list(proxy["left_out"]).map(text);
    return names.length === 0 ? [] : [`${text(proxy["proxy"])} lacks ${names.join(", ")}: left out\n`];
  });
  return formatTable(["NAME", "CLUSTER", ...TYPES, "ISTIOD", "VERSION"], rows) + refusals.join("") + leftOut.join("");
}

function wordOf(type: Readonly<Record<string, unknown>>): string {
  return text(type["status"]) || "IGNORED";
}
