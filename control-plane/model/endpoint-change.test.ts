import { describe, expect, test } from "vitest";
import { parseManifests } from "../config/parse-manifests.ts";
import { buildMeshIndex } from "./build-mesh-index.ts";
import { endpointChange, withShapeOf, type IndexedObjects } from "./endpoint-change.ts";
import { readMeshConfig } from "./read-mesh-config.ts";

interface Shop {
  readonly podIp?: string;
  readonly ready?: boolean;
  readonly account?: string;
  readonly label?: string;
  readonly clusterIp?: string;
  readonly timeout?: string;
  readonly more?: string;
  readonly isHeadless?: boolean;
}

const shop = ({
  podIp = "10.0.0.1",
  ready = true,
  account = "a",
  label = "x",
  timeout = "1s",
  more = "",
  ...rest
}: Shop): string => `
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { clusterIP: ${rest.isHeadless === true ? "None" : (rest.clusterIp ?? "10.96.0.1")}, selector: { app: web }, ports: [{ name: http, port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: other }
spec: { clusterIP: 10.96.0.2, selector: { app: other }, ports: [{ name: http, port: 80 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: web-0, labels: { app: web, extra: ${label} } }
spec: { serviceAccountName: ${account}, containers: [] }
status: { podIP: ${podIp}, conditions: [{ type: Ready, status: "${ready ? "True" : "False"}" }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web }
spec: { hosts: [web], http: [{ timeout: ${timeout}, route: [{ destination: { host: web } }] }] }
${more}`;

function indexed(text: string): IndexedObjects {
  const { objects } = parseManifests(text, "mesh.yaml");
  return { objects, mesh: buildMeshIndex(objects, readMeshConfig([]).meshConfig) };
}

function changeFrom(before: Shop, after: Shop): ReturnType<typeof endpointChange> {
  const first = indexed(shop(before));
  return endpointChange(first.mesh, withShapeOf(first, indexed(shop(after))));
}

const secondPod = `---
apiVersion: v1
kind: Pod
metadata: { name: web-1, labels: { app: web } }
spec: { serviceAccountName: ACCOUNT, containers: [] }
status: { podIP: 10.0.0.9 }
`;

describe("a change of endpoints", () => {
  test("nothing changes: one shape, no hosts", () => {
    expect(changeFrom({}, {})).toEqual({ hosts: new Set(), workloads: new Set() });
  });

  test.each<[string, Shop]>([
    ["a Pod is not ready any more", { ready: false }],
    ["a Pod has another address", { podIp: "10.0.0.2" }],
  ])("%s: its service and its own workload", (_, after) => {
    expect(changeFrom({}, after)).toEqual({
      hosts: new Set(["web.default.svc.cluster.local"]),
      workloads: new Set(["default/web-0"]),
    });
  });

  test("a Pod comes and goes: the others of its service keep what they have", () => {
    const more = secondPod.replace("ACCOUNT", "a");
    const expected = { hosts: new Set(["web.default.svc.cluster.local"]), workloads: new Set(["default/web-1"]) };
    expect(changeFrom({}, { more })).toEqual(expected);
    expect(changeFrom({ more }, {})).toEqual(expected);
  });

  test.each<[string, Shop, Shop]>([
    ["a route", {}, { timeout: "2s" }],
    ["a service", {}, { clusterIp: "10.96.0.7" }],
    ["the labels of a Pod", {}, { label: "y" }],
    ["the account of a Pod", {}, { account: "b" }],
    ["the accounts behind a service", {}, { more: secondPod.replace("ACCOUNT", "c") }],
    ["an endpoint of a headless service", { isHeadless: true }, { isHeadless: true, podIp: "10.0.0.5" }],
  ])("%s is another shape", (_, before, after) => {
    expect(changeFrom(before, after)).toBeUndefined();
  });

  test("changes add up until someone looks", () => {
    const first = indexed(shop({}));
    const second = indexed(shop({ ready: false }));
    const then = withShapeOf(first, second);
    const third = indexed(shop({ ready: false }));
    const now = withShapeOf({ mesh: then, objects: second.objects }, third);
    expect(endpointChange(first.mesh, now)?.hosts).toEqual(new Set(["web.default.svc.cluster.local"]));
    expect(endpointChange(then, now)?.hosts).toEqual(new Set());
  });
});
