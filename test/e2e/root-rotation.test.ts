/** The root of a running mesh is replaced while requests go on, each over a new mutual TLS connection. */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "undici";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { openSelfSignedRoot } from "#certs/ca-files.ts";
import { needEnvoy } from "../needs.ts";
import { deployment, destinationRule, service, testMesh, type TestMesh } from "./mesh.ts";

const WAIT = { timeout: 40_000, interval: 250 };
const HOST = "echo.default.svc.cluster.local";

/** Sends one request after the other until it is told to stop. */
function traffic(mesh: TestMesh): { stop(): Promise<{ readonly sent: number; readonly failed: readonly string[] }> } {
  const proxy = mesh.workload("client").sidecar?.httpProxy;
  const client = new Client(`http://${proxy?.address}:${proxy?.port}`);
  const failed: string[] = [];
  let sent = 0;
  let isOver = false;
  const run = async (): Promise<void> => {
    while (!isOver) {
      sent++;
      // oxlint-disable-next-line no-await-in-loop
      const { statusCode, body } = await client.request({ method: "GET", path: "/", headers: { host: HOST } });
      // oxlint-disable-next-line no-await-in-loop
      const text = await body.text();
      if (statusCode !== 200) failed.push(`${statusCode} ${text.slice(0, 200)}`);
      // oxlint-disable-next-line no-await-in-loop
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const running = run();
  return {
    async stop() {
      isOver = true;
      await running;
      await client.close();
      return { sent, failed };
    },
  };
}

interface Held {
  /** Serial numbers of the roots that the proxy trusts. */
  readonly roots: readonly string[];
  /** Serial number of its own certificate. */
  readonly own: string | undefined;
}

/** What a proxy holds, by its own account. */
async function held(mesh: TestMesh, workload: string): Promise<Held> {
  const { certificates } = JSON.parse(await mesh.admin(workload, "/certs")) as {
    readonly certificates: readonly {
      readonly ca_cert?: readonly { readonly serial_number: string }[];
      readonly cert_chain?: readonly {
        readonly serial_number: string;
        readonly subject_alt_names: readonly unknown[];
      }[];
    }[];
  };
  const roots = certificates.flatMap(({ ca_cert: ca = [] }) => ca.map(({ serial_number: serial }) => serial));
  const own = certificates.flatMap(({ cert_chain: chain = [] }) => chain.slice(0, 1).map((leaf) => leaf.serial_number));
  return { roots: [...new Set(roots)].toSorted(), own: own[0] };
}

describe.each(["glassmesh", "envoy"] as const)("root rotation under traffic, %s", (dataPlane) => {
  const missing = dataPlane === "envoy" ? needEnvoy().missing : undefined;
  let mesh: TestMesh;

  beforeAll(async () => {
    if (missing !== undefined) return;
    const files = {
      "mesh.yaml":
        deployment("client", { port: undefined }) +
        deployment("echo") +
        service("echo") +
        // Every request shakes hands anew.
        destinationRule("echo", "trafficPolicy: { connectionPool: { http: { maxRequestsPerConnection: 1 } } }"),
    };
    mesh = await testMesh(files, { workloadCertTtl: "3600s", dataPlane });
  }, 90_000);

  test.skipIf(missing !== undefined)(
    `prepare, switch, finish: no request fails, and nobody trusts the old root any more${missing === undefined ? "" : ` (${missing})`}`,
    async () => {
      const workloads = ["client", "echo"];
      const all = () => Promise.all(workloads.map((name) => held(mesh, name)));
      const before = await all();
      const load = traffic(mesh);

      const step = async (name: string): Promise<void> => {
        const { code, err } = await mesh.run("cert", "rotate-root", `--${name}`);
        expect([code, err]).toEqual([0, expect.stringMatching(/[Nn]ext|done/)]);
      };
      await step("prepare");
      await vi.waitFor(async () => {
        for (const { roots } of await all()) expect(roots).toHaveLength(2);
      }, WAIT);
      await step("switch");
      await vi.waitFor(async () => {
        for (const [index, { own }] of (await all()).entries()) expect(own).not.toBe(before[index]?.own);
      }, WAIT);
      await step("finish");
      await vi.waitFor(async () => {
        for (const [index, { roots }] of (await all()).entries()) {
          expect(roots).toHaveLength(1);
          expect(roots).not.toEqual(before[index]?.roots);
        }
      }, WAIT);
      const { sent, failed } = await load.stop();
      expect(failed).toEqual([]);
      expect(sent).toBeGreaterThan(500);
      const report = await mesh.call("client", `http://${HOST}/`);
      expect(report.statuses).toEqual({ "200": 1 });
      expect(mesh.said.filter((line) => /ended/.test(line))).toEqual([]);
    },
    120_000,
  );
});

describe("a plugged-in CA in the place of another, under traffic", () => {
  const directory = mkdtempSync(join(tmpdir(), "glassmesh-cacerts-"));
  let mesh: TestMesh;

  /** Another root and everything below it, file by file as somebody would copy them. */
  async function putCa(): Promise<void> {
    const made = mkdtempSync(join(tmpdir(), "glassmesh-ca-"));
    await openSelfSignedRoot(made, "cluster.local", Date.now());
    for (const [to, from] of [
      ["root-cert.pem", "ca-cert.pem"],
      ["cert-chain.pem", "ca-cert.pem"],
      ["ca-key.pem", "ca-key.pem"],
      ["ca-cert.pem", "ca-cert.pem"],
    ] as const) {
      copyFileSync(join(made, from), join(directory, to));
    }
    rmSync(made, { recursive: true });
  }

  beforeAll(async () => {
    await putCa();
    const files = {
      "mesh.yaml":
        deployment("client", { port: undefined }) +
        deployment("echo") +
        service("echo") +
        destinationRule("echo", "trafficPolicy: { connectionPool: { http: { maxRequestsPerConnection: 1 } } }"),
    };
    mesh = await testMesh(files, { workloadCertTtl: "3600s", cacerts: directory });
  }, 90_000);

  afterAll(() => rmSync(directory, { recursive: true }));

  test("all files at once: old and new roots are trusted together, and no request fails", async () => {
    const all = () => Promise.all(["client", "echo"].map((name) => held(mesh, name)));
    const before = await all();
    const load = traffic(mesh);
    await putCa();
    await vi.waitFor(async () => {
      for (const { roots } of await all()) expect(roots).toHaveLength(2);
    }, WAIT);
    const waitForSteps = { timeout: 60_000, interval: 500 };
    await vi.waitFor(async () => {
      for (const [index, { roots, own }] of (await all()).entries()) {
        expect(roots).toHaveLength(1);
        expect(roots).not.toEqual(before[index]?.roots);
        expect(own).not.toBe(before[index]?.own);
      }
    }, waitForSteps);
    const { sent, failed } = await load.stop();
    expect(failed).toEqual([]);
    expect(sent).toBeGreaterThan(500);
  }, 120_000);
});
