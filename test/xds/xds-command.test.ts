/** `glassmesh xds`, from the command line's own entry. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCommand } from "#cli/main.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "glassmesh-xds-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

async function glassmesh(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ["", ""];
  const code = await runCommand(args, {
    cwd: folder,
    env: {},
    out: (text) => void (out += text),
    err: (text) => void (err += text),
  });
  return { code, out, err };
}

const SHOP = `
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { clusterIP: 10.96.0.1, selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: web, image: web, ports: [{ containerPort: 8080 }] }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web }
spec: { hosts: [web], http: [{ timeout: 3s, route: [{ destination: { host: web } }] }] }
`;

interface Snapshot {
  readonly clusters: readonly { readonly name: string }[];
  readonly endpoints: readonly {
    readonly clusterName: string;
    readonly endpoints: readonly { readonly lbEndpoints: unknown[] }[];
  }[];
  readonly listeners: readonly { readonly name: string; readonly address: unknown }[];
  readonly routes: readonly { readonly name: string }[];
  readonly nameTable?: { readonly table: Readonly<Record<string, { readonly ips: readonly string[] }>> };
}

describe("glassmesh xds", () => {
  test("a workload's whole configuration, Deployments standing for their Pods", async () => {
    const { code, out, err } = await glassmesh("xds", "-f", file("shop.yaml", SHOP), "--workload", "web.default");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const snapshot = JSON.parse(out) as Snapshot;
    expect(Object.keys(snapshot)).toEqual(["clusters", "endpoints", "listeners", "routes"]);
    const [assignment] = snapshot.endpoints;
    expect(assignment?.clusterName).toBe("outbound|80||web.default.svc.cluster.local");
    expect(assignment?.endpoints[0]?.lbEndpoints).toHaveLength(2);
    expect(snapshot.listeners.map(({ name }) => name)).toContain("virtualInbound");
    expect(JSON.stringify(snapshot.routes)).toContain('"timeout":"3s"');
  });

  test("a list of proxies: one answer each, by its name; mesh configuration and metadata count", async () => {
    const proxies = file(
      "proxies.yaml",
      '- { name: one, ip: 10.0.0.1, metadata: { DNS_CAPTURE: "true" } }\n- { name: two, ip: 10.0.0.2, interceptionMode: NONE }',
    );
    const mesh = file("mesh.yaml", "outboundTrafficPolicy: { mode: REGISTRY_ONLY }");
    const shop = file("shop.yaml", SHOP);
    const { out } = await glassmesh("xds", "-f", shop, "--proxies", proxies, "--mesh-config", mesh);
    const answers = JSON.parse(out) as { readonly one: Snapshot; readonly two: Snapshot };
    expect(Object.keys(answers)).toEqual(["one", "two"]);
    expect(answers.one.nameTable?.table["web.default.svc.cluster.local"]?.ips).toEqual(["10.96.0.1"]);
    expect(answers.two.nameTable).toBeUndefined();
    expect(answers.one.listeners.map(({ name }) => name)).toContain("virtualOutbound");
    expect(answers.two.listeners.map(({ name }) => name)).not.toContain("virtualOutbound");
    expect(JSON.stringify(answers.one.listeners)).toContain("BlackHoleCluster");
  });

  test("endpoints of another cluster's network are its gateway", async () => {
    const remote = file(
      "remote.yaml",
      `${SHOP.replaceAll("10.96.0.1", "10.97.0.1").replace("labels: { app: web }", "labels: { app: web, topology.istio.io/network: far }")}
---
apiVersion: v1
kind: Service
metadata: { name: gw, namespace: istio-system, labels: { topology.istio.io/network: far } }
spec: { type: LoadBalancer, ports: [{ name: tls, port: 15443 }] }
status: { loadBalancer: { ingress: [{ ip: 203.0.113.9 }] } }
---
apiVersion: v1
kind: Pod
metadata: { name: web-far, labels: { app: web, topology.istio.io/network: far, security.istio.io/tlsMode: istio } }
spec: { containers: [{ name: web }] }
status: { podIP: 10.9.9.9 }
`,
    );
    const proxies = file("near.yaml", "- { name: one, ip: 10.0.0.1, network: near }");
    const { out } = await glassmesh(
      "xds",
      "-f",
      file("shop.yaml", SHOP),
      "--cluster",
      `far=${remote}`,
      "--proxies",
      proxies,
    );
    const text = JSON.stringify((JSON.parse(out) as { readonly one: Snapshot }).one.endpoints);
    expect(text).toContain('"address":"203.0.113.9","portValue":15443');
    expect(text).not.toContain("10.9.9.9");
  });

  test.each([
    [["-f", "nowhere.yaml", "--workload", "web"], /nowhere\.yaml can't be read \(ENOENT\)/],
    [["--workload", "web"], /-f names the manifests/],
    [["-f", "x"], /either --workload or --proxies/],
    [["-f", "x", "--workload", "web", "-o", "xml"], /-o takes json or yaml/],
    [["-f", "x", "--workload", "web", "--cluster", "far"], /--cluster takes NAME=PATH/],
  ])("%j is misuse", async (args, message) => {
    const { code, err } = await glassmesh("xds", ...args);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });

  test("an unknown workload is answered by those that there are", async () => {
    const { code, err } = await glassmesh("xds", "-f", file("shop.yaml", SHOP), "--workload", "wob.default");
    expect(code).toBe(2);
    expect(err).toContain("there is no workload wob.default; there are web.default");
  });

  test("an unknown key of a proxy is named", async () => {
    const proxies = file("wrong.yaml", "- { name: one, ipp: 10.0.0.1 }");
    const { code, err } = await glassmesh("xds", "-f", file("shop.yaml", SHOP), "--proxies", proxies);
    expect(code).toBe(2);
    expect(err).toContain("proxy 1: has no key ipp");
  });
});
