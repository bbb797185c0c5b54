/**
 * One control plane for a large mesh, by simulation: real translation, encoding, subscriptions and pushes; streams are
 * objects in this process, which answer at once. `node bench/control-plane-scale.ts [proxies] [services] [endpoints each]`.
 */
import { EventEmitter } from "node:events";
import { objectFromRaw } from "#control-plane/config/object-from-raw.ts";
import { buildMeshIndex } from "#control-plane/model/build-mesh-index.ts";
import { withShapeOf } from "#control-plane/model/endpoint-change.ts";
import type { MeshIndex } from "#control-plane/model/mesh-index.ts";
import type { MeshObject } from "#control-plane/model/object.ts";
import { readMeshConfig } from "#control-plane/model/read-mesh-config.ts";
import { createTranslator } from "#control-plane/translate/translator.ts";
import { createAdsServer } from "#control-plane/xds/ads-server.ts";
import { createEventBus } from "#control-plane/xds/events.ts";
import type { XdsMetrics } from "#control-plane/xds/xds-metrics.ts";
import { CDS, EDS, LDS, RDS } from "#control-plane/xds/resource-types.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { createMessage } from "#protos/registry.ts";

const [proxies = 1000, services = 1000, perService = 10] = process.argv.slice(2).map(Number);
const NAMESPACES = 20;
const runtime = nodeRuntime({ logLevel: "off" });
const { clock } = runtime;

const place = { file: "mesh.yaml", line: 1, column: 1 };
const source = { location: place, locate: () => place };
const objectOf = (raw: unknown): MeshObject => {
  const [object] = objectFromRaw(raw, source).objects;
  if (object === undefined) throw new Error("no object");
  return object;
};

const namespaceOf = (index: number): string => `ns${index % NAMESPACES}`;
const ipOf = (index: number, end: number): string => `10.${1 + (index >> 8)}.${index & 255}.${end + 1}`;

function sliceOf(index: number, readyEnds: number): MeshObject {
  const name = `s${index}`;
  const endpoints = Array.from({ length: perService }, (_, end) => ({
    addresses: [ipOf(index, end)],
    conditions: { ready: end < readyEnds },
    targetRef: { kind: "Pod", name: `${name}-${end}`, namespace: namespaceOf(index) },
  }));
  return objectOf({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace: namespaceOf(index), labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    endpoints,
    ports: [{ name: "http", port: 8080 }],
  });
}

function objectsOf(index: number): readonly MeshObject[] {
  const [name, namespace] = [`s${index}`, namespaceOf(index)];
  const service = objectOf({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: {
      clusterIP: `10.96.${index >> 8}.${index & 255}`,
      selector: { app: name },
      ports: [{ name: "http", port: 80, targetPort: 8080 }],
    },
  });
  const pods = Array.from({ length: perService }, (_, end) =>
    objectOf({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: `${name}-${end}`, namespace, labels: { app: name, "security.istio.io/tlsMode": "istio" } },
      spec: { serviceAccountName: name, containers: [] },
      status: { podIP: ipOf(index, end) },
    }),
  );
  return [service, ...pods, sliceOf(index, perService)];
}

const virtualService = (seconds: number): MeshObject =>
  objectOf({
    apiVersion: "networking.istio.io/v1",
    kind: "VirtualService",
    metadata: { name: "s1", namespace: namespaceOf(1) },
    spec: {
      hosts: [`s1.${namespaceOf(1)}.svc.cluster.local`],
      exportTo: ["."],
      http: [{ timeout: `${seconds}s`, route: [{ destination: { host: "s1" } }] }],
    },
  });

let objects: readonly MeshObject[] = [
  ...Array.from({ length: services }, (_, index) => objectsOf(index)).flat(),
  virtualService(1),
];
const { meshConfig } = readMeshConfig([]);
let mesh = buildMeshIndex(objects, meshConfig);

function replaced(next: MeshObject): MeshIndex {
  const before = { mesh, objects };
  objects = objects.map((object) =>
    object.kind === next.kind &&
    object.metadata.name === next.metadata.name &&
    object.metadata.namespace === next.metadata.namespace
      ? next
      : object,
  );
  mesh = withShapeOf(before, { mesh: buildMeshIndex(objects, meshConfig), objects });
  return mesh;
}

let responses = 0;
let bytes = 0;
let lastAnswerMs = 0;
const answeredAt = new Map<number, number>();

/** A proxy: asks for everything, answers at once. */
class SimulatedProxy extends EventEmitter {
  readonly metadata = { get: () => [] };
  readonly #index: number;
  readonly #names = new Set<string>();

  constructor(index: number) {
    super();
    this.#index = index;
  }

  getAuthContext = () => ({});
  getPeer = () => "simulated";
  pause = () => this;
  resume = () => this;
  end = () => this;

  ask(typeUrl: string, subscribe: readonly string[], nonce = ""): void {
    const index = this.#index;
    const namespace = namespaceOf(index);
    this.emit(
      "data",
      createMessage<DeltaDiscoveryRequest>("envoy.service.discovery.v3.DeltaDiscoveryRequest", {
        typeUrl,
        responseNonce: nonce,
        resourceNamesSubscribe: [...subscribe],
        node: {
          id: `sidecar~${ipOf(index % services, 0)}~s${index % services}-0.${namespace}~${namespace}.svc.cluster.local`,
          metadata: { CLUSTER_ID: "Kubernetes", LABELS: { app: `s${index % services}` } },
        },
      }),
    );
  }

  write(response: DeltaDiscoveryResponse): boolean {
    responses += 1;
    for (const { resource } of response.resources) bytes += resource?.value.length ?? 0;
    queueMicrotask(() => {
      this.ask(response.typeUrl, [], response.nonce);
      lastAnswerMs = clock.monotonic();
      answeredAt.set(this.#index, lastAnswerMs);
      if (response.typeUrl !== CDS.typeUrl) return;
      const fresh = response.resources
        .map(({ name }) => name)
        .filter((name) => name.startsWith("outbound|") && !this.#names.has(name));
      for (const name of fresh) this.#names.add(name);
      if (fresh.length > 0) this.ask(EDS.typeUrl, fresh);
    });
    return true;
  }
}

const nothing = (): void => undefined;
const metrics: XdsMetrics = {
  connected: nothing,
  pushed: nothing,
  rejected: nothing,
  expiredNonce: nothing,
  internalError: nothing,
  converged: nothing,
  pushTime: nothing,
  debounced: nothing,
  queued: nothing,
  triggered: nothing,
};
const ads = createAdsServer(
  {
    runtime,
    translator: createTranslator(),
    authenticators: [],
    events: createEventBus(),
    metrics,
    identifier: "bench",
  },
  mesh,
);
const { deltaAggregatedResources } = ads.implementation(false);

/** Until nothing has been answered for a while. */
async function quiet(): Promise<void> {
  for (;;) {
    const seen = lastAnswerMs;
    await new Promise((resolve) => setTimeout(resolve, 4000));
    if (seen === lastAnswerMs) return;
  }
}

async function measured(what: string, act: () => void): Promise<void> {
  responses = 0;
  bytes = 0;
  answeredAt.clear();
  const cpu = process.cpuUsage();
  const startMs = clock.monotonic();
  act();
  await quiet();
  const { user, system } = process.cpuUsage(cpu);
  const times = [...answeredAt.values()].map((at) => at - startMs).toSorted((a, b) => a - b);
  const at = (share: number): string => `${Math.round(times[Math.floor((times.length - 1) * share)] ?? 0)} ms`;
  process.stdout.write(
    `${what}: ${responses} responses to ${times.length} proxies, ${(bytes / 1e6).toFixed(1)} MB; answered by all after ${at(1)}, p50 ${at(0.5)}, p99 ${at(0.99)}; ${((user + system) / 1e6).toFixed(1)} s CPU\n`,
  );
}

const before = process.memoryUsage().rss;
const all = Array.from({ length: proxies }, (_, index) => new SimulatedProxy(index));
process.stdout.write(`${proxies} proxies, ${services} services, ${services * perService} endpoints\n`);
await measured("full push, all at once", () => {
  for (const proxy of all) {
    deltaAggregatedResources(proxy as unknown as Parameters<typeof deltaAggregatedResources>[0]);
  }
  queueMicrotask(() => {
    for (const proxy of all) {
      for (const type of [CDS, LDS]) proxy.ask(type.typeUrl, []);
      proxy.ask(RDS.typeUrl, ["80"]);
    }
  });
});
globalThis.gc?.();
const perProxy = (process.memoryUsage().rss - before) / proxies / 1024;
process.stdout.write(`resident memory: ${Math.round(perProxy)} KiB a proxy\n`);
for (const readyEnds of [perService - 1, perService, perService - 2]) {
  await measured("one endpoint changes", () => ads.update(replaced(sliceOf(7, readyEnds))));
}
await measured("a VirtualService that one namespace sees changes", () => ads.update(replaced(virtualService(2))));
await measured("a VirtualService that one namespace sees changes", () => ads.update(replaced(virtualService(3))));
ads.close();
