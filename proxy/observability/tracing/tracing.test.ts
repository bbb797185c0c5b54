import { describe, expect, test } from "vitest";
import type { Connection } from "#lib/connection.ts";
import { simulatedRuntime, type SimulatedRuntime } from "#lib/simulated-runtime.ts";
import { fromBinary } from "@bufbuild/protobuf";
import { messageFromJson } from "#protos/json.ts";
import { schema } from "#protos/registry.ts";
import type { ExportTraceServiceRequest } from "#protos/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.js";
import type { HttpConnectionManager_Tracing } from "#protos/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import type { StreamDecoder, StreamEncoder } from "../../http/codec.ts";
import type { FilterFactoryContext } from "../../http/filter.ts";
import { HeaderMap } from "../../http/header-map.ts";
import type { Tracer } from "../../http/tracing.ts";
import type { ResolvedRoute } from "../../router/types.ts";
import { ResponseFlag, StreamInfo } from "../../stream-info.ts";
import type { Cluster, Host, HttpPool, PoolCallbacks } from "../../upstream/types.ts";
import { createStatsStore } from "../stats-store.ts";
import { createTracingFactory } from "./tracing.ts";
import { MessageReader } from "#protos/reader.ts";
import type { Tracing } from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import { parseRouteTracing } from "../../router/route-tracing.ts";

const TYPE = "type.googleapis.com/envoy.config.trace.v3.";
const otel = {
  "@type": `${TYPE}OpenTelemetryConfig`,
  service_name: "shop",
  http_service: { http_uri: { uri: "http://collector:4318/v1/traces", cluster: "collector", timeout: "1s" } },
};
const zipkin = {
  "@type": `${TYPE}ZipkinConfig`,
  collector_cluster: "collector",
  collector_endpoint: "/api/v2/spans",
  collector_endpoint_version: "HTTP_JSON",
  trace_id_128bit: true,
};

function parse(json: Readonly<Record<string, unknown>>) {
  const typeName = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing";
  const { value, problems } = messageFromJson(typeName, json);
  expect(problems).toEqual([]);
  return createTracingFactory().parse(value as HttpConnectionManager_Tracing, "tracing");
}

/** A collector behind a cluster: keeps what is posted, answers with a status. */
class Collector {
  readonly posts: { readonly headers: HeaderMap; readonly body: Buffer }[] = [];
  status = 200;
  isReachable = true;

  cluster(): Cluster {
    const pool: HttpPool = {
      newStream: (decoder, callbacks) => {
        this.#answer(decoder, callbacks);
        return undefined;
      },
    };
    return { chooseHost: () => ({}) as Host, httpPool: () => pool } as unknown as Cluster;
  }

  #answer(decoder: StreamDecoder, callbacks: PoolCallbacks): void {
    if (!this.isReachable) {
      callbacks.onPoolFailure("remote connection failure", "", undefined);
      return;
    }
    let headers = new HeaderMap();
    const encoder = {
      sendHeaders: (sent: HeaderMap) => (headers = sent),
      sendData: (chunk: Buffer) => {
        this.posts.push({ headers, body: Buffer.from(chunk) });
        decoder.onHeaders(HeaderMap.of({ ":status": String(this.status) }), true);
        return true;
      },
    } as unknown as StreamEncoder;
    callbacks.onPoolReady(encoder, {} as Host, {} as Connection, "HTTP/1.1");
  }
}

function setup(
  provider: Readonly<Record<string, unknown>>,
  more: Readonly<Record<string, unknown>> = {},
  trafficDirection: FilterFactoryContext["trafficDirection"] = "inbound",
) {
  const { value, problems } = parse({ provider: { name: "p", typed_config: provider }, ...more });
  expect(problems).toEqual([]);
  const collector = new Collector();
  const runtime = simulatedRuntime({ seed: 7 });
  const store = createStatsStore();
  const context = {
    runtime,
    trafficDirection,
    rootScope: store.root,
    clusters: { get: (name: string) => (name === "collector" ? collector.cluster() : undefined) },
    node: { id: "node-1", cluster: "shop.default", metadata: {}, locality: { region: "", zone: "z1", subZone: "" } },
  } as unknown as FilterFactoryContext;
  const tracer = value?.(context);
  if (tracer === undefined) throw new Error("no tracer");
  return { tracer, collector, runtime, store };
}

function request(headers: Readonly<Record<string, string>> = {}): HeaderMap {
  return HeaderMap.of({ ":method": "GET", ":path": "/a?b", ":authority": "shop", ":scheme": "http", ...headers });
}

/** Runs one request through a tracer; the headers are those that go on. */
function trace(
  tracer: Tracer,
  headers: HeaderMap,
  reason: "none" | "sampled" = "sampled",
  change: (info: StreamInfo) => void = () => {},
) {
  const info = new StreamInfo();
  info.startTimeMs = 1_700_000_000_000;
  info.start = 10;
  info.end = 15.25;
  info.responseCode = 200;
  change(info);
  const route = { decoratorOperation: "shop.default.svc:80/*", metadata: {} } as unknown as ResolvedRoute;
  const span = tracer.startSpan(headers, info, route, reason);
  span?.finish({ info, requestHeaders: headers, responseHeaders: HeaderMap.of({}) });
  return span;
}

/** The batch is encoded by modules that are loaded then. */
async function flushed(runtime: SimulatedRuntime, posts: readonly unknown[], count = 1): Promise<void> {
  await runtime.advance(1500);
  await expect.poll(() => posts.length).toBe(count);
}

const parent = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };
const traceparent = (flags: string): string => `00-${parent.traceId}-${parent.spanId}-${flags}`;

describe("OpenTelemetry", () => {
  test("a sampled request begins a trace, is passed on with its context, and is sent over OTLP", async () => {
    const { tracer, collector, runtime, store } = setup(otel, {
      custom_tags: [
        { tag: "literal", literal: { value: "l" } },
        { tag: "header", request_header: { name: "X-User", default_value: "nobody" } },
        { tag: "policy", metadata: { kind: { request: {} }, metadata_key: { key: "rbac", path: [{ key: "id" }] } } },
      ],
    });
    const headers = request({ "x-request-id": "id-1", "user-agent": "curl" });
    const span = trace(tracer, headers, "sampled", (info) => {
      info.responseCode = 503;
      info.setFlag(ResponseFlag.NoHealthyUpstream);
      info.dynamicMetadata = new Map([["rbac", { id: "p1" }]]);
      info.cluster = { name: "outbound|80||a", observabilityName: "a" } as unknown as Cluster;
    });
    const [, traceId = "", spanId = "", flags] = headers.get("traceparent")?.split("-") ?? [];
    expect([traceId.length, spanId.length, flags, span?.traceId]).toEqual([32, 16, "01", traceId]);
    await flushed(runtime, collector.posts);
    const [post] = collector.posts;
    expect(post?.headers.entries()).toEqual([
      [":method", "POST"],
      [":path", "/v1/traces"],
      [":authority", "collector:4318"],
      [":scheme", "http"],
      ["content-type", "application/x-protobuf"],
      ["content-length", String(post?.body.length)],
    ]);
    const type = schema<ExportTraceServiceRequest>("opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest");
    const [resource] = (fromBinary(type, post?.body ?? Buffer.alloc(0)) as ExportTraceServiceRequest).resourceSpans;
    expect(resource?.resource?.attributes[0]).toMatchObject({
      key: "service.name",
      value: { value: { value: "shop" } },
    });
    const [sent] = resource?.scopeSpans[0]?.spans ?? [];
    expect(sent).toMatchObject({
      name: "shop.default.svc:80/*",
      kind: 2,
      startTimeUnixNano: 1_700_000_000_000_000_000n,
      endTimeUnixNano: 1_700_000_000_005_250_000n,
      status: { code: 2 },
    });
    expect(Buffer.from(sent?.traceId ?? []).toString("hex")).toBe(traceId);
    expect(sent?.parentSpanId).toHaveLength(0);
    const tags = Object.fromEntries(sent?.attributes.map(({ key, value }) => [key, value?.value.value]) ?? []);
    expect(tags).toMatchObject({
      component: "proxy",
      node_id: "node-1",
      zone: "z1",
      "guid:x-request-id": "id-1",
      "http.url": "http://shop/a?b",
      "http.method": "GET",
      "http.status_code": "503",
      response_flags: "UH",
      user_agent: "curl",
      downstream_cluster: "-",
      upstream_cluster: "outbound|80||a",
      "upstream_cluster.name": "a",
      error: "true",
      literal: "l",
      header: "nobody",
      policy: "p1",
    });
    expect(store.root.counter("tracing.opentelemetry.spans_sent").value).toBe(1);
  });

  test("a sampled parent is continued, whatever our own draw says", async () => {
    const { tracer, collector, runtime } = setup(otel, {}, "outbound");
    const headers = request({ traceparent: traceparent("01"), tracestate: "a=b" });
    const span = trace(tracer, headers, "none");
    expect(span?.traceId).toBe(parent.traceId);
    expect(headers.get("traceparent")).toMatch(
      new RegExp(`^00-${parent.traceId}-(?!${parent.spanId})[0-9a-f]{16}-01$`),
    );
    await flushed(runtime, collector.posts);
    const type = schema<ExportTraceServiceRequest>("opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest");
    const message = fromBinary(type, collector.posts[0]?.body ?? Buffer.alloc(0)) as ExportTraceServiceRequest;
    const sent = message.resourceSpans[0]?.scopeSpans[0]?.spans[0];
    expect(Buffer.from(sent?.parentSpanId ?? []).toString("hex")).toBe(parent.spanId);
    expect([sent?.kind, sent?.traceState]).toEqual([3, "a=b"]);
  });

  test("an unsampled parent is passed on as it is", () => {
    const { tracer } = setup(otel);
    const headers = request({ traceparent: traceparent("00") });
    expect(trace(tracer, headers, "sampled")).toBeUndefined();
    expect(headers.get("traceparent")).toBe(traceparent("00"));
  });

  test("without a parent, an unsampled request leaves with an unsampled context", () => {
    const { tracer } = setup(otel);
    const headers = request();
    expect(trace(tracer, headers, "none")).toBeUndefined();
    expect(headers.get("traceparent")).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  });

  test("no_context_propagation leaves the headers alone", () => {
    const { tracer } = setup(otel, { no_context_propagation: true });
    const headers = request();
    expect(trace(tracer, headers)).toBeDefined();
    expect(headers.has("traceparent")).toBe(false);
  });

  test("a collector that can't be reached costs nothing but the batch", async () => {
    const { tracer, collector, runtime, store } = setup(otel);
    collector.isReachable = false;
    trace(tracer, request());
    await runtime.advance(1500);
    await expect.poll(() => store.root.counter("tracing.opentelemetry.reports_failed").value).toBe(1);
    collector.isReachable = true;
    trace(tracer, request());
    await flushed(runtime, collector.posts);
  });

  test("an inbound request may bring its operation along", async () => {
    const { tracer, collector, runtime } = setup(otel);
    trace(tracer, request({ "x-envoy-decorator-operation": "given" }));
    await flushed(runtime, collector.posts);
    expect(collector.posts[0]?.body.toString("latin1")).toContain("given");
  });
});

describe("names of spans and tags of routes", () => {
  const zipkinSpan = async (
    route: object | undefined,
    more: Readonly<Record<string, unknown>> = {},
    outbound = false,
  ) => {
    const { tracer, collector, runtime } = setup(zipkin, more, outbound ? "outbound" : "inbound");
    const info = new StreamInfo();
    info.responseCode = 200;
    const requestHeaders = request();
    const span = tracer.startSpan(requestHeaders, info, route as unknown as ResolvedRoute, "sampled");
    span?.finish({ info, requestHeaders, route: route as unknown as ResolvedRoute });
    await flushed(runtime, collector.posts);
    const [sent] = JSON.parse(collector.posts[0]?.body.toString() ?? "") as { name: string; tags: object }[];
    return sent;
  };
  const routeTracing = (json: object) => {
    const message = messageFromJson("envoy.config.route.v3.Tracing", json).value;
    return parseRouteTracing(new MessageReader(message as Tracing, "tracing", []));
  };

  test("Zipkin names a span by its host, OpenTelemetry by its direction; a decorator goes before", async () => {
    expect((await zipkinSpan(undefined))?.name).toBe("shop");
    expect((await zipkinSpan({ decoratorOperation: "", metadata: {} }))?.name).toBe("shop");
    expect((await zipkinSpan({ decoratorOperation: "op", metadata: {} }))?.name).toBe("op");
    const { tracer, collector, runtime } = setup(otel, {}, "outbound");
    const info = new StreamInfo();
    tracer.startSpan(request(), info, undefined, "sampled")?.finish({ info, requestHeaders: request() });
    await flushed(runtime, collector.posts);
    expect(collector.posts[0]?.body.toString("latin1")).toContain("egress shop");
  });

  test("`operation` is written at the end; the route's goes before the connection manager's", async () => {
    const hcm = { operation: "%REQ(:METHOD)% %RESPONSE_CODE%" };
    expect((await zipkinSpan({ decoratorOperation: "op", metadata: {} }, hcm))?.name).toBe("GET 200");
    const tracing = routeTracing({ operation: "%REQ(:PATH)%" });
    expect((await zipkinSpan({ decoratorOperation: "op", metadata: {}, tracing }, hcm))?.name).toBe("/a?b");
  });

  test("a route's tag takes the place of the connection manager's of the same name", async () => {
    const tag = (tag: string, value: string) => ({ tag, literal: { value } });
    const tracing = routeTracing({ custom_tags: [tag("a", "route"), tag("b", "route")] });
    const sent = await zipkinSpan({ metadata: {}, tracing }, { custom_tags: [tag("a", "all"), tag("c", "all")] });
    expect(sent?.tags).toMatchObject({ a: "route", b: "route", c: "all" });
  });
});

describe("Zipkin", () => {
  test("a server takes over the client's span, and sends JSON", async () => {
    const { tracer, collector, runtime } = setup(zipkin);
    const headers = request({ "x-b3-traceid": parent.traceId, "x-b3-spanid": parent.spanId, "x-b3-sampled": "1" });
    trace(tracer, headers, "none");
    expect(headers.get("x-b3-spanid")).toBe(parent.spanId);
    await flushed(runtime, collector.posts);
    const [post] = collector.posts;
    expect([post?.headers.path, post?.headers.authority]).toEqual(["/api/v2/spans", "collector"]);
    expect(JSON.parse(post?.body.toString() ?? "")).toEqual([
      {
        traceId: parent.traceId,
        id: parent.spanId,
        kind: "SERVER",
        name: "shop.default.svc:80/*",
        timestamp: 1_700_000_000_000_000,
        duration: 5250,
        localEndpoint: { serviceName: "shop.default" },
        tags: expect.objectContaining({ "http.status_code": "200" }) as unknown,
        shared: true,
      },
    ]);
  });

  test("a client makes a child of its own", () => {
    const { tracer } = setup(zipkin, {}, "outbound");
    const headers = request({ b3: `${parent.traceId}-${parent.spanId}-1` });
    trace(tracer, headers);
    expect(headers.get("x-b3-traceid")).toBe(parent.traceId);
    expect(headers.get("x-b3-parentspanid")).toBe(parent.spanId);
    expect(headers.get("x-b3-spanid")).not.toBe(parent.spanId);
    expect(headers.has("b3")).toBe(false);
  });

  test("b3: 0 alone says no", () => {
    const { tracer } = setup(zipkin);
    const headers = request({ b3: "0" });
    expect(trace(tracer, headers, "sampled")).toBeUndefined();
    expect(headers.get("b3")).toBe("0");
  });

  test("a context that leaves the decision to us is completed with it", () => {
    const { tracer } = setup(zipkin);
    const headers = request({ "x-b3-traceid": parent.traceId, "x-b3-spanid": parent.spanId });
    expect(trace(tracer, headers, "none")).toBeUndefined();
    expect(headers.get("x-b3-sampled")).toBe("0");
  });
});

describe("configuration", () => {
  test("without a provider there is no tracer, and tags are still checked", () => {
    const { value, problems } = parse({ custom_tags: [{ tag: "a", literal: { value: "b" } }] });
    expect(problems).toEqual([]);
    expect(value?.({} as FilterFactoryContext)).toBeUndefined();
    expect(parse({ custom_tags: [{ tag: "a" }] }).problems[0]?.path).toBe("tracing.custom_tags[0].type");
  });

  test.each([
    [{ "@type": `${TYPE}DatadogConfig`, collector_cluster: "c", service_name: "s" }, "DatadogConfig is not supported"],
    [{ "@type": `${TYPE}OpenTelemetryConfig` }, "exactly one of grpc_service and http_service"],
    [{ ...zipkin, collector_endpoint_version: "GRPC" }, "HTTP_JSON"],
    [{ ...otel, sampler: { name: "s", typed_config: otel } }, "percentages decide"],
  ])("%j is refused", (provider, message) => {
    expect(parse({ provider: { name: "p", typed_config: provider } }).problems[0]?.message).toContain(message);
  });
});
