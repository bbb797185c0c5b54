import { describe, expect, test } from "vitest";
import { parseManifests } from "../config/parse-manifests.ts";
import { buildMeshIndex } from "./build-mesh-index.ts";
import { cidrHolds } from "./ip.ts";
import type { MeshIndex } from "./mesh-index.ts";
import { readMeshConfig } from "./read-mesh-config.ts";

function meshOf(text: string, remote?: string): MeshIndex {
  const { objects } = parseManifests(text, "mesh.yaml");
  const clusters =
    remote === undefined ? [] : [{ clusterId: "west", objects: parseManifests(remote, "west.yaml").objects }];
  return buildMeshIndex(objects, readMeshConfig([]).meshConfig, [], clusters);
}

const gateway = (extra: string, spec: string, status = ""): string => `
apiVersion: v1
kind: Service
metadata: { name: eastwest, namespace: istio-system, ${extra} }
spec: { ${spec}, ports: [{ name: tls, port: 15443, nodePort: 31443 }, { name: other, port: 7443 }] }
${status}`;

describe("cidrHolds", () => {
  test.each([
    ["10.0.0.0/8", "10.255.1.2", true],
    ["10.0.0.0/8", "11.0.0.1", false],
    ["0.0.0.0/0", "203.0.113.9", true],
    ["2001:db8::/32", "2001:db8:1::1", true],
    ["2001:db8::/32", "2001:db9::1", false],
    ["::ffff:10.0.0.0/104", "::ffff:10.2.3.4", true],
    ["10.0.0.0/8", "::1", false],
    ["10.0.0.0/99", "10.0.0.1", false],
    ["nonsense", "10.0.0.1", false],
  ])("%s and %s: %s", (cidr, address, expected) => {
    expect(cidrHolds(cidr, address)).toBe(expected);
  });
});

describe("networkGateways", () => {
  const label = "labels: { topology.istio.io/network: west-net }";
  const balanced = "status: { loadBalancer: { ingress: [{ ip: 203.0.113.7 }, { hostname: lb.example.com }] } }";

  test("a labelled load balancer is a gateway at 15443; a hostname is left out", () => {
    const mesh = meshOf("", gateway(label, "type: LoadBalancer", balanced));
    expect(mesh.networkGateways).toEqual([
      { network: "west-net", clusterId: "west", address: "203.0.113.7", port: 15443 },
    ]);
  });

  test("a label says another port", () => {
    const labels = 'labels: { topology.istio.io/network: w, networking.istio.io/gatewayPort: "7443" }';
    expect(meshOf(gateway(labels, "type: LoadBalancer", balanced)).networkGateways).toMatchObject([{ port: 7443 }]);
  });

  test("a port that the Service lacks makes no gateway", () => {
    const labels = 'labels: { topology.istio.io/network: w, networking.istio.io/gatewayPort: "1" }';
    expect(meshOf(gateway(labels, "type: LoadBalancer", balanced)).networkGateways).toEqual([]);
  });

  test("a node port is reached on the external addresses of the nodes that are selected", () => {
    const annotated = `${label}, annotations: { traffic.istio.io/nodeSelector: '{"edge":"yes"}' }`;
    const nodes = ["yes", "no"].map(
      (edge, index) => `
---
apiVersion: v1
kind: Node
metadata: { name: n${index}, labels: { edge: "${edge}" } }
status: { addresses: [{ type: ExternalIP, address: 198.51.100.${index} }] }`,
    );
    expect(meshOf(gateway(annotated, "type: NodePort") + nodes.join("")).networkGateways).toMatchObject([
      { address: "198.51.100.0", port: 31443 },
    ]);
  });

  const networks = (text: string): string => `
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data: { meshNetworks: '${text}' }`;

  test("MeshNetworks names gateways by address and by Service", () => {
    const text = `{networks: {n1: {endpoints: [{fromRegistry: Kubernetes}], gateways: [{address: 192.0.2.1, port: 443},
      {registryServiceName: eastwest.istio-system.svc.cluster.local, port: 15443}]}}}`;
    const mesh = meshOf(
      `${networks(text.replaceAll("\n", " "))}\n---\n${gateway("labels: {}", "type: LoadBalancer", balanced)}`,
    );
    expect(mesh.networkGateways).toEqual([
      { network: "n1", clusterId: "", address: "192.0.2.1", port: 443 },
      { network: "n1", clusterId: "Kubernetes", address: "203.0.113.7", port: 15443 },
    ]);
  });

  const pod = (name: string, ip: string, labels = ""): string => `
---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: x${labels} } }
spec: { containers: [{ name: a }] }
status: { podIP: ${ip} }`;
  const networkOf = (mesh: MeshIndex, name: string): string | undefined => mesh.workload("default", name)?.network;

  test("a Pod's network: its label, then the namespace's, then MeshNetworks", () => {
    const text = networks("{networks: {byCidr: {endpoints: [{fromCidr: 10.1.0.0/16}]}}}");
    const plain = meshOf(
      text + pod("a", "10.1.2.3") + pod("b", "10.2.2.3") + pod("c", "10.1.2.4", ", topology.istio.io/network: own"),
    );
    expect(["a", "b", "c"].map((name) => networkOf(plain, name))).toEqual(["byCidr", "", "own"]);
    const namespace = `
---
apiVersion: v1
kind: Namespace
metadata: { name: istio-system, labels: { topology.istio.io/network: ns-net } }`;
    expect(networkOf(meshOf(text + namespace + pod("a", "10.1.2.3")), "a")).toBe("ns-net");
  });
});

describe("several clusters", () => {
  const service = (ip: string): string => `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { clusterIP: ${ip}, selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: web-${ip}, labels: { app: web } }
spec: { containers: [{ name: a }] }
status: { podIP: ${ip} }`;

  test("a Service is one host with the endpoints of all and an address in each", () => {
    const mesh = meshOf(service("10.96.0.1"), service("10.97.0.1"));
    const [only, ...others] = mesh.servicesByHost("web.default.svc.cluster.local");
    expect(others).toEqual([]);
    expect(only?.clusterAddresses).toEqual(
      new Map([
        ["Kubernetes", ["10.96.0.1"]],
        ["west", ["10.97.0.1"]],
      ]),
    );
    const instances = only === undefined ? [] : mesh.instancesOf(only);
    expect(instances.map(({ address, workload }) => [address, workload.clusterId])).toEqual([
      ["10.96.0.1", "Kubernetes"],
      ["10.97.0.1", "west"],
    ]);
  });
});
