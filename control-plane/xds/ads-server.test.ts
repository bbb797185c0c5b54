/** Real gRPC, both ways: an independent client against the whole control plane. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ChannelCredentials, Client, Metadata, type ClientDuplexStream, type MethodDefinition } from "@grpc/grpc-js";
import { fromBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openSelfSignedRoot } from "#certs/ca-files.ts";
import { rotateRoot } from "#certs/root-rotation.ts";
import { createCertificateAuthority } from "#certs/certificate-authority.ts";
import { createKeyPair, privateKeyToPem } from "#certs/keys.ts";
import { istioSpiffeId } from "#certs/spiffe-id.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { Cluster } from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { TypedExtensionConfig } from "#protos/gen/envoy/config/core/v3/extension_pb.js";
import type { ProxyConfig } from "#protos/gen/istio/mesh/v1alpha1/proxy_pb.js";
import type { NameTable } from "#protos/gen/istio/networking/nds/v1/nds_pb.js";
import { createMessage, schema } from "#protos/registry.ts";
import { openTokenIssuer, type TokenIssuer } from "../ca/token-issuer.ts";
import { createMemorySource } from "../config/memory-source.ts";
import { createControlPlane, type BoundPorts, type ControlPlane } from "../server.ts";
import type { ControlPlaneEvent } from "./events.ts";
import { discoveryServiceDefinition } from "./discovery-service.ts";
import { CDS, ECDS, EDS, NDS, PCDS } from "./resource-types.ts";

const manifests = (weight = 90): string => `
apiVersion: v1
kind: Service
metadata: { name: reviews }
spec: { clusterIP: 10.96.0.1, selector: { app: reviews }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: reviews-0, labels: { app: reviews, version: v1, security.istio.io/tlsMode: istio } }
spec: { serviceAccountName: reviews }
status: { podIP: 10.0.0.1 }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: reviews }
spec: { host: reviews, subsets: [{ name: v1, labels: { version: v1 } }, { name: v2, labels: { version: v2 } }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
spec:
  hosts: [reviews]
  http:
    - route:
        - { destination: { host: reviews, subset: v1 }, weight: ${weight} }
        - { destination: { host: reviews, subset: v2 }, weight: ${100 - weight} }
`;

const node = (name: string, serviceAccount: string) => ({
  id: `sidecar~10.0.0.9~${name}.default~default.svc.cluster.local`,
  cluster: "web",
  metadata: {
    NAMESPACE: "default",
    SERVICE_ACCOUNT: serviceAccount,
    CLUSTER_ID: "Kubernetes",
    ISTIO_VERSION: "1.32.0",
  },
});

const runtime = nodeRuntime({ logLevel: "off" });

describe("the ADS server over gRPC", () => {
  const source = createMemorySource({ "mesh.yaml": manifests() });
  let directory = "";
  let controlPlane: ControlPlane;
  let ports: BoundPorts;
  let issuer: TokenIssuer;
  let events: ControlPlaneEvent[];
  let clients: Client[];

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "ads-"));
    source.set("mesh.yaml", manifests());
    issuer = await openTokenIssuer(directory, runtime.clock);
    controlPlane = createControlPlane({
      runtime,
      sources: [source],
      options: { stateDirectory: directory, ports: { grpc: 0, secureGrpc: 0 }, debounceMs: { quiet: 5, max: 100 } },
    });
    ports = await controlPlane.start();
    events = [];
    clients = [];
    controlPlane.subscribe((event) => events.push(event));
  });

  afterEach(async () => {
    for (const client of clients) client.close();
    await controlPlane.close();
    rmSync(directory, { recursive: true });
  });

  const clientOf = (secure: ChannelCredentials | undefined): Client => {
    const port = secure === undefined ? ports.grpc : ports.secureGrpc;
    const client = new Client(`127.0.0.1:${port}`, secure ?? ChannelCredentials.createInsecure(), {
      "grpc.ssl_target_name_override": "localhost",
    });
    clients.push(client);
    return client;
  };

  const streamOf = <Request, Response>(
    method: MethodDefinition<Request, Response>,
    secure?: ChannelCredentials,
    metadata = new Metadata(),
  ) => {
    const call: ClientDuplexStream<Request, Response> = clientOf(secure).makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadata,
    );
    const responses: Response[] = [];
    let failure: Error | undefined;
    call.on("data", (response: Response) => responses.push(response));
    call.on("error", (error: Error) => (failure = error));
    const next = (count: number): Promise<Response> =>
      vi.waitFor(() => {
        const response = responses[count - 1];
        if (response === undefined) throw failure ?? new Error(`only ${responses.length} responses`);
        return response;
      });
    return {
      call,
      responses,
      next,
      failure: () => vi.waitFor(() => failure ?? Promise.reject(new Error("no failure"))),
    };
  };

  const delta = (init: object) =>
    createMessage<DeltaDiscoveryRequest>("envoy.service.discovery.v3.DeltaDiscoveryRequest", init);
  const sotw = (init: object) => createMessage<DiscoveryRequest>("envoy.service.discovery.v3.DiscoveryRequest", init);
  const { deltaAggregatedResources, streamAggregatedResources } = discoveryServiceDefinition();
  const deltaStream = (secure?: ChannelCredentials, metadata?: Metadata) =>
    streamOf<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(deltaAggregatedResources, secure, metadata);
  const tls = (): ChannelCredentials => ChannelCredentials.createSsl(Buffer.from(controlPlane.rootsPem));
  const bearer = (token: string): Metadata => {
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    return metadata;
  };

  test("delta: clusters on the first request, then only what changed", async () => {
    const { call, next, responses } = deltaStream();
    call.write(delta({ node: node("web-0", "web"), typeUrl: CDS.typeUrl }));
    const first = await next(1);
    const names = first.resources.map(({ name }) => name);
    expect(names).toContain("outbound|80|v1|reviews.default.svc.cluster.local");
    expect(names).toContain("PassthroughCluster");
    expect(first.controlPlane?.identifier).toMatch(/"Component":"istiod"/);
    call.write(delta({ typeUrl: CDS.typeUrl, responseNonce: first.nonce }));
    source.set("mesh.yaml", manifests().replace("version: v2", "version: v2, extra: x"));
    source.set(
      "more.yaml",
      "apiVersion: v1\nkind: Service\nmetadata: { name: other }\nspec: { ports: [{ name: http, port: 80 }] }",
    );
    const second = await next(2);
    expect(second.resources.map(({ name }) => name)).toContain("outbound|80||other.default.svc.cluster.local");
    expect(second.resources.map(({ name }) => name)).not.toContain("PassthroughCluster");
    source.set("more.yaml", undefined);
    call.write(delta({ typeUrl: CDS.typeUrl, responseNonce: second.nonce }));
    expect((await next(3)).removedResources).toEqual(["outbound|80||other.default.svc.cluster.local"]);
    expect(responses).toHaveLength(3);
  });

  test("the name table of a proxy that captures DNS, and a filter that it fetches by name", async () => {
    source.set(
      "filter.yaml",
      `apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: later }
spec:
  configPatches:
    - applyTo: EXTENSION_CONFIG
      patch:
        operation: ADD
        value: { name: later, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors } }`,
    );
    const { call, next } = streamOf<DiscoveryRequest, DiscoveryResponse>(streamAggregatedResources);
    const capturing = node("web-0", "web");
    const metadata = { ...capturing.metadata, DNS_CAPTURE: "true" };
    call.write(sotw({ node: { ...capturing, metadata }, typeUrl: NDS.typeUrl }));
    const [table] = (await next(1)).resources;
    const names = fromBinary(schema<NameTable>("istio.networking.nds.v1.NameTable"), table?.value ?? new Uint8Array());
    expect(names.table["reviews.default.svc.cluster.local"]?.ips).toEqual(["10.96.0.1"]);
    call.write(sotw({ typeUrl: ECDS.typeUrl, resourceNames: ["later", "unknown"] }));
    const filters = (await next(2)).resources.map(
      ({ value }) => fromBinary(schema<TypedExtensionConfig>("envoy.config.core.v3.TypedExtensionConfig"), value).name,
    );
    expect(filters).toEqual(["later"]);
    source.set("filter.yaml", undefined);
  });

  test("PCDS: the mesh's roots, and those of a rotation when it begins; who follows nothing else is no proxy", async () => {
    const { call, next } = deltaStream();
    call.write(delta({ node: node("web-0", "web"), typeUrl: PCDS.typeUrl }));
    const configOf = ({ resources: [resource] }: DeltaDiscoveryResponse): ProxyConfig =>
      fromBinary(schema<ProxyConfig>("istio.mesh.v1alpha1.ProxyConfig"), resource?.resource?.value ?? new Uint8Array());
    const first = await next(1);
    expect(configOf(first).caCertificatesPem).toEqual([controlPlane.rootsPem]);
    call.write(delta({ typeUrl: PCDS.typeUrl, responseNonce: first.nonce }));
    await rotateRoot(directory, "prepare", runtime.clock.now());
    await vi.waitFor(() => expect(controlPlane.rootsPem.match(/BEGIN/g)).toHaveLength(2), 5000);
    const second = configOf(await next(2));
    expect(second.caCertificatesPem.join("")).toBe(controlPlane.rootsPem);
    expect(second.proxyMetadata).toEqual(configOf(first).proxyMetadata);
    expect(controlPlane.connections()).toEqual([]);
  });

  test("X-35: a proxy that reconnects to a restarted control plane gets only differences", async () => {
    const before = deltaStream();
    before.call.write(delta({ node: node("web-0", "web"), typeUrl: CDS.typeUrl }));
    const { resources } = await before.next(1);
    const initialResourceVersions = Object.fromEntries(resources.map(({ name, version }) => [name, version]));
    await controlPlane.close();
    controlPlane = createControlPlane({
      runtime,
      sources: [
        createMemorySource({
          "mesh.yaml": manifests(),
          "new.yaml":
            "apiVersion: v1\nkind: Service\nmetadata: { name: added }\nspec: { ports: [{ name: http, port: 80 }] }",
        }),
      ],
      options: { stateDirectory: directory, ports: { grpc: 0 } },
    });
    ports = await controlPlane.start();
    const after = deltaStream();
    const gone = { "outbound|80||gone.default.svc.cluster.local": "1" };
    after.call.write(
      delta({
        node: node("web-0", "web"),
        typeUrl: CDS.typeUrl,
        initialResourceVersions: { ...initialResourceVersions, ...gone },
      }),
    );
    const response = await after.next(1);
    expect(response.resources.map(({ name }) => name)).toEqual(["outbound|80||added.default.svc.cluster.local"]);
    await vi.waitFor(() => expect(after.responses.flatMap(({ removedResources }) => removedResources)).toEqual([]));
    after.call.write(delta({ typeUrl: CDS.typeUrl, responseNonce: response.nonce }));
    expect((await after.next(2)).removedResources).toEqual(Object.keys(gone));
  });

  test("state of the world: the same clusters, whole, and endpoints by name", async () => {
    const { call, next } = streamOf<DiscoveryRequest, DiscoveryResponse>(streamAggregatedResources);
    call.write(sotw({ node: node("web-0", "web"), typeUrl: CDS.typeUrl }));
    const first = await next(1);
    const clusters = first.resources.map(({ value }) =>
      fromBinary(schema<Cluster>("envoy.config.cluster.v3.Cluster"), value),
    );
    expect(clusters.map(({ name }) => name)).toContain("outbound|80|v2|reviews.default.svc.cluster.local");
    call.write(sotw({ typeUrl: CDS.typeUrl, versionInfo: first.versionInfo, responseNonce: first.nonce }));
    call.write(sotw({ typeUrl: EDS.typeUrl, resourceNames: ["outbound|80|v1|reviews.default.svc.cluster.local"] }));
    const endpoints = await next(2);
    expect(endpoints.resources).toHaveLength(1);
    expect(endpoints.typeUrl).toBe(EDS.typeUrl);
  });

  test("ACK and NACK are told, kept per proxy and type", async () => {
    const { call, next } = deltaStream();
    call.write(delta({ node: node("web-0", "web"), typeUrl: CDS.typeUrl }));
    const first = await next(1);
    call.write(
      delta({ typeUrl: CDS.typeUrl, responseNonce: first.nonce, errorDetail: { code: 13, message: "no such filter" } }),
    );
    await vi.waitFor(() =>
      expect(events).toContainEqual(expect.objectContaining({ type: "nack", detail: "no such filter" })),
    );
    const [proxy] = controlPlane.connections();
    expect(proxy?.proxyName).toBe("web-0.default");
    expect(proxy?.statuses().get(CDS)).toMatchObject({ state: "NACK", nack: { detail: "no such filter" } });
    expect(events.map(({ type }) => type)).toEqual(["connected", "push", "nack"]);
    call.end();
    await vi.waitFor(() => expect(events.at(-1)).toEqual({ type: "disconnected", proxy: "web-0.default" }));
    expect(controlPlane.connections()).toEqual([]);
  });

  test("over TLS a token proves who calls", async () => {
    const token = await issuer.mintToken({ namespace: "default", serviceAccount: "web" });
    const { call, next } = deltaStream(tls(), bearer(token));
    call.write(delta({ node: node("web-0", "web"), typeUrl: CDS.typeUrl }));
    expect((await next(1)).resources.length).toBeGreaterThan(0);
    expect(controlPlane.connections()[0]?.identity?.uri).toBe("spiffe://cluster.local/ns/default/sa/web");
  });

  test("over TLS a client certificate of the mesh proves who calls, too", async () => {
    const { material } = await openSelfSignedRoot(directory, "cluster.local", runtime.clock.now());
    const { publicKey, privateKey } = await createKeyPair("ECDSA_P256");
    const publicKeyDer = publicKey.export({ type: "spki", format: "der" });
    const id = istioSpiffeId({ trustDomain: "cluster.local", namespace: "default", serviceAccount: "web" });
    const { chain } = createCertificateAuthority({ material, clock: runtime.clock }).signWorkload(
      { publicKey, publicKeyDer },
      id,
    );
    const credentials = ChannelCredentials.createSsl(
      Buffer.from(controlPlane.rootsPem),
      Buffer.from(privateKeyToPem(privateKey)),
      Buffer.from(chain.slice(0, -1).join("")),
    );
    const { call, next } = deltaStream(credentials);
    call.write(delta({ node: node("web-0", "web"), typeUrl: CDS.typeUrl }));
    expect((await next(1)).resources.length).toBeGreaterThan(0);
    expect(controlPlane.connections()[0]?.identity?.uri).toBe(id.uri);
  });

  test("over TLS without a token, or with a bad one, the stream is refused with the reason", async () => {
    const without = deltaStream(tls());
    without.call.write(delta({ node: node("web-0", "web"), typeUrl: CDS.typeUrl }));
    expect((await without.failure()).message).toMatch(/UNAUTHENTICATED.*no proof of identity/);
    const expired = await issuer.mintToken({ namespace: "default", serviceAccount: "web", ttlMs: -60_000 });
    const late = deltaStream(tls(), bearer(expired));
    late.call.write(delta({ node: node("web-0", "web"), typeUrl: CDS.typeUrl }));
    expect((await late.failure()).message).toMatch(/UNAUTHENTICATED.*expired/);
    expect(controlPlane.connections()).toEqual([]);
  });

  test("4.6: a node that says another service account or namespace than it proved is refused", async () => {
    const token = await issuer.mintToken({ namespace: "default", serviceAccount: "web" });
    const account = deltaStream(tls(), bearer(token));
    account.call.write(delta({ node: node("admin-0", "admin"), typeUrl: CDS.typeUrl }));
    expect((await account.failure()).message).toMatch(/PERMISSION_DENIED.*service account admin.*sa\/web/);
    const namespace = deltaStream(tls(), bearer(token));
    const elsewhere = { ...node("web-0", "web"), metadata: { NAMESPACE: "other", SERVICE_ACCOUNT: "web" } };
    namespace.call.write(delta({ node: elsewhere, typeUrl: CDS.typeUrl }));
    expect((await namespace.failure()).message).toMatch(/PERMISSION_DENIED.*namespace other/);
  });

  test("a first request without a node, and one with a bad id, are refused with the reason", async () => {
    const without = deltaStream();
    without.call.write(delta({ typeUrl: CDS.typeUrl }));
    expect((await without.failure()).message).toMatch(/INVALID_ARGUMENT.*node/);
    const bad = deltaStream();
    bad.call.write(delta({ node: { id: "web" }, typeUrl: CDS.typeUrl }));
    expect((await bad.failure()).message).toMatch(/INVALID_ARGUMENT.*four parts/);
  });

  test("X-03: a type that is not served is no reason to end the stream", async () => {
    const { call, next } = deltaStream();
    call.write(delta({ node: node("web-0", "web"), typeUrl: "type.googleapis.com/some.Thing" }));
    call.write(delta({ typeUrl: CDS.typeUrl }));
    expect((await next(1)).typeUrl).toBe(CDS.typeUrl);
  });
});
