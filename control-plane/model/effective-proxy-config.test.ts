import { describe, expect, test } from "vitest";
import { parseManifests } from "../config/parse-manifests.ts";
import { buildMeshIndex } from "./build-mesh-index.ts";
import { effectiveProxyConfig, type ProxyConfigTarget } from "./effective-proxy-config.ts";
import type { Fields } from "./read-fields.ts";
import { readMeshConfig } from "./read-mesh-config.ts";

const proxyConfig = (namespace: string, name: string, spec: string): string => `
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: { name: ${name}, namespace: ${namespace} }
spec: ${spec}`;

function effective(text: string, target: Partial<ProxyConfigTarget> = {}, defaultConfig: Fields = {}): Fields {
  const { objects } = parseManifests(text, "mesh.yaml");
  const layer = { values: { defaultConfig }, origin: "mesh", problemAt: () => ({}) };
  const mesh = buildMeshIndex(objects, readMeshConfig([layer]).meshConfig);
  return effectiveProxyConfig(mesh, { namespace: "default", labels: {}, annotations: {}, ...target });
}

describe("ProxyConfig", () => {
  test("without any object it is Istio's default", () => {
    expect(effective("")).toMatchObject({ proxyAdminPort: 15000, statusPort: 15020, drainDuration: "45s" });
  });

  const all =
    proxyConfig("istio-system", "root", "{ concurrency: 3, environmentVariables: { A: root, B: root } }") +
    proxyConfig("default", "ns", "{ concurrency: 2, environmentVariables: { B: ns } }") +
    proxyConfig("default", "web", "{ selector: { matchLabels: { app: web } }, concurrency: 0 }");

  test("the namespace's counts over the root namespace's; variables are joined", () => {
    expect(effective(all)).toMatchObject({ concurrency: 2, proxyMetadata: { A: "root", B: "ns" } });
  });

  test("the workload's counts over both, even with concurrency 0", () => {
    expect(effective(all, { labels: { app: "web" } })).toMatchObject({ concurrency: 0 });
  });

  test("the annotation counts over the namespace's object and under the workload's", () => {
    const annotations = { "proxy.istio.io/config": "concurrency: 7\ntracing: { sampling: 50 }" };
    expect(effective(all, { annotations })).toMatchObject({ concurrency: 7, tracing: { sampling: 50 } });
    expect(effective(all, { annotations, labels: { app: "web" } })).toMatchObject({ concurrency: 0 });
  });

  test("an annotation that can't be read counts for nothing", () => {
    expect(effective("", { annotations: { "proxy.istio.io/config": "{ not: [yaml" } })).toEqual(effective(""));
  });

  test("maps are joined with the mesh's, lists one after the other, an image is replaced", () => {
    const annotations = {
      "proxy.istio.io/config": "proxyStatsMatcher: { inclusionPrefixes: [b] }\nimage: { imageType: debug }",
    };
    const mesh = {
      proxyStatsMatcher: { inclusionPrefixes: ["a"] },
      image: { imageType: "distroless" },
      statusPort: 99,
    };
    expect(effective("", { annotations }, mesh)).toMatchObject({
      proxyStatsMatcher: { inclusionPrefixes: ["a", "b"] },
      image: { imageType: "debug" },
      statusPort: 99,
    });
  });
});
