import { ChannelCredentials, Client, type ClientDuplexStream } from "@grpc/grpc-js";
import { request } from "undici";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { createMessage } from "#protos/registry.ts";
import { createMemorySource } from "../config/memory-source.ts";
import { createControlPlane, type BoundPorts } from "../server.ts";
import { discoveryServiceDefinition } from "../xds/discovery-service.ts";
import { CDS, LDS } from "../xds/resource-types.ts";

const mesh = `
apiVersion: v1
kind: Service
metadata: { name: reviews }
spec: { clusterIP: 10.96.0.1, selector: { app: reviews }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: reviews-0, labels: { app: reviews, version: v1 } }
status: { podIP: 10.0.0.1 }
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: patch }
spec: {}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: reviews }
spec:
  parentRefs: [{ group: "", kind: Service, name: reviews }]
  rules: [{ backendRefs: [{ name: reviews, port: 80 }] }]
`;

describe("the debug port (4.10)", () => {
  const controlPlane = createControlPlane({
    runtime: nodeRuntime({ logLevel: "off" }),
    sources: [createMemorySource({ "mesh.yaml": mesh })],
    options: { ports: { http: 0, monitoring: 0, grpc: 0 } },
  });
  let ports: BoundPorts;
  let client: Client;
  let call: ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

  beforeAll(async () => {
    ports = await controlPlane.start();
    client = new Client(`127.0.0.1:${ports.grpc}`, ChannelCredentials.createInsecure());
    const { deltaAggregatedResources: method } = discoveryServiceDefinition();
    call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
    call.on("error", () => undefined);
    call.on("data", ({ typeUrl, nonce }: DeltaDiscoveryResponse) => {
      const errorDetail = typeUrl === LDS.typeUrl ? { code: 13, message: "no such filter" } : undefined;
      call.write(send({ typeUrl, responseNonce: nonce, ...(errorDetail === undefined ? {} : { errorDetail }) }));
    });
    const metadata = {
      NAMESPACE: "default",
      SERVICE_ACCOUNT: "web",
      CLUSTER_ID: "Kubernetes",
      ISTIO_VERSION: "1.32.0",
    };
    call.write(
      send({
        typeUrl: CDS.typeUrl,
        node: {
          id: "sidecar~10.0.0.9~web-0.default~default.svc.cluster.local",
          metadata,
          extensions: ["router", "fault", "cors"].map((name) => ({ name: `envoy.filters.http.${name}` })),
        },
      }),
    );
    call.write(send({ typeUrl: LDS.typeUrl }));
    await vi.waitFor(() => expect(controlPlane.connections()[0]?.statuses().get(LDS)?.state).toBe("NACK"));
  });

  afterAll(async () => {
    client.close();
    await controlPlane.close();
  });

  const send = (init: object): DeltaDiscoveryRequest =>
    createMessage<DeltaDiscoveryRequest>("envoy.service.discovery.v3.DeltaDiscoveryRequest", init);
  const get = async (path: string, port = ports.http): Promise<{ status: number; body: string }> => {
    const response = await request(`http://127.0.0.1:${port}${path}`);
    return { status: response.statusCode, body: await response.body.text() };
  };
  const json = async (path: string): Promise<unknown> => JSON.parse((await get(path)).body);

  test("syncz tells each proxy and type: state, nonces, and why something was refused", async () => {
    expect(await json("/debug/syncz")).toMatchObject([
      {
        proxy: "web-0.default",
        cluster_id: "Kubernetes",
        proxy_version: "1.32.0",
        left_out: expect.arrayContaining(["istio.stats", "istio.alpn"]) as unknown,
        cluster_sent: "delta-1-1",
        cluster_acked: "delta-1-1",
        types: {
          CDS: { status: "SYNCED", sent_nonce: "delta-1-1", acked_nonce: "delta-1-1" },
          LDS: { status: "NACK", sent_nonce: "delta-1-2", acked_nonce: "", error_detail: "no such filter" },
        },
      },
    ]);
    expect(await json("/debug/syncz?namespace=other")).toEqual([]);
  });

  test("config_dump has Envoy's form, with what the proxy was sent", async () => {
    const dump = (await json("/debug/config_dump?proxyID=web-0.default")) as {
      readonly configs: readonly Readonly<Record<string, unknown>>[];
    };
    expect(dump.configs.map((config) => config["@type"])).toEqual(
      ["Clusters", "Endpoints", "Listeners", "Routes"].map(
        (name) => `type.googleapis.com/envoy.admin.v3.${name}ConfigDump`,
      ),
    );
    expect(JSON.stringify(dump.configs[0])).toMatch(/"name":"outbound\|80\|\|reviews\.default\.svc\.cluster\.local"/);
  });

  test("a proxy that is not there, or not named, is answered with those that are", async () => {
    expect(await get("/debug/config_dump?proxyID=nobody")).toEqual({
      status: 404,
      body: "no proxy nobody is connected; connected are: web-0.default\n",
    });
    expect(await get("/debug/config_dump")).toMatchObject({ status: 400 });
  });

  test("adsz, connections, registryz, endpointz, edsz, configz, mesh, push_status, findings", async () => {
    expect(await json("/debug/adsz")).toMatchObject({
      totalClients: 1,
      clients: [{ watches: { [CDS.typeUrl]: ["*"] } }],
    });
    expect(await json("/debug/connections")).toMatchObject({ totalClients: 1 });
    expect(await json("/debug/registryz")).toMatchObject([
      { hostname: "reviews.default.svc.cluster.local", instances: 1 },
    ]);
    expect(await json("/debug/endpointz")).toMatchObject([{ endpoints: [{ address: "10.0.0.1", port: 8080 }] }]);
    expect(await json("/debug/edsz")).toEqual({ "web-0.default": [] });
    expect(await json("/debug/configz")).toMatchObject([
      { kind: "VirtualService", madeOf: "HTTPRoute default/reviews" },
      { kind: "EnvoyFilter", source: "mesh.yaml:12" },
      { kind: "HTTPRoute", source: "mesh.yaml:17" },
    ]);
    expect(await json("/debug/configz?kind=DestinationRule")).toEqual([]);
    const status = { parents: [{ parentRef: { kind: "Service", name: "reviews" } }] };
    expect(await json("/debug/gatewayapiz")).toMatchObject({ "HTTPRoute/default/reviews": status });
    expect(await json("/debug/gatewayapiz?name=HTTPRoute/default/reviews")).toMatchObject(status);
    expect(await get("/debug/gatewayapiz?name=HTTPRoute/default/nobody")).toMatchObject({ status: 404 });
    expect(await json("/debug/mesh")).toMatchObject({ trustDomain: "cluster.local" });
    expect(await json("/debug/push_status")).toMatchObject({ proxies: 1, waitingForPush: [] });
    expect(JSON.stringify(await json("/debug/findings"))).toMatch(
      /questionable-value.*mesh\.yaml:12:1: EnvoyFilter default\/patch/,
    );
  });

  test("the index lists the pages; unknown ones and other methods are refused", async () => {
    expect((await get("/debug")).body).toMatch(/\/debug\/syncz/);
    expect(await get("/nowhere")).toMatchObject({ status: 404 });
    const response = await request(`http://127.0.0.1:${ports.http}/debug/syncz`, { method: "POST" });
    expect([response.statusCode, await response.body.text()]).toEqual([
      405,
      "only GET and HEAD: this port changes nothing\n",
    ]);
  });

  test("4.9: metrics have istiod's names", async () => {
    const { body } = await get("/metrics", ports.monitoring);
    expect(body).toMatch(/^pilot_xds\{version="0\.1\.0"\} 1$/m);
    expect(body).toMatch(/^pilot_xds_pushes\{type="cds"\} 1$/m);
    expect(body).toMatch(/^pilot_total_xds_rejects\{type="lds"\} 1$/m);
    expect(body).toMatch(/^pilot_xds_lds_reject 1$/m);
    expect(body).toMatch(/^citadel_server_root_cert_expiry_timestamp \d{10}$/m);
    expect(body).toMatch(/^istiod_uptime_seconds \d/m);
  });

  test("events come as server-sent events where they are asked for so", async () => {
    const response = await request(`http://127.0.0.1:${ports.http}/debug/events`, {
      headers: { accept: "text/event-stream" },
    });
    expect(response.headers["content-type"]).toBe("text/event-stream");
    const body: AsyncIterable<Buffer> = response.body;
    for await (const chunk of body) {
      expect(String(chunk)).toMatch(/^data: \{"type":"config"/);
      break;
    }
  });
});
