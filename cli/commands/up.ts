/** `glassmesh up`: a mesh of real processes on this machine, from the manifests that people have. */
import { fileURLToPath } from "node:url";
import { formatProblem, MeshError } from "#lib/problem.ts";
import { listOption, readArguments, textOption, type ReadArguments } from "../arguments.ts";
import type { Command, CommandIo } from "../command.ts";
import { clockTime, EventLines, workloadTable } from "../local/console.ts";
import type { PlacedAddress } from "#control-plane/model/proxy-node.ts";
import { readFindings } from "../local/findings.ts";
import { followEvents } from "../local/event-stream.ts";
import { startSession, type MeshSession, type SessionOptions } from "../local/session.ts";
import { formatSecond, startTraffic, type Traffic } from "../local/traffic.ts";
import { endingSignals } from "../local/signals.ts";
import { namesByEndpoint } from "./call.ts";

const SHOP = fileURLToPath(new URL("../../examples/shop", import.meta.url));

const HELP = `glassmesh up -f PATH… [options]

A local mesh: control plane, a sidecar and an application for every workload of the manifests, all real processes.
A workload without a command in glassmesh.yaml is played by an echo server. Edits take effect at once.

  -f PATH             manifests: files and directories; may be repeated
  --shop              the example shop of this project, with live traffic
  --loopback SHAPE    addresses (each workload has its own 127.x.y.z), ports (everything on 127.0.0.1), or auto
  --trust-domain TD   cluster.local by default
  --workload-cert-ttl lifetime of workload certificates (24h)
  --cacerts DIR       a plugged-in CA in Istio's layout: ca-cert.pem, ca-key.pem, root-cert.pem, cert-chain.pem
  --data-plane WHICH  glassmesh (our proxy, the default), or envoy: a real Envoy for every sidecar, from the PATH
  --log-level LEVEL   of the sidecars (warning)

Ctrl-C ends everything.
`;

export const MESH_OPTIONS = {
  file: { type: "string", short: "f", multiple: true },
  loopback: { type: "string" },
  "trust-domain": { type: "string" },
  "workload-cert-ttl": { type: "string" },
  cacerts: { type: "string" },
  "log-level": { type: "string" },
  "data-plane": { type: "string" },
} as const;

export const up: Command = {
  name: "up",
  summary: "a local mesh from manifests, with hot reload",
  help: HELP,
  async run(args, io) {
    const startedAt = performance.now();
    const read = readArguments("up", args, { ...MESH_OPTIONS, shop: { type: "boolean" } });
    if (read.positionals.length > 0)
      throw new MeshError("usage", `"${read.positionals[0]}" is no option; manifests are given by -f`);
    const paths = [...listOption(read, "file"), ...(read.values["shop"] === true ? [SHOP] : [])];
    if (paths.length === 0) throw new MeshError("usage", "-f names the manifests; see `glassmesh up --help`");
    const ending = endingSignals();
    const session = await startSession(sessionOptions(read, paths, io));
    const console = openConsole(session, io, ending.signal, startedAt);
    try {
      const isUp = await session.runner.untilReady(ending.signal);
      if (isUp) {
        io.out(`${workloadTable(session.runner.file)}\n`);
        io.out(`the mesh is up after ${secondsSince(startedAt)} s; edit ${paths.join(", ")} and see; Ctrl-C ends it\n`);
        console.begin();
        await ending.ended;
      }
    } finally {
      io.out("\nending …\n");
      ending.end();
      await console.close();
      await session.stop();
      ending.close();
    }
    return 0;
  },
};

export function sessionOptions(read: ReadArguments, paths: readonly string[], io: CommandIo): SessionOptions {
  return {
    paths,
    cwd: io.cwd,
    env: io.env,
    loopback: textOption(read, "loopback") ?? io.env["GLASSMESH_LOOPBACK"] ?? "auto",
    trustDomain: textOption(read, "trust-domain") ?? "cluster.local",
    workloadCertTtl: textOption(read, "workload-cert-ttl"),
    cacerts: textOption(read, "cacerts"),
    logLevel: textOption(read, "log-level") ?? "warning",
    dataPlane: textOption(read, "data-plane") ?? "glassmesh",
    events: {
      onEnded: (name, how, log, pauseMs) =>
        io.err(`✗ ${name} ended (${how}); starting it again in ${pauseMs} ms\n${log === "" ? "" : `${log}\n`}`),
      onStarted: () => undefined,
    },
    onProblems: (problems) => {
      for (const problem of problems) io.err(`✗ ${formatProblem(problem)}\n`);
    },
  };
}

/** Changes come in bursts. */
const FINDINGS_AFTER_MS = 300;

interface Console {
  /** From here on traffic flows and every change is told. */
  begin(): void;
  close(): Promise<void>;
}

function openConsole(session: MeshSession, io: CommandIo, signal: AbortSignal, startedAt: number): Console {
  const lines = new EventLines();
  let traffic: Traffic | undefined;
  let timer: NodeJS.Timeout | undefined;
  const say = (said: readonly string[]): void => {
    for (const line of said) io.out(`${clockTime(Date.now())} ${line}\n`);
  };
  let look: NodeJS.Timeout | undefined;
  const debug = (): PlacedAddress => session.runner.file.controlPlane.debug;
  const following = followEvents(
    debug,
    (event) => {
      say(lines.linesOf(event));
      // Once the proxies have what is new for them, everything has been found that there is to find.
      if (event.type !== "ack" && event.type !== "connected") return;
      look ??= setTimeout(() => {
        look = undefined;
        void readFindings(debug()).then((findings) => say(lines.findingLines(findings)));
      }, FINDINGS_AFTER_MS);
    },
    signal,
  );
  session.onWorkloads(() => io.out(workloadTable(session.runner.file)));
  return {
    begin() {
      lines.begin();
      if (session.local.traffic.length === 0) return;
      traffic = startTraffic(
        session.local.traffic,
        () => session.runner.file,
        () => namesByEndpoint(session.runner.file),
        () => io.out(`the first request was answered after ${secondsSince(startedAt)} s\n`),
      );
      timer = setInterval(() => {
        if (traffic !== undefined)
          io.out(`${clockTime(Date.now())} ${formatSecond(traffic.takeSecond(), versioned(session))}\n`);
      }, 1000);
    },
    async close() {
      clearInterval(timer);
      clearTimeout(look);
      await traffic?.stop();
      await following;
    },
  };
}

/** Services behind which several Deployments stand: those whose split is worth a look. */
function versioned(session: MeshSession): ReadonlySet<string> {
  const { services, workloads } = session.runner.file;
  const several = services.filter((service) => {
    const names = service.endpoints.map(
      (endpoint) =>
        workloads.find((workload) =>
          workload.inbound.some(({ bind, app }) =>
            [bind, app].some((at) => at.address === endpoint.address && at.port === endpoint.port),
          ),
        )?.name,
    );
    return new Set(names).size > 1;
  });
  return new Set(several.map((service) => service.name));
}

function secondsSince(startedAt: number): string {
  return ((performance.now() - startedAt) / 1000).toFixed(1);
}
