import { describe, expect, test } from "vitest";
import type { Connection, PeerCertificate, TlsInfo } from "#lib/connection.ts";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import type { FilterFactoryContext, FilterStream } from "../../http/filter.ts";
import { HeaderMap } from "../../http/header-map.ts";
import type { DownstreamConnection, NetworkFilterContext } from "../../network/filter.ts";
import { ResponseFlag, StreamInfo } from "../../stream-info.ts";
import type { Cluster } from "../../upstream/types.ts";
import type { PeerMetadata } from "../peer.ts";
import { createStatsStore, type StatsStore } from "../stats-store.ts";
import { parseIstioStats } from "./config.ts";
import { istioStatsHttp } from "./http-filter.ts";
import { istioStatsTcp } from "./network-filter.ts";

const web: PeerMetadata = {
  name: "web-1",
  namespace: "front",
  workloadName: "web-v1",
  owner: "",
  clusterId: "Kubernetes",
  labels: {
    app: "web",
    version: "v1",
    "service.istio.io/canonical-name": "web",
    "service.istio.io/canonical-revision": "v1",
  },
};

const node = {
  id: "sidecar~10.0.0.1~reviews-1.default~default.svc.cluster.local",
  cluster: "reviews.default",
  metadata: {
    NAME: "reviews-1",
    NAMESPACE: "default",
    WORKLOAD_NAME: "reviews-v2",
    CLUSTER_ID: "Kubernetes",
    ISTIO_VERSION: "1.32.0",
    LABELS: { app: "reviews", version: "v2", "service.istio.io/canonical-name": "reviews" },
  },
  locality: { region: "", zone: "", subZone: "" },
};

function config(json: unknown) {
  const { value, problems } = messageFromJson("stats.PluginConfig", json);
  expect(problems).toEqual([]);
  if (value === undefined) throw new Error("no message");
  return parseIstioStats(value, "config");
}

function cluster(name: string, services?: unknown): Cluster {
  return { name, metadata: services === undefined ? {} : { istio: { services } } } as unknown as Cluster;
}

function tls(peer: string | undefined, local: string): TlsInfo {
  const certificate = (uri: string) => ({ uriSans: [uri] }) as unknown as PeerCertificate;
  return {
    version: "TLSv1.3",
    cipher: "",
    resumed: false,
    local: certificate(local),
    ...(peer === undefined ? {} : { peer: certificate(peer) }),
  };
}

function filter(direction: FilterFactoryContext["trafficDirection"], json: unknown = {}) {
  const store = createStatsStore();
  const { value } = config(json);
  if (value === undefined) throw new Error("no config");
  const runtime = simulatedRuntime({ seed: 1 });
  const context = {
    rootScope: store.root,
    node,
    trafficDirection: direction,
    runtime,
  } as unknown as NetworkFilterContext;
  const make = istioStatsHttp.create(value, context, "istio.stats");
  return { store, runtime, context, value, complete: (stream: FilterStream) => make(stream)?.onStreamComplete?.() };
}

function stream(
  changes: (info: StreamInfo) => void,
  request: Record<string, string> = {},
  response = {},
): FilterStream {
  const info = new StreamInfo();
  info.start = 100;
  info.end = 112.5;
  info.responseCode = 200;
  info.bytesSent = 5;
  info.responseHeaderBytes = 20;
  changes(info);
  return {
    info,
    requestHeaders: HeaderMap.of({ ":authority": "reviews:9080", ...request }),
    responseHeaders: HeaderMap.of(response),
  } as unknown as FilterStream;
}

function series(store: StatsStore, metric: string): string[] {
  return [...store.counters(), ...store.histograms(), ...store.gauges()]
    .filter(({ labelled }) => labelled?.metric === `istiocustom.${metric}`)
    .map((stat) => {
      const labels = stat.labelled?.labels.map(([name, value]) => `${name}=${value}`).join(",") ?? "";
      return `{${labels}} ${stat.kind === "histogram" ? `${stat.cumulative().total}/${stat.cumulative().sum}` : stat.value}`;
    });
}

describe("istio.stats over HTTP", () => {
  test("a server counts with the client's metadata, principals from certificates, labels in Istio's order", () => {
    const { store, complete } = filter("inbound");
    const request = stream((info) => {
      info.cluster = cluster("inbound|9080||", [
        { host: "reviews.default.svc.cluster.local", name: "reviews", namespace: "default" },
      ]);
      info.filterState = new Map([["downstream_peer", web]]);
      info.connection = {
        tls: tls("spiffe://cluster.local/ns/front/sa/web", "spiffe://cluster.local/ns/default/sa/reviews"),
      } as unknown as Connection;
    });
    complete(request);
    complete(request);
    const labels =
      "reporter=destination,source_workload=web-v1,source_canonical_service=web,source_canonical_revision=v1,source_workload_namespace=front,source_principal=spiffe://cluster.local/ns/front/sa/web,source_app=web,source_version=v1,source_cluster=Kubernetes,destination_workload=reviews-v2,destination_workload_namespace=default,destination_principal=spiffe://cluster.local/ns/default/sa/reviews,destination_app=reviews,destination_version=v2,destination_service=reviews.default.svc.cluster.local,destination_canonical_service=reviews,destination_canonical_revision=latest,destination_service_name=reviews,destination_service_namespace=default,destination_cluster=Kubernetes,request_protocol=http,response_code=200,grpc_response_status=,response_flags=-,connection_security_policy=mutual_tls";
    expect(series(store, "istio_requests_total")).toEqual([`{${labels}} 2`]);
    expect(series(store, "istio_request_duration_milliseconds")).toEqual([`{${labels}} 2/24`]);
    expect(series(store, "istio_response_bytes")).toEqual([`{${labels}} 2/50`]);
    expect(series(store, "istio_request_messages_total")).toEqual([]);
    expect(series(store, "istio_build")).toEqual(["{component=proxy,tag=1.32.0} 1"]);
  });

  test("a client without an answer counts status 0, its flag, and unknown parties", () => {
    const { store, complete } = filter("outbound");
    complete(
      stream((info) => {
        info.responseCode = 0;
        info.setFlag(ResponseFlag.DownstreamConnectionTermination);
      }),
    );
    const [line] = series(store, "istio_requests_total");
    expect(line).toContain("reporter=source,source_workload=reviews-v2");
    expect(line).toContain("source_principal=unknown");
    expect(line).toContain("destination_workload=unknown");
    expect(line).toContain("destination_canonical_revision=latest");
    expect(line).toContain(
      "response_code=0,grpc_response_status=,response_flags=DC,connection_security_policy=unknown} 1",
    );
  });

  test.each([
    [
      "BlackHoleCluster",
      undefined,
      {},
      "destination_service=reviews:9080,",
      "destination_service_name=BlackHoleCluster",
    ],
    [
      "PassthroughCluster",
      undefined,
      { disable_host_header_fallback: true },
      "destination_service=unknown,",
      "destination_service_name=PassthroughCluster",
    ],
    ["some", undefined, {}, "destination_service=reviews:9080,", "destination_service_name=reviews:9080"],
    [
      "some",
      undefined,
      { disable_host_header_fallback: true },
      "destination_service=unknown,",
      "destination_service_name=unknown",
    ],
    [
      "outbound|80||x",
      [{ host: "x.ns.svc", name: "x", namespace: "ns" }],
      {},
      "destination_service=x.ns.svc,",
      "destination_service_namespace=ns",
    ],
  ])("the service of cluster %s with %j", (name, services, json, ...expected) => {
    const { store, complete } = filter("outbound", json);
    complete(stream((info) => (info.cluster = cluster(name, services))));
    for (const part of expected) expect(series(store, "istio_requests_total")[0]).toContain(part);
  });

  test("gRPC is told by its content type; status and message counts are its own", () => {
    const { store, complete } = filter("inbound");
    complete(
      stream(
        (info) =>
          (info.filterState = new Map([
            ["envoy.filters.http.grpc_stats", { requestMessageCount: 3, responseMessageCount: 1 }],
          ])),
        { "content-type": "application/grpc+proto" },
        { "grpc-status": "14" },
      ),
    );
    expect(series(store, "istio_requests_total")[0]).toContain(
      "request_protocol=grpc,response_code=200,grpc_response_status=14",
    );
    expect(series(store, "istio_request_messages_total")[0]).toMatch(/ 3$/);
    expect(series(store, "istio_response_messages_total")[0]).toMatch(/ 1$/);
  });

  test("outcomes of the same parties are series of their own", () => {
    const { store, complete } = filter("outbound");
    const shared = cluster("a");
    for (const code of [200, 200, 503])
      complete(stream((info) => ((info.cluster = shared), (info.responseCode = code))));
    const counts = series(store, "istio_requests_total").map((line) =>
      /response_code=(\d+).* (\d+)$/.exec(line)?.slice(1),
    );
    expect(counts).toEqual([
      ["200", "2"],
      ["503", "1"],
    ]);
  });

  test("overrides set, add and remove labels and drop metrics", () => {
    const { store, complete } = filter("outbound", {
      metrics: [
        {
          name: "requests_total",
          dimensions: { request_method: "request.method", custom: "request.host", reporter: "'me'" },
        },
        { tags_to_remove: ["source_principal", "request_protocol"] },
        { name: "request_bytes", drop: true },
        { name: "my_metric", drop: true },
      ],
    });
    for (const method of ["GET", "PUT", "GET"]) complete(stream(() => undefined, { ":method": method }));
    const lines = series(store, "istio_requests_total");
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^\{reporter=me,.*,custom=reviews:9080,request_method=GET\} 2$/);
    expect(lines[0]).not.toContain("source_principal");
    expect(series(store, "istio_request_bytes")).toEqual([]);
    expect(series(store, "istio_response_bytes")[0]).not.toContain("request_protocol");
  });

  test("what is not there is refused by name", () => {
    const { problems } = config({
      metrics: [{ dimensions: { a: "request.nope" }, match: "true" }],
      definitions: [{ name: "mine", value: "1" }],
    });
    expect(problems.map(({ path }) => path)).toEqual([
      "config.metrics[0].dimensions[a]",
      "config.metrics[0].match",
      "config.definitions",
    ]);
  });
});

describe("istio.stats over TCP", () => {
  test("bytes are reported while the connection lives and at its end", async () => {
    const { store, runtime, context, value } = filter("outbound", { tcp_reporting_duration: "2s" });
    const info = new StreamInfo();
    info.cluster = cluster("outbound|5432||db", [{ host: "db.ns.svc", name: "db", namespace: "ns" }]);
    const connection = istioStatsTcp.create(value, context)({ info } as unknown as DownstreamConnection);
    connection?.onNewConnection(() => undefined);
    info.bytesSent = 100;
    info.bytesReceived = 10;
    await runtime.advance(2100);
    const count = (metric: string) => series(store, metric).map((line) => line.split("} ")[1]);
    expect([count("istio_tcp_sent_bytes_total"), count("istio_tcp_received_bytes_total")]).toEqual([["100"], ["10"]]);
    expect([count("istio_tcp_connections_opened_total"), count("istio_tcp_connections_closed_total")]).toEqual([
      ["1"],
      [],
    ]);
    info.bytesSent = 130;
    connection?.onClose?.();
    expect([count("istio_tcp_sent_bytes_total"), count("istio_tcp_connections_closed_total")]).toEqual([
      ["130"],
      ["1"],
    ]);
    const [line] = series(store, "istio_tcp_sent_bytes_total");
    expect(line).toContain("destination_service=db.ns.svc,");
    expect(line).toContain("request_protocol=tcp,response_flags=-,connection_security_policy=unknown}");
    await runtime.advance(10_000);
    expect(count("istio_tcp_sent_bytes_total")).toEqual(["130"]);
  });
});
