import { describe, expect, test } from "vitest";
import { parseManifests } from "../config/parse-manifests.ts";
import { buildMeshIndex } from "../model/build-mesh-index.ts";
import { proxyNodeFrom, withMesh } from "../model/proxy-node-from.ts";
import { readMeshConfig } from "../model/read-mesh-config.ts";
import { createTranslator } from "./translator.ts";
import type { Translated } from "./types.ts";

const NAME = "xds.istio.io/grpc/lds/inbound/0.0.0.0:9090";

const workload = (labels: string): string => `
apiVersion: v1
kind: Service
metadata: { name: echo }
spec: { clusterIP: 10.96.0.1, selector: { app: echo }, ports: [{ name: grpc, port: 7070, targetPort: 9090 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: echo-0, labels: { app: echo${labels} } }
status: { podIP: 10.0.0.1 }
---
`;

function translated(objects: string, names: readonly string[] = [NAME], labels = ""): Translated {
  const { objects: parsed } = parseManifests(workload(labels) + objects, "mesh.yaml");
  const mesh = buildMeshIndex(parsed, readMeshConfig([]).meshConfig);
  const metadata = { GENERATOR: "grpc" };
  const node = proxyNodeFrom({ id: "sidecar~10.0.0.1~echo-0.default~default.svc.cluster.local", metadata }).value;
  if (node === undefined) throw new Error("no node");
  return createTranslator().listeners(mesh, withMesh(node, mesh).node, names);
}

interface Chain {
  readonly name: string;
  readonly transportSocket?: { readonly typedConfig: Readonly<Record<string, unknown>> };
  readonly filters: readonly { readonly typedConfig: { readonly httpFilters: readonly HttpFilter[] } }[];
}

interface HttpFilter {
  readonly name: string;
  readonly typedConfig: { readonly rules?: { readonly action?: string; readonly policies: object } };
}

function chainOf({ resources }: Translated): Chain {
  const [chain] = (resources[0]?.["filterChains"] ?? []) as readonly Chain[];
  if (chain === undefined) throw new Error("no chain");
  return chain;
}

function rulesOf(made: Translated): readonly (readonly [string, string, readonly string[]])[] {
  const filters = chainOf(made).filters[0]?.typedConfig.httpFilters ?? [];
  return filters.flatMap(({ name, typedConfig: { rules } }) =>
    rules === undefined ? [] : [[name, rules.action ?? "ALLOW", Object.keys(rules.policies)] as const],
  );
}

const authentication = (mode: string): string => `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: own }
spec: { mtls: { mode: ${mode} } }
`;

const policy = (name: string, spec: string): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ${name} }
spec: ${spec}
---
`;

describe("the listener of a gRPC server without a proxy", () => {
  test("is made for the ports of the workload's services, on the address that its name says", () => {
    const names = [NAME, "xds.istio.io/grpc/lds/inbound/[::]:9090", "xds.istio.io/grpc/lds/inbound/0.0.0.0:1", "x"];
    const { resources } = translated("", names);
    expect(resources.map(({ name, address }) => [name, address])).toEqual([
      [NAME, { socketAddress: { address: "0.0.0.0", portValue: 9090 } }],
      ["xds.istio.io/grpc/lds/inbound/[::]:9090", { socketAddress: { address: "::", portValue: 9090 } }],
    ]);
  });

  test.each([
    ["", "", "inbound-plaintext"],
    ["", ", security.istio.io/tlsMode: istio", "inbound-mtls"],
    [authentication("STRICT"), "", "inbound-mtls"],
    [authentication("DISABLE"), ", security.istio.io/tlsMode: istio", "inbound-plaintext"],
  ])("%s with labels %s is served by %s alone", (objects, labels, expected) => {
    const chain = chainOf(translated(objects, [NAME], labels));
    expect(chain.name).toBe(expected);
    expect(chain.transportSocket?.typedConfig["requireClientCertificate"]).toBe(
      expected === "inbound-mtls" ? true : undefined,
    );
  });

  test("DENY comes before ALLOW, each policy under its own name", () => {
    const made = translated(
      policy(
        "some",
        "{ rules: [{ to: [{ operation: { paths: [/a] } }] }, { from: [{ source: { namespaces: [b] } }] }] }",
      ) + policy("none", "{ action: DENY, rules: [{ to: [{ operation: { paths: [/c] } }] }] }"),
    );
    expect(rulesOf(made)).toEqual([
      ["envoy.filters.http.rbac.DENY", "DENY", ["default-none-0"]],
      ["envoy.filters.http.rbac", "ALLOW", ["default-some-0", "default-some-1"]],
    ]);
    expect(made.problems).toEqual([]);
  });

  test("an ALLOW policy without rules lets nobody in", () => {
    expect(rulesOf(translated(policy("nobody", "{}")))).toEqual([
      ["envoy.filters.http.rbac", "ALLOW", ["default-nobody-0"]],
    ]);
  });

  test.each([
    policy("ask", "{ action: CUSTOM, provider: { name: p }, rules: [{}] }"),
    `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: tokens }
spec: { jwtRules: [{ issuer: someone, jwks: '{ "keys": [] }' }] }
`,
  ])("what gRPC can't enforce closes the server, and is said: %s", (objects) => {
    const made = translated(objects);
    expect(rulesOf(made)).toEqual([["envoy.filters.http.rbac.DENY", "DENY", ["closed"]]]);
    expect(made.problems.map(({ code, level }) => `${level} ${code}`)).toEqual(["warning denies-all"]);
  });
});
