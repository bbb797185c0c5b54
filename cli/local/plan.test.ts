import { describe, expect, test } from "vitest";
import { parseManifests } from "#control-plane/config/parse-manifests.ts";
import { readLocalMesh } from "./local-mesh.ts";
import { MAX_REPLICAS, planWorkloads } from "./plan.ts";

function plan(yaml: string): ReturnType<typeof planWorkloads> {
  const { objects } = parseManifests(yaml, "test.yaml");
  return planWorkloads(objects, readLocalMesh(objects).local);
}

const deployment = (name: string, extra = "", template = ""): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name} }
spec:
  ${extra}
  template:
    metadata: { labels: { app: ${name} } ${template} }
    spec: { serviceAccountName: sa-${name}, containers: [{ name: c, ports: [{ containerPort: 8080, name: web }] }] }
---`;

describe("planWorkloads", () => {
  test("a Deployment becomes as many instances as it has replicas", () => {
    const { instances } = plan(deployment("a", "replicas: 2"));
    expect(instances.map((instance) => instance.pod)).toEqual(["a-0", "a-1"]);
    expect(instances[0]).toMatchObject({
      workload: "a",
      namespace: "default",
      serviceAccount: "sa-a",
      hasSidecar: true,
    });
  });

  test("replicas are cut to what one machine can play", () => {
    expect(plan(deployment("a", "replicas: 50")).instances).toHaveLength(MAX_REPLICAS);
  });

  test("a workload has the ports that it declares, and those that its Services target", () => {
    const { instances } = plan(`${deployment("a")}
apiVersion: v1
kind: Service
metadata: { name: a }
spec: { selector: { app: a }, ports: [{ port: 80, targetPort: web }, { port: 81, targetPort: 9000, name: http-b }] }`);
    expect(instances[0]?.ports).toEqual([
      { number: 8080, name: "web" },
      { number: 9000, name: "http-b" },
    ]);
  });

  test.each([
    [
      "the label of the pod template",
      deployment("a", "", ", annotations: {}").replace("app: a", 'app: a, sidecar.istio.io/inject: "false"'),
    ],
    [
      "the label of the namespace",
      `${deployment("a")}\napiVersion: v1\nkind: Namespace\nmetadata: { name: default, labels: { istio-injection: disabled } }`,
    ],
  ])("%s keeps the sidecar out", (_, yaml) => {
    expect(plan(yaml).instances[0]?.hasSidecar).toBe(false);
  });

  test("a LocalMesh names the command, started in its own folder", () => {
    const { instances } = plan(`${deployment("a")}
apiVersion: glassmesh.dev/v1alpha1
kind: LocalMesh
metadata: { name: here }
spec: { workloads: { a: { command: [node, a.ts], env: { X: 1 } } } }`);
    expect(instances[0]?.local).toEqual({ command: ["node", "a.ts"], cwd: "", address: undefined, env: { X: "1" } });
  });
});

describe("readLocalMesh", () => {
  test.each([
    [
      "spec.workloads.a.comand",
      "{ workloads: { a: { comand: [x] } } }",
      'unknown field "comand"; a workload has command, address, env and cwd',
    ],
    [
      "spec.workloads.a.address",
      "{ workloads: { a: { address: here } } }",
      "takes host:port of a process that runs already",
    ],
    [
      "spec.workloads.a",
      "{ workloads: { a: { address: 'x:1', command: [y] } } }",
      "has both command and address; keep one: a command is started here, an address runs already",
    ],
    [
      "spec.traffic[0].rate",
      "{ traffic: [{ from: a, url: 'http://b/', rate: 0 }] }",
      "takes requests a second, more than 0 and at most 10000",
    ],
    ["spec.trafic", "{ trafic: [] }", 'unknown field "trafic"; a LocalMesh has workloads and traffic'],
  ])("%s is named with its line and the way out", (path, spec, message) => {
    const { objects } = parseManifests(
      `apiVersion: glassmesh.dev/v1alpha1\nkind: LocalMesh\nmetadata: { name: m }\nspec: ${spec}\n`,
      "glassmesh.yaml",
    );
    expect(readLocalMesh(objects).problems).toMatchObject([
      { path, message, source: { file: "glassmesh.yaml", line: 4 } },
    ]);
  });
});
