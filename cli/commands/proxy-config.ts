/** `glassmesh proxy-config`: what a proxy has, in istioctl's tables; from a running mesh or from a saved dump. */
import { readFileSync } from "node:fs";
import { request } from "undici";
import { stringify } from "yaml";
import { MeshError } from "#lib/problem.ts";
import type { PlacedAddress } from "#control-plane/model/proxy-node.ts";
import { readArguments, textOption } from "../arguments.ts";
import type { Command } from "../command.ts";
import { findMesh, findWorkload } from "../local/mesh-file.ts";
import { clustersTable } from "../tables/clusters.ts";
import { readConfigDump } from "../tables/config-dump.ts";
import { endpointsTable } from "../tables/endpoints.ts";
import { listenersTable } from "../tables/listeners.ts";
import { routesTable } from "../tables/routes.ts";
import { secretsTable } from "../tables/secrets.ts";

const HELP = `glassmesh proxy-config KIND WORKLOAD[.NAMESPACE] [options]

What a sidecar has been told, as istioctl prints it.

  KIND            clusters | listeners | routes | endpoints | secret | bootstrap | all
                  (istioctl's short names work: c, l, r, ep, s, b)
  -f FILE         read a saved /config_dump (for endpoints: /clusters?format=json) instead of a running proxy
  -o FORMAT       short (a table; the default), json or yaml
`;

const KINDS: Readonly<Record<string, Kind>> = {
  cluster: "clusters",
  clusters: "clusters",
  c: "clusters",
  listener: "listeners",
  listeners: "listeners",
  l: "listeners",
  route: "routes",
  routes: "routes",
  r: "routes",
  endpoint: "endpoints",
  endpoints: "endpoints",
  ep: "endpoints",
  secret: "secret",
  s: "secret",
  bootstrap: "bootstrap",
  b: "bootstrap",
  all: "all",
};

type Kind = "clusters" | "listeners" | "routes" | "endpoints" | "secret" | "bootstrap" | "all";

const SECTIONS: Readonly<Record<Exclude<Kind, "endpoints" | "all">, string>> = {
  clusters: "ClustersConfigDump",
  listeners: "ListenersConfigDump",
  routes: "RoutesConfigDump",
  secret: "SecretsConfigDump",
  bootstrap: "BootstrapConfigDump",
};

export const proxyConfig: Command = {
  name: "proxy-config",
  aliases: ["pc"],
  summary: "what a proxy has: clusters, listeners, routes, endpoints, secret, bootstrap",
  help: HELP,
  async run(args, io) {
    const read = readArguments("proxy-config", args, {
      file: { type: "string", short: "f" },
      output: { type: "string", short: "o" },
    });
    const [word = "", name, ...more] = read.positionals;
    const kind = KINDS[word];
    if (kind === undefined)
      throw new MeshError(
        "usage",
        `proxy-config takes clusters, listeners, routes, endpoints, secret, bootstrap or all, not "${word}"`,
      );
    const file = textOption(read, "file");
    if (more.length > 0 || (name === undefined) !== (file !== undefined)) {
      throw new MeshError("usage", "proxy-config takes one workload, or -f FILE; see `glassmesh proxy-config --help`");
    }
    const format = textOption(read, "output") ?? "short";
    if (!["short", "json", "yaml"].includes(format))
      throw new MeshError("usage", `-o takes short, json or yaml, not "${format}"`);
    const load = async (path: string): Promise<unknown> => {
      if (file !== undefined) return readJson(file);
      const workload = findWorkload(findMesh(io.env, io.cwd), name ?? "");
      if (workload.sidecar === undefined)
        throw new MeshError("no-sidecar", `${workload.pod}.${workload.namespace} has no sidecar`);
      return fetchJson(workload.sidecar.admin, path);
    };
    io.out(await render(kind, format, load));
    return 0;
  },
};

async function render(kind: Kind, format: string, load: (path: string) => Promise<unknown>): Promise<string> {
  if (kind === "endpoints") {
    const clusters = await load("/clusters?format=json");
    return format === "short" ? endpointsTable(clusters) : structured(clusters, format);
  }
  const value = await load(kind === "all" ? "/config_dump?include_eds" : "/config_dump");
  const dump = readConfigDump(value);
  if (kind === "all") {
    if (format !== "short") return structured(value, format);
    return [clustersTable(dump), listenersTable(dump), routesTable(dump), secretsTable(dump, Date.now())].join("\n");
  }
  if (kind === "bootstrap" || format !== "short")
    return structured(dump.section(SECTIONS[kind]), format === "short" ? "json" : format);
  switch (kind) {
    case "clusters":
      return clustersTable(dump);
    case "listeners":
      return listenersTable(dump);
    case "routes":
      return routesTable(dump);
    case "secret":
      return secretsTable(dump, Date.now());
  }
}

function structured(value: unknown, format: string): string {
  return format === "yaml" ? stringify(value) : `${JSON.stringify(value, undefined, 4)}\n`;
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new MeshError(
      "unreadable-file",
      `${file} can't be read as JSON: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

async function fetchJson({ address, port }: PlacedAddress, path: string): Promise<unknown> {
  try {
    const response = await request(`http://${address}:${port}${path}`);
    return await response.body.json();
  } catch (error) {
    throw new MeshError(
      "no-answer",
      `the proxy's admin page at ${address}:${port} does not answer: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
