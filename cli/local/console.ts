/** What `up` says while it runs. Pure: events and states in, lines out. */
import { formatTable } from "../tables/table.ts";
import type { MeshEvent } from "./event-stream.ts";
import type { MeshFile, RunningServer } from "./mesh-file.ts";

/** The table of what runs where. */
export function workloadTable(mesh: MeshFile): string {
  const rows = mesh.workloads.map((workload) => {
    const first = workload.inbound[0];
    const address =
      first === undefined ? workload.ip : workload.sidecar === undefined ? join(first.app) : join(first.bind);
    const { sidecar } = workload;
    return [
      `${workload.pod}.${workload.namespace}`,
      address,
      sidecar?.spiffeId ?? "(no sidecar)",
      sidecar === undefined ? "-" : `http://${join(sidecar.admin)}`,
      sidecar?.pid === undefined ? "-" : String(sidecar.pid),
      workload.servers !== undefined ? "(gateway)" : workload.app?.pid === undefined ? "-" : String(workload.app.pid),
    ];
  });
  const table = formatTable(["WORKLOAD", "ADDRESS", "SPIFFE ID", "SIDECAR ADMIN", "SIDECAR PID", "APP PID"], rows, 3);
  const ways = waysIn(mesh);
  return ways.length === 0 ? table : `${table}\n${ways.map((way) => `${way}\n`).join("")}`;
}

/** For each server of each gateway how it is called from this machine. */
export function waysIn(mesh: MeshFile): readonly string[] {
  const lines = mesh.workloads.flatMap(({ name, namespace, servers }) =>
    (servers ?? []).map((server) => {
      const mode = server.tlsMode === undefined ? "" : ` ${server.tlsMode}`;
      return `${name}.${namespace} ${server.protocol} ${server.port}${mode} (${server.hosts.join(", ")}): ${wayTo(server)}`;
    }),
  );
  return [...new Set(lines)];
}

function wayTo(server: RunningServer): string {
  const { bind, protocol, tlsMode, hosts } = server;
  // Any name under a wildcard will do.
  const host = (hosts[0] ?? "*").replace(/^\*$/, "example.com").replace(/^\*/, "www");
  if (tlsMode === "ISTIO_MUTUAL" || tlsMode === "AUTO_PASSTHROUGH") return "for workloads of the mesh";
  if (tlsMode !== undefined) {
    const files = tlsMode === "MUTUAL" ? " --cert CLIENT.crt --key CLIENT.key" : "";
    return `curl -k${files} --resolve ${host}:${bind.port}:${bind.address} https://${host}:${bind.port}/`;
  }
  const isHttp = protocol.startsWith("HTTP") || protocol.startsWith("GRPC");
  return isHttp ? `curl -H 'Host: ${host}' http://${join(bind)}/` : `connect to ${join(bind)}`;
}

function join({ address, port }: { readonly address: string; readonly port: number }): string {
  return `${address}:${port}`;
}

/**
 * Turns the control plane's events into lines. Acknowledgements of one configuration are gathered: a line when all
 * proxies that were pushed have answered, naming them.
 */
export class EventLines {
  /** Proxy → resource types pushed and not yet answered. */
  readonly #open = new Map<string, Set<string>>();
  #acknowledged = new Map<string, Set<string>>();
  #isQuiet = true;
  #known: ReadonlySet<string> = new Set();
  /** Findings about proxies. */
  #found: ReadonlySet<string> = new Set();

  /** Until this is called nothing is said of pushes: at the start everybody gets everything. */
  begin(): void {
    this.#isQuiet = false;
    this.#acknowledged = new Map();
  }

  linesOf(event: MeshEvent): readonly string[] {
    switch (event.type) {
      case "config":
        return this.#configLines(event);
      case "push":
        this.#opened(text(event["proxy"]), text(event["resourceType"]));
        return [];
      case "ack":
        return this.#answered(text(event["proxy"]), text(event["resourceType"]));
      case "nack":
        return [
          `✗ ${text(event["proxy"])} refused ${text(event["resourceType"])}: ${text(event["detail"])} (it keeps what it had)`,
          ...this.#answered(text(event["proxy"]), ""),
        ];
      default:
        return [];
    }
  }

  /** Each finding is told once, and again when it comes back. */
  #configLines(event: MeshEvent): readonly string[] {
    const problems = Array.isArray(event["problems"])
      ? event["problems"].map((problem: unknown) => problemLine(problem))
      : [];
    const said = problems.filter((line) => line !== "" && !this.#known.has(line));
    this.#known = new Set(problems);
    if (this.#isQuiet) return said;
    const refused = event["accepted"] === false;
    const head = refused ? "✗ something is refused; what it replaces stays in force" : "✓ configuration read";
    return [...said, head];
  }

  /** What translating for the proxies has brought up beside; told once, and again when it comes back. */
  findingLines(findings: readonly unknown[]): readonly string[] {
    const all = findings.map(problemLine).filter((line) => line !== "");
    const fresh = all.filter((line) => !this.#known.has(line) && !this.#found.has(line));
    this.#found = new Set(all);
    return fresh;
  }

  #opened(proxy: string, type: string): void {
    if (this.#isQuiet) return;
    const types = this.#open.get(proxy) ?? new Set();
    types.add(type);
    this.#open.set(proxy, types);
  }

  #answered(proxy: string, type: string): readonly string[] {
    const types = this.#open.get(proxy);
    if (types === undefined) return [];
    if (type === "") types.clear();
    else if (types.delete(type)) {
      const done = this.#acknowledged.get(proxy) ?? new Set();
      done.add(type);
      this.#acknowledged.set(proxy, done);
    }
    if (types.size === 0) this.#open.delete(proxy);
    if (this.#open.size > 0 || this.#acknowledged.size === 0) return [];
    const names = [...this.#acknowledged]
      .map(([name, acked]) => `${name} (${[...acked].toSorted().join(", ")})`)
      .toSorted();
    this.#acknowledged = new Map();
    return [`✓ acknowledged by ${names.join(", ")}`];
  }
}

function problemLine(problem: unknown): string {
  if (typeof problem === "string") return problem;
  if (typeof problem !== "object" || problem === null) return "";
  const { level, text: formatted } = problem as { readonly level?: unknown; readonly text?: unknown };
  const mark = level === "error" ? "✗" : level === "warning" ? "!" : "·";
  return typeof formatted === "string" ? `${mark} ${formatted}` : "";
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function clockTime(ms: number): string {
  return new Date(ms).toTimeString().slice(0, 8);
}
