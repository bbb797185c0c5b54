/** A mesh of real processes for a test: manifests in, calls out. Ends with the test file. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { request } from "undici";
import { afterAll } from "vitest";
import { formatProblem } from "#lib/problem.ts";
import { runCommand } from "#cli/main.ts";
import type { CallReport } from "#cli/commands/call.ts";
import { startSession, type MeshSession } from "#cli/local/session.ts";
import { findWorkload, type RunningWorkload } from "#cli/local/mesh-file.ts";

export interface TestMesh {
  readonly session: MeshSession;
  readonly directory: string;
  /** Everything that was said of problems and of processes that ended. */
  readonly said: string[];
  /** Writes a manifest file into the mesh's folder. */
  write(file: string, yaml: string): void;
  remove(file: string): void;
  workload(name: string): RunningWorkload;
  /** `glassmesh call --json`; `gateway:NAME` sends from outside through that gateway. */
  call(from: string, url: string, ...flags: string[]): Promise<CallReport>;
  /** Any command of the command line, inside this mesh. */
  run(...argv: string[]): Promise<{ code: number; out: string; err: string }>;
  admin(workload: string, path: string): Promise<string>;
  /** Talks to an application directly, past its sidecar. */
  app(workload: string, method: string, path: string): Promise<string>;
}

export interface TestMeshOptions {
  readonly workloadCertTtl?: string;
  readonly loopback?: string;
  readonly dataPlane?: "glassmesh" | "envoy";
  readonly cacerts?: string;
}

/** Starts it and waits until everything is ready. */
export async function testMesh(
  files: Readonly<Record<string, string>>,
  options: TestMeshOptions = {},
): Promise<TestMesh> {
  const home = mkdtempSync(join(tmpdir(), "glassmesh-test-"));
  const directory = join(home, "manifests");
  const said: string[] = [];
  const env = { ...process.env, GLASSMESH_HOME: home, GLASSMESH_MESH: undefined };
  mkdirSync(directory);
  for (const [file, yaml] of Object.entries(files)) writeFileSync(join(directory, file), yaml);
  const session = await startSession({
    paths: [directory],
    cwd: home,
    env,
    loopback: options.loopback ?? process.env["GLASSMESH_LOOPBACK"] ?? "auto",
    trustDomain: "cluster.local",
    workloadCertTtl: options.workloadCertTtl,
    cacerts: options.cacerts,
    logLevel: "warning",
    dataPlane: options.dataPlane ?? process.env["GLASSMESH_DATA_PLANE"] ?? "glassmesh",
    events: {
      onEnded: (name, how, log) => void said.push(`${name} ended: ${how}\n${log}`),
      onStarted: () => undefined,
    },
    onProblems: (problems) => void said.push(...problems.map(formatProblem)),
  });
  afterAll(async () => {
    const refused = await refusals(session);
    await session.stop();
    rmSync(home, { recursive: true, force: true });
    if (refused.length > 0) throw new Error(`proxies refused configuration:\n${refused.join("\n")}`);
  });
  if (!(await session.runner.untilReady(AbortSignal.timeout(60_000)))) {
    throw new Error(`the mesh is not ready: ${said.join("\n")}\n${session.lastWords()}`);
  }
  const inside = { ...env, GLASSMESH_MESH: session.meshFile };
  const mesh: TestMesh = {
    session,
    directory,
    said,
    write: (file, yaml) => writeFileSync(join(directory, file), yaml),
    remove: (file) => rmSync(join(directory, file), { force: true }),
    workload: (name) => findWorkload(session.runner.file, name),
    async call(from, url, ...flags) {
      const [way, name] = from.startsWith("gateway:") ? ["--gateway", from.slice("gateway:".length)] : ["--from", from];
      const { out, err } = await mesh.run("call", way, name, url, "--json", ...flags);
      if (out === "") throw new Error(`glassmesh call said nothing: ${err}`);
      return JSON.parse(out) as CallReport;
    },
    async run(...argv) {
      let out = "";
      let err = "";
      const code = await runCommand(argv, {
        cwd: home,
        env: inside,
        out: (text) => void (out += text),
        err: (text) => void (err += text),
      });
      return { code, out, err };
    },
    async admin(name, path) {
      const { sidecar } = mesh.workload(name);
      if (sidecar === undefined) throw new Error(`${name} has no sidecar`);
      const response = await request(`http://${sidecar.admin.address}:${sidecar.admin.port}${path}`);
      return await response.body.text();
    },
    async app(name, method, path) {
      const app = mesh.workload(name).inbound[0]?.app;
      if (app === undefined) throw new Error(`${name} has no port`);
      const response = await request(`http://${app.address}:${app.port}${path}`, { method: method as "GET" });
      return await response.body.text();
    },
  };
  return mesh;
}

/** What proxies have refused and not taken back since, by the control plane's own account. */
async function refusals({ runner }: MeshSession): Promise<readonly string[]> {
  const { address, port } = runner.file.controlPlane.debug;
  const response = await request(`http://${address}:${port}/debug/syncz`).catch(() => undefined);
  const proxies = (await response?.body.json()) as
    | readonly { proxy: string; types?: Readonly<Record<string, { error_detail?: string }>> }[]
    | undefined;
  return (proxies ?? []).flatMap(({ proxy, types = {} }) =>
    Object.entries(types).flatMap(([type, { error_detail: detail = "" }]) =>
      detail === "" ? [] : [`${proxy} ${type}: ${detail}`],
    ),
  );
}

/** A Deployment with one port. */
export function deployment(
  name: string,
  options: {
    readonly app?: string;
    readonly version?: string;
    readonly port?: number | undefined;
    readonly inject?: boolean;
    readonly replicas?: number;
  } = {},
): string {
  const { app = name, version = "v1", port = 8080, inject = true, replicas = 1 } = options;
  return `
apiVersion: v1
kind: ServiceAccount
metadata: { name: ${app} }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name} }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: ${app}, version: ${version} } }
  template:
    metadata:
      labels: { app: ${app}, version: ${version}${inject ? "" : ', sidecar.istio.io/inject: "false"'} }
    spec:
      serviceAccountName: ${app}
      containers:
        - name: app
          image: none
          ${port === undefined ? "" : `ports: [{ containerPort: ${port} }]`}
---
`;
}

export function service(
  name: string,
  options: {
    readonly app?: string;
    readonly portName?: string;
    readonly port?: number;
    readonly targetPort?: number;
  } = {},
): string {
  const { app = name, portName = "http", port = 80, targetPort = 8080 } = options;
  return `
apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec: { selector: { app: ${app} }, ports: [{ name: ${portName}, port: ${port}, targetPort: ${targetPort} }] }
---
`;
}

export function virtualService(host: string, http: string): string {
  return `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${host} }
spec:
  hosts: [${host}]
  http:
${http.replace(/^/gm, "    ")}
---
`;
}

export function destinationRule(host: string, spec: string): string {
  return `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ${host} }
spec:
  host: ${host}
${spec.replace(/^/gm, "  ")}
---
`;
}

export const versions = `subsets:
- { name: v1, labels: { version: v1 } }
- { name: v2, labels: { version: v2 } }`;
