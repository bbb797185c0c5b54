/** gRPC's own xDS client, in a process of its own, against the control plane: no proxy anywhere. */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createMemorySource } from "#control-plane/config/memory-source.ts";
import { createControlPlane, type BoundPorts } from "#control-plane/server.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";

const WAIT = { timeout: 20_000, interval: 50 };
const CLIENT = fileURLToPath(new URL("proxyless-client.ts", import.meta.url));
const ECHO = "echo.default.svc.cluster.local:7070";
type Answers = Readonly<Record<string, number>>;

const bytes = (value: Buffer): Buffer => value;

/** A server that says its name. */
async function serve(name: string): Promise<{ readonly server: grpc.Server; readonly port: number }> {
  const server = new grpc.Server();
  const method = { requestStream: false, responseStream: false, requestSerialize: bytes, requestDeserialize: bytes };
  const definition = {
    whoami: { path: "/test.Echo/whoami", ...method, responseSerialize: bytes, responseDeserialize: bytes },
  };
  const whoami: grpc.handleUnaryCall<Buffer, Buffer> = (_call, reply) => reply(null, Buffer.from(name));
  server.addService(definition, { whoami });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { server, port };
}

const pod = (version: string, port: number): string => `
apiVersion: v1
kind: Pod
metadata: { name: echo-${version}, labels: { app: echo, version: ${version} } }
spec: { containers: [{ name: app, ports: [{ name: grpc, containerPort: ${port} }] }] }
status: { podIP: 127.0.0.1 }
---
`;

const service = `
apiVersion: v1
kind: Service
metadata: { name: echo }
spec: { clusterIP: 10.96.0.1, selector: { app: echo }, ports: [{ name: grpc, port: 7070, targetPort: grpc }] }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: echo }
spec: { host: echo, subsets: [{ name: v1, labels: { version: v1 } }, { name: v2, labels: { version: v2 } }] }
---
`;

const routes = (http: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: echo }
spec:
  hosts: [echo]
  http:
${http.replace(/^/gm, "    ")}
`;

describe("gRPC without a proxy, @grpc/grpc-js-xds", () => {
  const source = createMemorySource({ "mesh.yaml": service });
  const controlPlane = createControlPlane({
    runtime: nodeRuntime({ logLevel: "off" }),
    sources: [source],
    options: { ports: { grpc: 0 }, debounceMs: { quiet: 5, max: 100 } },
  });
  const servers: grpc.Server[] = [];
  const nacks: string[] = [];
  let ports: BoundPorts;
  let client: ChildProcess;
  let said = "";
  let answers: AsyncIterator<string>;

  beforeAll(async () => {
    const [v1, v2] = await Promise.all([serve("v1"), serve("v2")]);
    servers.push(v1.server, v2.server);
    source.set("pods.yaml", pod("v1", v1.port) + pod("v2", v2.port));
    ports = await controlPlane.start();
    controlPlane.subscribe((event) => {
      if (event.type === "nack") nacks.push(`${event.resourceType}: ${event.detail}`);
    });
    const bootstrap = {
      xds_servers: [
        {
          server_uri: `127.0.0.1:${ports.grpc}`,
          channel_creds: [{ type: "insecure" }],
          server_features: ["xds_v3"],
        },
      ],
      node: {
        id: "sidecar~127.0.0.1~client.default~default.svc.cluster.local",
        locality: {},
        metadata: { GENERATOR: "grpc", NAMESPACE: "default", CLUSTER_ID: "Kubernetes" },
      },
    };
    client = spawn(process.execPath, [CLIENT], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, GRPC_XDS_BOOTSTRAP_CONFIG: JSON.stringify(bootstrap) },
    });
    client.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
    if (client.stdout === null) throw new Error("no stdout");
    answers = createInterface({ input: client.stdout })[Symbol.asyncIterator]();
  });

  afterAll(async () => {
    client.kill();
    for (const server of servers) server.forceShutdown();
    await controlPlane.close();
  });

  async function call(count: number, headers: Readonly<Record<string, string>> = {}, target = ECHO): Promise<Answers> {
    client.stdin?.write(`${JSON.stringify({ target, count, headers })}\n`);
    const { value, done } = await answers.next();
    if (done === true) throw new Error(`the client ended: ${said}`);
    return JSON.parse(value) as Answers;
  }

  async function rule(http: string, isInForce: () => Promise<boolean>): Promise<void> {
    source.set("routes.yaml", routes(http));
    await vi.waitFor(async () => expect(await isInForce()).toBe(true), WAIT);
  }

  test("without a rule all endpoints are called, in turn", async () => {
    // The first calls go to whoever is connected first.
    await vi.waitFor(async () => expect(await call(20)).toEqual({ v1: 10, v2: 10 }), WAIT);
  });

  test("a service is found by its short names, too", async () => {
    for (const target of ["echo:7070", "echo.default:7070", "echo.default.svc:7070"]) {
      // oxlint-disable-next-line no-await-in-loop
      await vi.waitFor(async () => expect(await call(20, {}, target)).toEqual({ v1: 10, v2: 10 }), WAIT);
    }
  });

  test("a header chooses the subset, from one moment to the next", async () => {
    await rule(
      `- match: [{ headers: { user: { exact: jason } } }]
  route: [{ destination: { host: echo, subset: v2 } }]
- route: [{ destination: { host: echo, subset: v1 } }]`,
      async () => (await call(20))["v1"] === 20,
    );
    expect(await call(20, { user: "jason" })).toEqual({ v2: 20 });
    expect(await call(20, { user: "ann" })).toEqual({ v1: 20 });
  });

  test("weights split 75 to 25", async () => {
    await rule(
      `- route:
  - { destination: { host: echo, subset: v1 }, weight: 75 }
  - { destination: { host: echo, subset: v2 }, weight: 25 }`,
      async () => (await call(40, { user: "jason" }))["v1"] !== undefined,
    );
    const { v1 = 0, v2 = 0 } = await call(1000);
    expect(v1 + v2).toBe(1000);
    // Five standard deviations of a binomial with n = 1000, p = 0.25.
    expect(Math.abs(v2 - 250)).toBeLessThan(5 * Math.sqrt(1000 * 0.25 * 0.75));
  });

  test("an instance that is gone is called no more", async () => {
    source.set("pods.yaml", pod("v1", portOf("v1")));
    await rule(`- route: [{ destination: { host: echo } }]`, async () => (await call(20))["v1"] === 20);
  });

  function portOf(version: string): number {
    const instance = controlPlane.mesh.services
      .flatMap((one) => controlPlane.mesh.instancesOf(one))
      .find(({ workload }) => workload.labels["version"] === version);
    return instance?.port ?? 0;
  }

  test("nothing was refused, and the control plane knows how far the client is", async () => {
    expect(nacks).toEqual([]);
    const [connection] = controlPlane.connections();
    const states = [...(connection?.statuses() ?? [])].map(([type, { state }]) => `${type.short} ${state}`);
    expect(states.toSorted()).toEqual(["CDS SYNCED", "EDS SYNCED", "LDS SYNCED", "RDS SYNCED"]);
  });
});
