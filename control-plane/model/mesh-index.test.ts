import { describe, expect, test } from "vitest";
import { parseManifests } from "../config/parse-manifests.ts";
import { buildMeshIndex } from "./build-mesh-index.ts";
import type { MeshIndex } from "./mesh-index.ts";
import { protocolOfServicePort } from "./protocol.ts";
import { readMeshConfig } from "./read-mesh-config.ts";

const indexOf = (text: string): MeshIndex => {
  const { objects, problems } = parseManifests(text, "mesh.yaml");
  expect(problems).toEqual([]);
  return buildMeshIndex(objects, readMeshConfig([]).meshConfig);
};

describe("81: the protocol of a port", () => {
  const of = (name: string, appProtocol?: string, number = 80, transport = "TCP"): string =>
    protocolOfServicePort({ name, appProtocol, number, transport });

  test.each([
    ["http", "HTTP"],
    ["http-admin", "HTTP"],
    ["HTTP-x", "HTTP"],
    ["http2-x", "HTTP2"],
    ["grpc", "GRPC"],
    ["grpc-web", "GRPC-Web"],
    ["grpc-web-x", "GRPC-Web"],
    ["https-x", "HTTPS"],
    ["tls", "TLS"],
    ["tcp-a", "TCP"],
    ["mongo", "MONGO"],
    ["redis-cache", "REDIS"],
    ["mysql", "MYSQL"],
    ["web", "auto"],
    ["httpx", "auto"],
    ["", "auto"],
  ])("the name %j says %s", (name, expected) => expect(of(name)).toBe(expected));

  test("appProtocol wins over the name, Kubernetes' own words included", () => {
    expect(of("tcp", "http")).toBe("HTTP");
    expect(of("tcp", "kubernetes.io/h2c")).toBe("HTTP2");
    expect(of("tcp", "kubernetes.io/ws")).toBe("HTTP");
    expect(of("tcp", "kubernetes.io/wss")).toBe("HTTPS");
    expect(of("http", "acme.example/unknown")).toBe("auto");
  });

  test("UDP is UDP; ports of server-first protocols are TCP unless they say otherwise", () => {
    expect(of("http", undefined, 80, "UDP")).toBe("UDP");
    expect([25, 53, 3306, 27017].map((port) => of("x", undefined, port))).toEqual(["TCP", "TCP", "TCP", "TCP"]);
    expect(of("http", undefined, 3306)).toBe("HTTP");
  });
});

const pod = (name: string, extra: { labels?: string; meta?: string; spec?: string; status?: string } = {}): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: a${extra.labels ?? ""} }${extra.meta ?? ""} }
spec: { containers: [{ name: c, ports: [{ name: web, containerPort: 8080 }] }]${extra.spec ?? ""} }
status: { podIP: 10.0.0.1${extra.status ?? ""} }
---`;

const service = (spec: string, metadata = "name: a"): string => `
apiVersion: v1
kind: Service
metadata: { ${metadata} }
spec: { ${spec} }
---`;

describe("the mesh index", () => {
  test("without an EndpointSlice, endpoints are the Pods that the selector matches; named ports are looked up", () => {
    const mesh = indexOf(
      service(
        "selector: { app: a }, ports: [{ name: http, port: 80, targetPort: web }, { name: tcp, port: 81, targetPort: none }]",
      ) +
        pod("a-0") +
        pod("b-0", { labels: "b" }),
    );
    const [only] = mesh.services;
    const instances = only === undefined ? [] : mesh.instancesOf(only);
    expect(instances.map(({ address, port, portName, ready }) => [address, port, portName, ready])).toEqual([
      ["10.0.0.1", 8080, "http", true],
    ]);
  });

  test("an EndpointSlice of the Service counts instead of the selector", () => {
    const slice = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: a-1, labels: { kubernetes.io/service-name: a } }
addressType: IPv4
endpoints:
  - { addresses: [10.9.9.9], conditions: { ready: false, terminating: true } }
  - { addresses: [10.0.0.1], targetRef: { kind: Pod, name: a-0 } }
  - { addresses: [10.0.0.2], targetRef: { kind: Pod, name: not-there } }
ports: [{ name: http, port: 9000 }]
---`;
    const mesh = indexOf(service("selector: { app: a }, ports: [{ name: http, port: 80 }]") + pod("a-0") + slice);
    const [only] = mesh.services;
    const instances = only === undefined ? [] : mesh.instancesOf(only);
    expect(
      instances.map(({ address, port, ready, terminating, workload }) => [
        address,
        port,
        ready,
        terminating,
        workload.origin,
      ]),
    ).toEqual([
      ["10.9.9.9", 9000, false, true, "endpoint"],
      ["10.0.0.1", 9000, true, false, "pod"],
    ]);
  });

  test("an ended Pod is none, and a Pod that is not ready says so", () => {
    const mesh = indexOf(
      service("selector: { app: a }, ports: [{ name: http, port: 80 }]") +
        pod("done-0", { status: ", phase: Succeeded" }) +
        pod("slow-0", { status: ', conditions: [{ type: Ready, status: "False" }]' }),
    );
    const [only] = mesh.services;
    const instances = only === undefined ? [] : mesh.instancesOf(only);
    expect(instances.map(({ workload, ready }) => [workload.name, ready])).toEqual([["slow-0", false]]);
  });

  test("Services: headless, ExternalName, addresses, exportTo", () => {
    const mesh = indexOf(
      service("clusterIP: None, ports: [{ port: 80 }]", "name: headless") +
        service("type: ExternalName, externalName: example.com", "name: alias") +
        service(
          "clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd00::1'], ports: [{ port: 80 }]",
          "name: dual, annotations: { networking.istio.io/exportTo: '., other' }",
        ),
    );
    const by = (name: string) => mesh.services.find((one) => one.name === name);
    expect(by("headless")).toMatchObject({ isHeadless: true, resolution: "passthrough", addresses: [] });
    expect(by("alias")).toMatchObject({ resolution: "alias", externalName: "example.com" });
    expect(by("dual")).toMatchObject({
      addresses: ["10.96.0.1", "fd00::1"],
      exportTo: [".", "other"],
      host: "dual.default.svc.cluster.local",
    });
  });

  test("a workload is named as its controller", () => {
    const owner = (kind: string, name: string): string =>
      `, ownerReferences: [{ kind: ${kind}, name: ${name}, controller: true }]`;
    const mesh = indexOf(
      pod("web-7d4b9c6f5-x2x4z", {
        labels: ", pod-template-hash: 7d4b9c6f5",
        meta: owner("ReplicaSet", "web-7d4b9c6f5"),
      }) +
        pod("db-0", { meta: owner("StatefulSet", "db") }) +
        pod("tick-28000000-abcde", { meta: owner("Job", "tick-28000000") }) +
        pod("lone") +
        pod("said", { labels: ", service.istio.io/workload-name: other" }) +
        "\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: picker }\nspec: { selector: { matchLabels: { pick: me } } }\n---" +
        pod("picked-0", { labels: ", pick: me" }),
    );
    const names = Object.fromEntries(mesh.workloads.map(({ name, workloadName }) => [name, workloadName]));
    expect(names).toEqual({
      "web-7d4b9c6f5-x2x4z": "web",
      "db-0": "db",
      "tick-28000000-abcde": "tick",
      lone: "lone",
      said: "other",
      "picked-0": "picker",
    });
  });

  test("canonical names and revisions come from labels, the most specific first", () => {
    const mesh = indexOf(
      pod("one") +
        pod("two", { labels: ", version: v2, app.kubernetes.io/name: shop, service.istio.io/canonical-revision: v9" }),
    );
    expect(mesh.workloads.map(({ canonicalName, canonicalRevision }) => [canonicalName, canonicalRevision])).toEqual([
      ["a", "latest"],
      ["shop", "v9"],
    ]);
  });

  test("locality is the Node's, or the label's", () => {
    const node =
      "\napiVersion: v1\nkind: Node\nmetadata: { name: n, labels: { topology.kubernetes.io/region: r1, topology.kubernetes.io/zone: z1 } }\n---";
    const mesh = indexOf(
      node +
        pod("one", { spec: ", nodeName: n" }) +
        pod("two", { labels: ", istio-locality: r2.z2.s2", spec: ", nodeName: n" }),
    );
    expect(mesh.workloads.map(({ locality }) => locality)).toEqual([
      { region: "r1", zone: "z1", subZone: "" },
      { region: "r2", zone: "z2", subZone: "s2" },
    ]);
  });

  test("112: objects are in order of age, ties by name, then namespace; whatever order they are written in", () => {
    const rule = (name: string, namespace: string, created: string): string =>
      `\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: ${name}, namespace: ${namespace}${created} }\nspec: { host: a }\n---`;
    const old = ", creationTimestamp: '2020-01-01T00:00:00Z'";
    const texts = [rule("b", "y", ""), rule("z", "y", old), rule("b", "x", ""), rule("a", "z", "")];
    const order = (mesh: MeshIndex): readonly string[] =>
      mesh.objects("DestinationRule").map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
    const one = indexOf(texts.join(""));
    const other = indexOf(texts.toReversed().join(""));
    expect(order(one)).toEqual(["y/z", "z/a", "x/b", "y/b"]);
    expect(order(other)).toEqual(order(one));
    expect(other.version).toBe(one.version);
  });

  test("a Gateway of the Gateway API is not Istio's Gateway", () => {
    const mesh = indexOf("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g}}");
    expect(mesh.objects("Gateway")).toEqual([]);
    expect(mesh.objects("gateway.networking.k8s.io/Gateway")).toHaveLength(1);
  });

  test("92: a ServiceEntry with a workloadSelector has WorkloadEntries and Pods of its namespace", () => {
    const mesh = indexOf(
      `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: db }
spec:
  hosts: [db.example.com]
  ports: [{ number: 5432, name: tcp, protocol: TCP, targetPort: 6000 }]
  resolution: STATIC
  workloadSelector: { labels: { app: a } }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: vm }
spec: { address: 192.0.2.1, labels: { app: a }, serviceAccount: db, weight: 7, ports: { tcp: 7000 } }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: far, namespace: other }
spec: { address: 192.0.2.2, labels: { app: a } }
---` + pod("a-0"),
    );
    const [db] = mesh.services;
    const instances = db === undefined ? [] : mesh.instancesOf(db);
    expect(
      instances.map(({ address, port, weight, workload }) => [address, port, weight, workload.hasSidecar]),
    ).toEqual([
      ["10.0.0.1", 6000, 1, false],
      ["192.0.2.1", 7000, 7, true],
    ]);
  });

  test("91: a DNS ServiceEntry without endpoints is its own endpoint", () => {
    const mesh = indexOf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: x }
spec: { hosts: [x.example.com], ports: [{ number: 80, name: http, protocol: HTTP, targetPort: 8080 }], resolution: DNS }
`);
    const [only] = mesh.services;
    const instances = only === undefined ? [] : mesh.instancesOf(only);
    expect(instances.map(({ address, port }) => [address, port])).toEqual([["x.example.com", 8080]]);
  });
});
