import { describe, expect, test } from "vitest";
import { parseManifests } from "#control-plane/config/parse-manifests.ts";
import { readLocalMesh } from "./local-mesh.ts";
import { planWorkloads } from "./plan.ts";

function plan(...manifests: readonly string[]): ReturnType<typeof planWorkloads> {
  const { objects } = parseManifests(manifests.join("\n---\n"), "test.yaml");
  return planWorkloads(objects, readLocalMesh(objects).local);
}

const gateway = (spec: string, name = "edge", namespace = "shop"): string =>
  `{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: ${name}, namespace: ${namespace}}, spec: {gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 8443, protocol: HTTPS, hostname: b.com, tls: {certificateRefs: [{name: c}]}}], ${spec}}}`;
const serviceOf = (name: string, selector: string): string =>
  `{apiVersion: v1, kind: Service, metadata: {name: ${name}, namespace: shop}, spec: {selector: ${selector}, ports: [{port: 80, targetPort: 8080}]}}`;
const deployment = (name: string, labels: string): string =>
  `{apiVersion: apps/v1, kind: Deployment, metadata: {name: ${name}, namespace: shop}, spec: {template: {metadata: {labels: ${labels}}, spec: {containers: [{name: c}]}}}}`;

describe("Gateways of the Gateway API in a local mesh", () => {
  test("one is deployed as istiod would: <gateway>-<class> in its namespace, on the ports of its listeners", () => {
    const { instances, services } = plan(gateway(""));
    expect(instances).toMatchObject([
      {
        workload: "edge-istio",
        namespace: "shop",
        serviceAccount: "edge-istio",
        labels: { "gateway.networking.k8s.io/gateway-name": "edge" },
        isGateway: true,
        servers: [
          { gateway: "shop/edge", port: 80, listenPort: 80, protocol: "HTTP", hosts: ["*"] },
          { port: 8443, listenPort: 8443, protocol: "HTTPS", tlsMode: "TERMINATE", hosts: ["b.com"] },
        ],
      },
    ]);
    expect(services).toMatchObject([
      { name: "edge-istio", namespace: "shop", isGenerated: true, ports: [{ number: 80 }, { number: 8443 }] },
    ]);
  });

  test("each Gateway has a deployment of its own, and another namespace is another gateway", () => {
    const { instances } = plan(gateway(""), gateway("", "door"), gateway("", "edge", "other"));
    expect(instances.map(({ namespace, workload }) => `${namespace}/${workload}`)).toEqual([
      "shop/edge-istio",
      "shop/door-istio",
      "other/edge-istio",
    ]);
  });

  test("an address names the Service whose workloads serve it; nothing is deployed", () => {
    const { instances } = plan(
      gateway("addresses: [{type: Hostname, value: door}]"),
      serviceOf("door", "{ app: door }"),
      deployment("door", "{ app: door }"),
    );
    expect(instances).toMatchObject([
      { workload: "door", isGateway: true, servers: [{ port: 80, listenPort: 8080 }, { port: 8443 }] },
    ]);
  });

  test("an address without a Service, and a class of another controller, have nothing", () => {
    const foreign = gateway("").replace("gatewayClassName: istio", "gatewayClassName: other");
    expect(plan(gateway("addresses: [{type: Hostname, value: nowhere}]"), foreign).instances).toEqual([]);
    const own = `{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: other}, spec: {controllerName: istio.io/gateway-controller}}`;
    expect(plan(foreign, own).instances.map(({ workload }) => workload)).toEqual(["edge-other"]);
  });
});
