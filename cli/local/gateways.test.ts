import { describe, expect, test } from "vitest";
import { parseManifests } from "#control-plane/config/parse-manifests.ts";
import { readLocalMesh } from "./local-mesh.ts";
import { planWorkloads } from "./plan.ts";

function plan(...manifests: readonly string[]): ReturnType<typeof planWorkloads> {
  const { objects } = parseManifests(manifests.join("\n---\n"), "test.yaml");
  return planWorkloads(objects, readLocalMesh(objects).local);
}

const gateway = (servers: string, selector = "{ istio: ingressgateway }", namespace = "default"): string =>
  `{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: gw, namespace: ${namespace}}, spec: {selector: ${selector}, servers: [${servers}]}}`;
const http = '{port: {number: 80, name: http, protocol: HTTP}, hosts: ["team/a.com", "*.b.com"]}';
const https =
  "{port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.com], tls: {mode: SIMPLE, credentialName: a}}";
const deployment = (name: string, labels: string, extra = ""): string =>
  `{apiVersion: apps/v1, kind: Deployment, metadata: {name: ${name}}, spec: {template: {metadata: {labels: ${labels}}, spec: {containers: [{name: c}]}}}}${extra}`;

describe("gateways of a local mesh", () => {
  test("a Gateway that nothing serves gets the gateway and the Service of an installation", () => {
    const { instances, services } = plan(gateway(`${http}, ${https}`));
    expect(instances).toMatchObject([
      {
        workload: "istio-ingressgateway",
        namespace: "istio-system",
        serviceAccount: "istio-ingressgateway-service-account",
        labels: { app: "istio-ingressgateway", istio: "ingressgateway" },
        isGateway: true,
        hasSidecar: true,
        ports: [{ number: 8080 }, { number: 8443 }],
        servers: [
          { gateway: "default/gw", port: 80, listenPort: 8080, protocol: "HTTP", hosts: ["a.com", "*.b.com"] },
          { port: 443, listenPort: 8443, protocol: "HTTPS", tlsMode: "SIMPLE", hosts: ["a.com"] },
        ],
      },
    ]);
    expect(services).toMatchObject([
      {
        host: "istio-ingressgateway.istio-system.svc.cluster.local",
        isGenerated: true,
        ports: [
          { name: "http2", number: 80, targetPort: 8080 },
          { name: "https", number: 443, targetPort: 8443 },
        ],
      },
    ]);
  });

  test("one gateway for all Gateways that select it; another for another selector", () => {
    const { instances } = plan(
      gateway(http),
      gateway(http, "{ istio: ingressgateway }", "team"),
      gateway(http, "{ istio: egressgateway }", "other"),
      gateway(http, "{ app: edge-proxy }", "third"),
    );
    expect(instances.map(({ workload }) => workload)).toEqual([
      "istio-ingressgateway",
      "istio-egressgateway",
      "edge-proxy",
    ]);
  });

  test("a Deployment that a Gateway selects is the gateway; its Service says where a port leads", () => {
    const { instances, services } = plan(
      gateway(`${http}, {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ["*"]}`, "{ edge: main }"),
      deployment("door", "{ app: door, edge: main }"),
      "{apiVersion: v1, kind: Service, metadata: {name: door}, spec: {selector: {app: door}, ports: [{name: http, port: 80, targetPort: 8181}]}}",
    );
    expect(instances).toMatchObject([
      { workload: "door", namespace: "default", isGateway: true, ports: [{ number: 8181 }, { number: 9000 }] },
    ]);
    expect(instances[0]?.servers).toMatchObject([{ listenPort: 8181 }, { listenPort: 9000 }]);
    expect(services).toHaveLength(1);
  });

  test("a Service without a Deployment names the gateway", () => {
    const { instances, services } = plan(
      gateway(http),
      "{apiVersion: v1, kind: Service, metadata: {name: edge, namespace: front}, spec: {selector: {app: edge, istio: ingressgateway}, ports: [{name: http, port: 80, targetPort: 8088}]}}",
    );
    expect(instances).toMatchObject([
      {
        workload: "edge",
        namespace: "front",
        labels: { app: "edge", istio: "ingressgateway" },
        ports: [{ number: 8088 }],
      },
    ]);
    expect(services).toHaveLength(1);
  });

  test("the label of Istio's gateways is enough, also where nothing is injected; a process of its own makes an application", () => {
    const noInjection =
      "\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {istio-injection: disabled}}}";
    const labelled = deployment("ingress", "{ istio: ingressgateway }", noInjection);
    expect(plan(labelled).instances).toMatchObject([{ isGateway: true, hasSidecar: true }]);
    const local =
      "{apiVersion: glassmesh.dev/v1alpha1, kind: LocalMesh, metadata: {name: m}, spec: {workloads: {ingress: {command: [node, x.js]}}}}";
    expect(plan(labelled, local).instances).toMatchObject([{ isGateway: false, hasSidecar: false }]);
  });

  test("without Gateways there are none", () => {
    expect(plan(deployment("a", "{ app: a }")).instances).toMatchObject([{ workload: "a", isGateway: false }]);
  });
});
