/** `glassmesh xds`: everything that the control plane would send to a proxy, from files alone. */
import { stringify } from "yaml";
import { formatProblem, MeshError, type Problem } from "#lib/problem.ts";
import { injectedNode, type InjectedProxy } from "#control-plane/model/injected-node.ts";
import type { MeshIndex } from "#control-plane/model/mesh-index.ts";
import { proxyNodeFrom, withMesh } from "#control-plane/model/proxy-node-from.ts";
import { createTranslator } from "#control-plane/translate/translator.ts";
import type { ProxyConfigSnapshot } from "#control-plane/translate/types.ts";
import { listOption, readArguments, textOption } from "../arguments.ts";
import type { Command } from "../command.ts";
import { proxyOfWorkload, readProxies } from "../offline/proxies.ts";
import { readMesh } from "../offline/read-objects.ts";

const HELP = `glassmesh xds -f PATH… (--workload NAME[.NAMESPACE] | --proxies FILE) [options]

The whole configuration that the control plane would send to a proxy, without a mesh: clusters, endpoints, listeners
and routes in proto3 JSON, with a name table and extension configurations where there are any. What of the manifests
is refused or has no effect is said on stderr.

  -f, --file PATH      manifests: files or directories; may be given many times
  --workload NAME.NS   a Pod, Deployment or StatefulSet of the manifests
  --proxies FILE       a YAML list of proxies (name, namespace, ip, labels, …): then one answer a proxy, by its name
  --mesh-config FILE   MeshConfig, over what the manifests say
  --cluster NAME=PATH  the objects of another cluster of the mesh; may be given many times
  -o FORMAT            json (the default) or yaml
`;

export const xds: Command = {
  name: "xds",
  summary: "what the control plane would send to a proxy, from files alone",
  help: HELP,
  async run(args, io) {
    const read = readArguments("xds", args, {
      file: { type: "string", short: "f", multiple: true },
      workload: { type: "string" },
      proxies: { type: "string" },
      "mesh-config": { type: "string" },
      cluster: { type: "string", multiple: true },
      output: { type: "string", short: "o" },
    });
    const format = textOption(read, "output") ?? "json";
    if (format !== "json" && format !== "yaml") throw new MeshError("usage", `-o takes json or yaml, not "${format}"`);
    const paths = [...listOption(read, "file"), ...read.positionals];
    if (paths.length === 0) throw new MeshError("usage", "-f names the manifests; see `glassmesh xds --help`");
    const workload = textOption(read, "workload");
    const proxiesFile = textOption(read, "proxies");
    if ((workload === undefined) === (proxiesFile === undefined)) {
      throw new MeshError(
        "usage",
        "either --workload or --proxies says whose configuration; see `glassmesh xds --help`",
      );
    }
    const clusters = listOption(read, "cluster").map(clusterOption);
    const mesh = await readMesh({ paths, meshConfigFile: textOption(read, "mesh-config"), clusters });
    const said = new Set<string>();
    const tell = (problems: readonly Problem[]): void => {
      for (const text of problems.map(formatProblem)) {
        if (!said.has(text)) io.err(`${text}\n`);
        said.add(text);
      }
    };
    tell(mesh.problems);
    const answer = (proxy: InjectedProxy): unknown => {
      const snapshot = snapshotFor(mesh, proxy);
      tell(snapshot.problems);
      return printed(snapshot);
    };
    const result =
      proxiesFile === undefined
        ? answer(proxyOfWorkload(workload ?? "", mesh))
        : Object.fromEntries((await readProxies(proxiesFile, mesh)).map((proxy) => [proxy.name, answer(proxy)]));
    io.out(format === "json" ? `${JSON.stringify(result, undefined, 2)}\n` : stringify(result));
    return 0;
  },
};

function clusterOption(text: string): { readonly name: string; readonly path: string } {
  const equals = text.indexOf("=");
  if (equals <= 0) throw new MeshError("usage", `--cluster takes NAME=PATH, not "${text}"`);
  return { name: text.slice(0, equals), path: text.slice(equals + 1) };
}

function snapshotFor(mesh: MeshIndex, proxy: InjectedProxy): ProxyConfigSnapshot {
  const { value, problems } = proxyNodeFrom(injectedNode(mesh, proxy));
  if (value === undefined) throw new MeshError("invalid-proxies", `proxy ${proxy.name} can't be described`, problems);
  return createTranslator().snapshot(mesh, withMesh(value, mesh).node);
}

function printed(snapshot: ProxyConfigSnapshot): unknown {
  return Object.fromEntries(
    Object.entries(snapshot).filter(([name, value]) => name !== "problems" && value !== undefined),
  );
}
