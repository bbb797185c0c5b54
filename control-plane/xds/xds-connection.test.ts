import { describe, expect, test } from "vitest";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { buildMeshIndex } from "../model/build-mesh-index.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import { readMeshConfig } from "../model/read-mesh-config.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { ResourceJson, Translator } from "../translate/types.ts";
import { createProxyResources } from "./proxy-resources.ts";
import { createResourceEncoder } from "./resource-encoder.ts";
import { CDS, EDS, LDS, RDS, type ResourceType } from "./resource-types.ts";
import type { SubscriptionRequest } from "./subscription.ts";
import { createXdsConnection, type XdsConnection, type XdsResponse } from "./xds-connection.ts";

/** What a fake mesh holds, by name. */
interface Content {
  readonly clusters?: readonly string[];
  readonly endpoints?: Readonly<Record<string, string>>;
  readonly routes?: Readonly<Record<string, string>>;
  readonly fails?: ResourceType;
  readonly broken?: boolean;
  readonly timeout?: string;
}

const cluster = (name: string, connectTimeout = "1s"): ResourceJson => ({
  name,
  type: "EDS",
  edsClusterConfig: { serviceName: name },
  connectTimeout,
});

const node: ProxyNode = {
  id: "sidecar~10.0.0.1~web-0.default~default.svc.cluster.local",
  type: "sidecar",
  ipAddresses: ["10.0.0.1"],
  name: "web-0",
  namespace: "default",
  dnsDomain: "default.svc.cluster.local",
  labels: {},
  serviceAccount: "web",
  clusterId: "Kubernetes",
  network: "",
  locality: { region: "", zone: "", subZone: "" },
  interceptionMode: "REDIRECT",
  metadata: {},
};

/** A connection over fake content; `client` answers as Envoy does. */
function connected(mode: "delta" | "sotw", first: Content) {
  const contents = new Map<MeshIndex, Content>();
  const runtime = simulatedRuntime({ seed: 1 });
  const meshOf = (content: Content): MeshIndex => {
    const mesh = { ...buildMeshIndex([], readMeshConfig([]).meshConfig), version: `v${contents.size + 1}` };
    contents.set(mesh, content);
    return mesh;
  };
  const translator: Translator = {
    clusters: (mesh) =>
      made(mesh, CDS, ({ clusters = [], broken = false, timeout }) => [
        ...clusters.map((name) => cluster(name, timeout)),
        ...(broken ? [{ name: "b", type: "NOT_A_TYPE" }] : []),
      ]),
    endpoints: (mesh, _proxy, names) =>
      made(mesh, EDS, ({ endpoints = {} }) =>
        names
          .filter((name) => name in endpoints)
          .map((name) => ({
            clusterName: name,
            endpoints: [{ lbEndpoints: [{ endpoint: { hostname: endpoints[name] } }] }],
          })),
      ),
    listeners: (mesh) => made(mesh, LDS, () => [{ name: "virtualOutbound" }]),
    routes: (mesh, _proxy, names) =>
      made(mesh, RDS, ({ routes = {} }) =>
        names
          .filter((name) => name in routes)
          .map((name) => ({ name, virtualHosts: [{ name: routes[name], domains: ["*"] }] })),
      ),
    secrets: () => ({ resources: [], problems: [] }),
    extensionConfigs: () => ({ resources: [], problems: [] }),
    nameTable: () => ({ resources: [], problems: [] }),
    snapshot: () => ({ clusters: [], endpoints: [], listeners: [], routes: [], problems: [] }),
  };
  function made(mesh: MeshIndex, type: ResourceType, of: (content: Content) => readonly ResourceJson[]) {
    const content = contents.get(mesh) ?? {};
    if (content.fails === type) throw new Error("translation bug");
    return { resources: of(content), problems: [] };
  }
  const encoder = createResourceEncoder();
  const sent: XdsResponse[] = [];
  const failures: string[] = [];
  const connection: XdsConnection = createXdsConnection({
    id: "c",
    mode,
    node,
    mesh: meshOf(first),
    clock: runtime.clock,
    resourcesIn: (mesh, lastGood) => createProxyResources({ translator, encoder }, mesh, node, lastGood),
    send: (response) => sent.push(response),
    onFailure: (type) => failures.push(type.short),
  });
  const wants = new Map<ResourceType, readonly string[]>();
  const request = (
    type: ResourceType,
    extra: {
      subscribe?: readonly string[];
      nonce?: string;
      errorDetail?: string;
      initialVersions?: Readonly<Record<string, string>>;
    },
  ): void => {
    const { subscribe = [], nonce = "", errorDetail, initialVersions = {} } = extra;
    const names = [...(wants.get(type) ?? []), ...subscribe];
    wants.set(type, names);
    const delta: SubscriptionRequest = {
      mode: "delta",
      subscribe,
      unsubscribe: [],
      initialVersions,
      nonce,
      errorDetail,
    };
    const sotw: SubscriptionRequest = { mode: "sotw", names, version: "", nonce: lastNonce(type), errorDetail };
    connection.request(type, mode === "delta" ? delta : sotw);
  };
  const lastNonce = (type: ResourceType): string => sent.findLast((response) => response.type === type)?.nonce ?? "";
  /** What was sent since the last call: `CDS a b -c`. */
  let told = 0;
  const news = (): readonly string[] => {
    const fresh = sent
      .slice(told)
      .map(({ type, resources, removed }) =>
        [
          type.short,
          ...resources.map(({ name }) => name),
          ...(mode === "delta" ? removed.map((name) => `-${name}`) : []),
        ].join(" "),
      );
    told = sent.length;
    return fresh;
  };
  const ack = (type: ResourceType): void => request(type, { nonce: lastNonce(type) });
  const nack = (type: ResourceType): void => request(type, { nonce: lastNonce(type), errorDetail: "refused" });
  const push = (content: Content): void => connection.push(meshOf(content));
  return { runtime, connection, request, news, ack, nack, push, failures };
}

const start: Content = { clusters: ["a"], endpoints: { a: "1" }, routes: { "80": "one" } };

function running(mode: "delta" | "sotw", content: Content = start) {
  const proxy = connected(mode, content);
  proxy.request(CDS, {});
  proxy.ack(CDS);
  proxy.request(EDS, { subscribe: ["a"] });
  proxy.ack(EDS);
  proxy.request(LDS, {});
  proxy.ack(LDS);
  proxy.request(RDS, { subscribe: ["80"] });
  proxy.ack(RDS);
  expect(proxy.news()).toEqual(["CDS a", "EDS a", "LDS virtualOutbound", "RDS 80"]);
  return proxy;
}

describe.each(["delta", "sotw"] as const)("a connection, %s", (mode) => {
  test("X-01: an endpoint that changed is EDS alone (rule 109)", () => {
    const proxy = running(mode);
    proxy.push({ ...start, endpoints: { a: "2" } });
    expect(proxy.news()).toEqual(["EDS a"]);
  });

  test("X-22: the same content under another version is nothing", () => {
    const proxy = running(mode);
    proxy.push({ ...start });
    expect(proxy.news()).toEqual([]);
  });

  test("X-54: a new cluster, its endpoints, and only then the route to it", () => {
    const proxy = running(mode);
    proxy.push({ clusters: ["a", "b"], endpoints: { a: "1", b: "1" }, routes: { "80": "two" } });
    expect(proxy.news()).toEqual([mode === "delta" ? "CDS b" : "CDS a b"]);
    proxy.ack(CDS);
    expect(proxy.news()).toEqual([]);
    proxy.request(EDS, { subscribe: ["b"] });
    expect(proxy.news()).toEqual(["EDS b"]);
    proxy.ack(EDS);
    expect(proxy.news()).toEqual(["RDS 80"]);
  });

  test("X-54: a proxy that never asks for the endpoints gets its routes after two seconds", async () => {
    const proxy = running(mode);
    proxy.push({ clusters: ["a", "b"], endpoints: { a: "1", b: "1" }, routes: { "80": "two" } });
    proxy.ack(CDS);
    await proxy.runtime.advance(1999);
    proxy.news();
    await proxy.runtime.advance(1);
    expect(proxy.news()).toEqual(["RDS 80"]);
  });

  test("X-57: a proxy whose clusters never warm, and that never answers, gets later ones all the same", async () => {
    const proxy = running(mode);
    proxy.push({ ...start, clusters: ["a", "stuck"] });
    proxy.push({ ...start, clusters: ["a", "stuck", "late"] });
    expect(proxy.news()).toEqual([mode === "delta" ? "CDS stuck" : "CDS a stuck"]);
    await proxy.runtime.advance(2000);
    expect(proxy.news()).toEqual([mode === "delta" ? "CDS late" : "CDS a stuck late"]);
    proxy.ack(CDS);
    expect(proxy.connection.statuses().get(CDS)?.state).toBe("SYNCED");
  });

  test("a proxy that refuses the clusters gets its routes at once", () => {
    const proxy = running(mode);
    proxy.push({ clusters: ["a", "b"], endpoints: { a: "1", b: "1" }, routes: { "80": "two" } });
    proxy.news();
    proxy.nack(CDS);
    expect(proxy.news()).toEqual(["RDS 80"]);
  });

  test("X-58: a cluster that changed gets its endpoints again though they have not", () => {
    const proxy = running(mode);
    proxy.push({ ...start, timeout: "2s" });
    expect(proxy.news()).toEqual(["CDS a", "EDS a"]);
  });

  test("113: a resource that can't be made is left out, the others go; what the proxy had of it stays", () => {
    const proxy = connected(mode, { clusters: ["a", "b"] });
    proxy.request(CDS, {});
    proxy.ack(CDS);
    proxy.news();
    proxy.push({ clusters: ["a", "c"], broken: true });
    expect(proxy.news()).toEqual([mode === "delta" ? "CDS c" : "CDS a b c"]);
    expect(proxy.connection.problems.map(({ object, code }) => `${code} ${object ?? ""}`)).toEqual([
      "internal-translation CDS b",
    ]);
  });

  test("a failure of translation leaves the type as it was, and the others go on", () => {
    const proxy = running(mode);
    proxy.push({ clusters: ["a"], endpoints: { a: "2" }, routes: { "80": "two" }, fails: RDS });
    expect(proxy.news()).toEqual(["EDS a"]);
    expect(proxy.failures).toEqual(["RDS"]);
    proxy.push({ clusters: ["a"], endpoints: { a: "2" }, routes: { "80": "two" } });
    proxy.ack(EDS);
    expect(proxy.news()).toEqual(["RDS 80"]);
  });

  test("while an answer is awaited pushes wait, and then the newest counts", () => {
    const proxy = running(mode);
    proxy.push({ ...start, endpoints: { a: "2" } });
    proxy.push({ ...start, endpoints: { a: "3" } });
    proxy.push({ ...start, endpoints: { a: "4" } });
    expect(proxy.news()).toEqual(["EDS a"]);
    proxy.ack(EDS);
    expect(proxy.news()).toEqual(["EDS a"]);
    proxy.ack(EDS);
    expect(proxy.news()).toEqual([]);
    const [assignment] = proxy.connection.inForce(EDS);
    expect(JSON.stringify(assignment?.json)).toContain('"4"');
  });
});

describe("a proxy that comes back, delta", () => {
  test("X-35, X-58: a cluster that changed meanwhile gets its endpoints again though the proxy has them", () => {
    const before = running("delta");
    const versions = (type: ResourceType): Readonly<Record<string, string>> =>
      Object.fromEntries(before.connection.inForce(type).map(({ name, version }) => [name, version]));
    const proxy = connected("delta", { ...start, timeout: "2s" });
    proxy.request(CDS, { initialVersions: versions(CDS) });
    proxy.request(EDS, { subscribe: ["a"], initialVersions: versions(EDS) });
    proxy.request(LDS, { initialVersions: versions(LDS) });
    proxy.request(RDS, { subscribe: ["80"], initialVersions: versions(RDS) });
    expect(proxy.news()).toEqual(["CDS a", "EDS a"]);
    proxy.ack(CDS);
    proxy.ack(EDS);
    expect(proxy.news()).toEqual([]);
    expect([...proxy.connection.statuses().values()].map(({ state }) => state)).toEqual(Array(4).fill("SYNCED"));
    expect(proxy.connection.inForce(RDS).map(({ name }) => name)).toEqual(["80"]);
  });
});

describe.each(["delta", "sotw"] as const)("clusters that go, %s", (mode) => {
  test("X-54: they are removed last, after the routes that led to them", () => {
    const proxy = running(mode);
    proxy.push({ clusters: ["b"], endpoints: { b: "1" }, routes: { "80": "two" } });
    expect(proxy.news()).toEqual([mode === "delta" ? "CDS b" : "CDS a b"]);
    proxy.ack(CDS);
    proxy.request(EDS, { subscribe: ["b"] });
    proxy.ack(EDS);
    const after = proxy.news();
    expect(after.at(0)).toMatch(/^EDS/);
    expect(after.slice(-2)).toEqual(["RDS 80", mode === "delta" ? "CDS -a" : "CDS b"]);
  });

  test("a mere removal waits for nothing", () => {
    const proxy = running(mode);
    proxy.push({ clusters: [], endpoints: { a: "1" }, routes: { "80": "one" } });
    expect(proxy.news()).toEqual([mode === "delta" ? "CDS -a" : "CDS"]);
  });
});
