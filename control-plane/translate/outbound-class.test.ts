import { describe, expect, test } from "vitest";
import { parseManifests } from "../config/parse-manifests.ts";
import { buildMeshIndex } from "../model/build-mesh-index.ts";
import { proxyNodeFrom } from "../model/proxy-node-from.ts";
import { readMeshConfig } from "../model/read-mesh-config.ts";
import { outboundView } from "./outbound-class.ts";
import { viewOf, type View } from "./view.ts";

const mesh = buildMeshIndex(
  parseManifests(
    `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web }
spec:
  hosts: [web]
  http: [{ match: [{ sourceLabels: { tier: gold } }], route: [{ destination: { host: web } }] }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web }
spec: { host: web, trafficPolicy: { loadBalancer: { localityLbSetting: { failoverPriority: [rack, zone=a] } } } }
`,
    "mesh.yaml",
  ).objects,
  readMeshConfig([]).meshConfig,
);

interface Said {
  readonly name?: string;
  readonly namespace?: string;
  readonly type?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly locality?: { readonly region: string; readonly zone: string; readonly subZone: string };
}

function view({
  name = "a",
  namespace = "default",
  type = "sidecar",
  labels = {},
  metadata = {},
  locality,
}: Said): View {
  const { value } = proxyNodeFrom({
    id: `${type}~10.0.0.1~${name}.${namespace}~${namespace}.svc.cluster.local`,
    metadata: { LABELS: labels, NAME: name, SERVICE_ACCOUNT: name, ...metadata },
    locality,
  });
  if (value === undefined) throw new Error("no node");
  return viewOf(mesh, value);
}

const areOneClass = (one: Said, other: Said): boolean => outboundView(view(one)) === outboundView(view(other));

describe("classes of proxies", () => {
  test.each<[string, Said, Said]>([
    ["another name and account", {}, { name: "b" }],
    ["labels that no selector names", { labels: { app: "a" } }, { labels: { app: "b", tier: "silver" } }],
  ])("%s: one class", (_, one, other) => {
    expect(areOneClass(one, other)).toBe(true);
  });

  test.each<[string, Said, Said]>([
    ["another namespace", {}, { namespace: "elsewhere" }],
    ["a label that a route asks for", {}, { labels: { tier: "gold" } }],
    ["a label that failover looks at, whatever its value", { labels: { rack: "1" } }, { labels: { rack: "2" } }],
    ["another place", {}, { locality: { region: "r", zone: "", subZone: "" } }],
    ["another setting", {}, { metadata: { HTTP10: "1" } }],
    ["another cluster", {}, { metadata: { CLUSTER_ID: "west" } }],
  ])("%s: two classes", (_, one, other) => {
    expect(areOneClass(one, other)).toBe(false);
  });

  test("a gateway is translated alone", () => {
    const gateway = view({ type: "router" });
    expect(outboundView(gateway)).toBe(gateway);
  });
});
