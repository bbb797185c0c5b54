import { describe, expect, test } from "vitest";
import { parseManifests } from "../config/parse-manifests.ts";
import { buildMeshIndex } from "./build-mesh-index.ts";
import { placementFrom, proxyNodeFrom, withMesh } from "./proxy-node-from.ts";
import { readMeshConfig } from "./read-mesh-config.ts";

const id = "sidecar~10.1.2.10~frontend-1.shop~shop.svc.cluster.local";

describe("4.6: the node", () => {
  test("id and metadata are read", () => {
    const { value } = proxyNodeFrom({
      id,
      metadata: {
        INSTANCE_IPS: "10.1.2.10,fd00::1",
        LABELS: { app: "frontend", "istio-locality": "r1.z1.s1" },
        STATIC_LABELS: { static: "yes" },
        SERVICE_ACCOUNT: "fe",
        CLUSTER_ID: "Kubernetes",
        INTERCEPTION_MODE: "NONE",
      },
      extensions: [{ name: "envoy.filters.http.router" }],
    });
    expect(value).toMatchObject({
      type: "sidecar",
      name: "frontend-1",
      namespace: "shop",
      dnsDomain: "shop.svc.cluster.local",
      ipAddresses: ["10.1.2.10", "fd00::1"],
      labels: { app: "frontend", static: "yes" },
      serviceAccount: "fe",
      interceptionMode: "NONE",
      locality: { region: "r1", zone: "z1", subZone: "s1" },
    });
    expect(value?.extensions?.has("envoy.filters.http.router")).toBe(true);
  });

  test.each([
    ["sidecar~10.0.0.1~a.b", /four parts/],
    ["ztunnel~10.0.0.1~a.b~c", /must be sidecar, router or waypoint/],
  ])("%s is refused", (bad, reason) => {
    expect(proxyNodeFrom({ id: bad }).problems[0]?.message).toMatch(reason);
  });

  test("labels, locality and placement are the Pod's", () => {
    const placement = {
      inbound: [{ port: 8080, bind: { address: "127.0.1.1", port: 8080 }, app: { address: "127.0.1.1", port: 9000 } }],
      outbound: [{ host: "a.shop.svc.cluster.local", port: 80, bind: { address: "127.0.2.1", port: 80 } }],
      httpProxy: { address: "127.0.1.1", port: 15001 },
      callLog: "/tmp/calls",
    };
    const text = JSON.stringify({
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: "frontend-1",
        namespace: "shop",
        labels: { version: "v1" },
        annotations: { "glassmesh.dev/placement": JSON.stringify(placement) },
      },
      status: { podIP: "127.0.1.1" },
    });
    const mesh = buildMeshIndex(parseManifests(text, "f").objects, readMeshConfig([]).meshConfig);
    const { value } = proxyNodeFrom({ id });
    const { node, problems } = value === undefined ? { node: undefined, problems: [] } : withMesh(value, mesh);
    expect(problems).toEqual([]);
    expect(node?.labels).toEqual({ version: "v1" });
    expect(node?.serviceAccount).toBe("default");
    expect(node?.placement).toEqual(placement);
  });

  test.each(["{", "[]", "{}", '{"httpProxy":{"address":"a","port":1},"inbound":[{"port":1}],"outbound":[]}'])(
    "a placement that is none (%s) is a finding",
    (text) => expect(placementFrom(text)).toBeUndefined(),
  );
});
