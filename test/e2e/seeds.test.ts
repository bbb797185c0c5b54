import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { parseManifests } from "#control-plane/config/parse-manifests.ts";
import type { MeshObject } from "#control-plane/model/object.ts";
import { istioKinds } from "#control-plane/validate/kinds.ts";
import type { CallReport } from "#cli/commands/call.ts";
import { sharedFolder } from "../needs.ts";
import { deployment, service, testMesh, type TestMesh } from "./mesh.ts";

/**
 * Manifests that users wrote, each put beside the Services and Deployments that it speaks of: it loads, and every
 * object of it takes effect or is named by a finding.
 */
const seeds = sharedFolder("seed-manifests");
if (seeds.missing !== undefined) console.warn(`seed manifests are not tested: ${seeds.missing}`);

const WAIT = { timeout: 20_000, interval: 100 };

/** True for an object that must be named by a finding, because nothing is made of it (or because it closes something). */
function mustBeNamed({ kind, group }: MeshObject): boolean {
  const known = istioKinds[kind];
  if (known !== undefined) return known.effect !== "full";
  return group !== "" && group !== "install.istio.io";
}

const all = (status: number) => (report: CallReport) => report.statuses[String(status)] === report.requests;
const onlyFrom = (workload: string) => (report: CallReport) => report.workloads[workload] === report.requests;
const mostly = (major: string, minor: string) => (report: CallReport) =>
  (report.workloads[major] ?? 0) > 5 * (report.workloads[minor] ?? 0) &&
  (report.workloads[minor] ?? 0) > 0 &&
  report.statuses["200"] === report.requests;

interface Effect {
  readonly from: string;
  readonly url: string;
  readonly flags?: readonly string[];
  readonly is: (report: CallReport) => boolean;
}

const payment = "http://payment-api/";
const canary = ["-n", "200", "-c", "4"];

const EFFECTS: Readonly<Record<string, readonly Effect[]>> = {
  "canary-breaker-retries.yaml": [
    { from: "client.production", url: payment, flags: ["-n", "5", "-H", "x-canary: true"], is: onlyFrom("payment-v2") },
    { from: "client.production", url: payment, flags: canary, is: mostly("payment-v1", "payment-v2") },
  ],
  "payment-canary-header.yaml": [{ from: "client.production", url: payment, is: all(503) }],
  "payment-subsets-and-pools.yaml": [{ from: "client.production", url: payment, is: all(200) }],
  "api-server-canary.yaml": [
    {
      from: "client.default",
      url: "http://api-server/",
      flags: ["-n", "5", "-H", "x-canary: true"],
      is: onlyFrom("api-server-v2"),
    },
    { from: "client.default", url: "http://api-server/", flags: canary, is: mostly("api-server-v1", "api-server-v2") },
  ],
  "api-server-resilience.yaml": [
    { from: "client.default", url: `http://api-server/fail-first/2/${Math.random()}`, is: all(200) },
    { from: "client.default", url: "http://api-server/", flags: ["-n", "5"], is: all(200) },
  ],
  "reviews-canary.yaml": [{ from: "client.default", url: "http://reviews/", is: all(503) }],
  "timeout-and-retries.yaml": [{ from: "client.default", url: payment, is: all(503) }],
  "strict-production.yaml": [{ from: "client.production", url: payment, flags: ["-n", "5"], is: all(200) }],
  "mtls-gradual-rollout.yaml": [{ from: "client.production", url: payment, flags: ["-n", "5"], is: all(200) }],
  "deny-all-then-allow.yaml": [
    { from: "client.production", url: payment, is: all(403) },
    { from: "frontend.production", url: `${payment}api/payments`, flags: ["-X", "POST"], is: all(200) },
    { from: "frontend.production", url: `${payment}api/payments/7`, flags: ["-X", "POST"], is: all(200) },
    { from: "frontend.production", url: `${payment}api/payments`, is: all(403) },
    { from: "client.production", url: `${payment}api/payments`, flags: ["-X", "POST"], is: all(403) },
  ],
  // The namespace `frontend` of its principal is not here: nobody is let in.
  "least-privilege.yaml": [
    { from: "frontend.production", url: `${payment}api/payments/7`, is: all(403) },
    { from: "client.default", url: payment, is: all(200) },
  ],
  "zero-trust-and-jwt.yaml": [{ from: "frontend.production", url: `${payment}api/payments/7`, is: all(403) }],
};

describe.skipIf(seeds.missing !== undefined)("seed manifests", () => {
  let mesh: TestMesh;

  beforeAll(async () => {
    const both = (namespace: string, yaml: string): string =>
      yaml.replace(/metadata: \{ name: ([\w-]+) \}/g, `metadata: { name: $1, namespace: ${namespace} }`);
    mesh = await testMesh({
      "default.yaml": both(
        "default",
        deployment("client", { port: undefined }) +
          deployment("payment-v1", { app: "payment-api" }) +
          service("payment-api") +
          deployment("api-server-v1", { app: "api-server" }) +
          deployment("api-server-v2", { app: "api-server", version: "v2" }) +
          service("api-server") +
          deployment("reviews-v1", { app: "reviews" }) +
          service("reviews"),
      ),
      "production.yaml": both(
        "production",
        deployment("client", { port: undefined }) +
          deployment("frontend", { port: undefined }) +
          deployment("payment-v1", { app: "payment-api" }) +
          deployment("payment-v2", { app: "payment-api", version: "v2" }) +
          service("payment-api") +
          deployment("product-v1", { app: "product-service" }) +
          service("product-service"),
      ),
    });
  });

  async function findings(): Promise<string> {
    const { address, port } = mesh.session.runner.file.controlPlane.debug;
    return await (await fetch(`http://${address}:${port}/debug/findings`)).text();
  }

  const folder = seeds.path;
  const files =
    seeds.missing === undefined
      ? readdirSync(folder, { recursive: true })
          .map(String)
          .filter((file) => file.endsWith(".yaml"))
          .toSorted()
      : [];

  test.each(files)("%s loads; every object takes effect or is named by a finding", async (file) => {
    const text = readFileSync(join(folder, file), "utf8");
    const { objects, problems } = parseManifests(text, file);
    expect(problems).toEqual([]);
    mesh.write("seed.yaml", text);
    const silent = objects.filter(mustBeNamed);
    await vi.waitFor(async () => {
      const said = await findings();
      for (const object of silent)
        expect(said).toContain(`${object.kind} ${object.metadata.namespace}/${object.metadata.name}`);
    }, WAIT);
    for (const { from, url, flags = [], is } of EFFECTS[file] ?? []) {
      await vi.waitFor(async () => {
        const report = await mesh.call(from, url, ...flags);
        expect(report).toSatisfy(is);
      }, WAIT);
    }
    mesh.remove("seed.yaml");
    await vi.waitFor(
      async () => expect(await mesh.call("client.production", payment)).toMatchObject({ statuses: { "200": 1 } }),
      WAIT,
    );
  });
});
