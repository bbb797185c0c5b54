import { createServer as createHttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fromBinary } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { schema } from "#protos/registry.ts";
import type { StreamAccessLogsMessage } from "#protos/gen/envoy/service/accesslog/v3/als_pb.js";
import type { ExportLogsServiceRequest } from "#protos/gen/opentelemetry/proto/collector/logs/v1/logs_service_pb.js";
import type { ExportTraceServiceRequest } from "#protos/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.js";
import { bootstrapOf, http2Options, httpListener, route, staticCluster } from "./testing/bootstraps.ts";
import { poll, spawnProxy, startProxy, workspace, type RunningProxy, type Workspace } from "./testing/proxy-process.ts";

const REQUEST = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest";
const TRACE = "type.googleapis.com/envoy.config.trace.v3.";

let files: Workspace;
let proxy: RunningProxy | undefined;
const closers: (() => void | Promise<void>)[] = [];

beforeEach(() => {
  files = workspace();
});
afterEach(async () => {
  proxy?.kill("SIGKILL");
  await proxy?.ended;
  for (const close of closers.splice(0)) await close();
  files.remove();
});

/** What came in, by path. */
interface Received {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

async function httpServer(): Promise<{ readonly address: string; readonly received: Received[] }> {
  const received: Received[] = [];
  const server = createHttpServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      received.push({ path: request.url ?? "", headers: request.headers, body: Buffer.concat(chunks) });
      response.end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

const EXPORT_SPANS = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const EXPORT_LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const STREAM_LOGS = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs";

/** Takes unary calls of the exporters, and the client's stream of the access log service. */
async function grpcCollector(): Promise<{ readonly address: string; readonly messages: Buffer[] }> {
  const messages: Buffer[] = [];
  const server = new Server();
  const identity = (bytes: Buffer): Buffer => bytes;
  const method = (path: string, requestStream = false) => ({
    path,
    requestStream,
    responseStream: false,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  });
  type Answer = (error: null, value: Buffer) => void;
  const unary = (call: { readonly request: Buffer }, answer: Answer): void => {
    messages.push(call.request);
    answer(null, Buffer.alloc(0));
  };
  server.addService(
    { spans: method(EXPORT_SPANS), logs: method(EXPORT_LOGS), entries: method(STREAM_LOGS, true) },
    {
      spans: unary,
      logs: unary,
      entries(call: NodeJS.ReadableStream, answer: Answer) {
        call.on("data", (message: Buffer) => messages.push(message));
        call.on("end", () => answer(null, Buffer.alloc(0)));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  closers.push(() => server.forceShutdown());
  return { address: `127.0.0.1:${port}`, messages };
}

function spansOf(bytes: Buffer) {
  const message = fromBinary(schema<ExportTraceServiceRequest>(REQUEST), bytes) as ExportTraceServiceRequest;
  return message.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}

async function start(
  collector: Readonly<Record<string, unknown>>,
  provider: unknown,
  upstream: string,
  sampling = 100,
) {
  proxy = await startProxy(
    files,
    bootstrapOf({
      clusters: [staticCluster("up", upstream), collector],
      listeners: [
        httpListener("in", {
          routes: [route("/", "up")],
          connectionManager: {
            tracing: { random_sampling: { value: sampling }, provider: { name: "p", typed_config: provider } },
          },
        }),
      ],
    }),
  );
  return { proxy, address: await proxy.address("in") };
}

describe("spans reach their collector through a cluster of the proxy", () => {
  test("OTLP over HTTP; the upstream is told of the trace", async () => {
    const [upstream, collector] = [await httpServer(), await httpServer()];
    const provider = {
      "@type": `${TRACE}OpenTelemetryConfig`,
      service_name: "shop",
      http_service: { http_uri: { uri: "http://otel/v1/traces", cluster: "otel", timeout: "1s" } },
    };
    const { proxy: running, address } = await start(
      staticCluster("otel", collector.address),
      provider,
      upstream.address,
    );
    await (await fetch(`http://${address}/a`)).text();
    const [post] = await poll(running, () => (collector.received.length > 0 ? collector.received : undefined));
    expect([post?.path, post?.headers.host, post?.headers["content-type"]]).toEqual([
      "/v1/traces",
      "otel",
      "application/x-protobuf",
    ]);
    const [span] = spansOf(post?.body ?? Buffer.alloc(0));
    const traceparent = upstream.received[0]?.headers["traceparent"];
    const ids = [span?.traceId, span?.spanId].map((bytes) => Buffer.from(bytes ?? []).toString("hex"));
    expect(traceparent).toBe(`00-${ids.join("-")}-01`);
  });

  test("OTLP over gRPC", async () => {
    const [upstream, collector] = [await httpServer(), await grpcCollector()];
    const provider = {
      "@type": `${TRACE}OpenTelemetryConfig`,
      grpc_service: { envoy_grpc: { cluster_name: "otel" }, timeout: "1s" },
    };
    const cluster = { ...staticCluster("otel", collector.address), typed_extension_protocol_options: http2Options() };
    const { proxy: running, address } = await start(cluster, provider, upstream.address);
    await (await fetch(`http://${address}/a`)).text();
    const [message] = await poll(running, () => (collector.messages.length > 0 ? collector.messages : undefined));
    expect(spansOf(message ?? Buffer.alloc(0))).toHaveLength(1);
    await poll(running, async () => (await running.text("/stats?filter=spans_sent")).includes("spans_sent: 1"));
  });

  test("Zipkin; what is not sampled is not sent, and says so upstream", async () => {
    const [upstream, collector] = [await httpServer(), await httpServer()];
    const provider = {
      "@type": `${TRACE}ZipkinConfig`,
      collector_cluster: "zipkin",
      collector_endpoint: "/api/v2/spans",
      collector_endpoint_version: "HTTP_JSON",
    };
    const { proxy: running, address } = await start(
      staticCluster("zipkin", collector.address),
      provider,
      upstream.address,
      0,
    );
    await (await fetch(`http://${address}/unsampled`)).text();
    await (await fetch(`http://${address}/forced`, { headers: { b3: "0af7651916cd43dd-b7ad6b7169203331-1" } })).text();
    const [post] = await poll(running, () => (collector.received.length > 0 ? collector.received : undefined));
    const spans = JSON.parse(post?.body.toString() ?? "[]") as {
      traceId: string;
      id: string;
      shared: boolean;
      tags: Record<string, string>;
    }[];
    expect(spans).toMatchObject([{ traceId: "0af7651916cd43dd", id: "b7ad6b7169203331", shared: true }]);
    expect(spans[0]?.tags["http.url"]).toBe(`http://${address}/forced`);
    expect(upstream.received.map(({ headers }) => headers["x-b3-sampled"])).toEqual(["0", "1"]);
  });
});

describe("access logs reach their collector through a cluster of the proxy", () => {
  const LOGGERS = "type.googleapis.com/envoy.extensions.access_loggers.";
  const common = {
    log_name: "test_log",
    transport_api_version: "V3",
    grpc_service: { envoy_grpc: { cluster_name: "collector" } },
    filter_state_objects_to_log: ["upstream_peer"],
  };

  async function logged(typedConfig: Readonly<Record<string, unknown>>): Promise<Buffer> {
    const [upstream, collector] = [await httpServer(), await grpcCollector()];
    proxy = await startProxy(
      files,
      bootstrapOf({
        clusters: [
          staticCluster("up", upstream.address),
          { ...staticCluster("collector", collector.address), typed_extension_protocol_options: http2Options() },
        ],
        listeners: [
          httpListener("in", {
            routes: [route("/", "up")],
            connectionManager: { access_log: [{ name: "log", typed_config: typedConfig }] },
          }),
        ],
      }),
    );
    const url = `http://${await proxy.address("in")}/a?b`;
    await (await fetch(url, { headers: { "x-request-id": "id-1", "x-extra": "e" } })).text();
    const [message] = await poll(proxy, () => (collector.messages.length > 0 ? collector.messages : undefined));
    return message ?? Buffer.alloc(0);
  }

  test("OpenTelemetry: texts filled in, attributes with their types", async () => {
    const bytes = await logged({
      "@type": `${LOGGERS}open_telemetry.v3.OpenTelemetryAccessLogConfig`,
      common_config: common,
      body: { string_value: "%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE%" },
      attributes: {
        values: [
          { key: "code", value: { string_value: "%RESPONSE_CODE%" } },
          { key: "list", value: { array_value: { values: [{ int_value: 7 }, { bool_value: true }] } } },
          {
            key: "map",
            value: { kvlist_value: { values: [{ key: "path", value: { string_value: "%REQ(:PATH)%" } }] } },
          },
        ],
      },
      resource_attributes: { values: [{ key: "mesh", value: { string_value: "m" } }] },
    });
    const type = schema<ExportLogsServiceRequest>("opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest");
    const [resource] = (fromBinary(type, bytes) as ExportLogsServiceRequest).resourceLogs;
    const labels = resource?.resource?.attributes.map(({ key, value }) => [key, value?.value.value]);
    expect(labels).toEqual([
      ["log_name", "test_log"],
      ["zone_name", ""],
      ["cluster_name", "test-cluster"],
      ["node_name", "test-node"],
      ["mesh", "m"],
    ]);
    const record = resource?.scopeLogs[0]?.logRecords[0];
    expect(record?.body?.value).toEqual({ case: "stringValue", value: "GET /a?b 200" });
    expect(record?.attributes).toMatchObject([
      { key: "code", value: { value: { case: "stringValue", value: "200" } } },
      { key: "list", value: { value: { value: { values: [{ value: { value: 7n } }, { value: { value: true } }] } } } },
      { key: "map", value: { value: { value: { values: [{ key: "path", value: { value: { value: "/a?b" } } }] } } } },
    ]);
    expect(record?.timeUnixNano).toBeGreaterThan(0n);
  });

  test("the access log service: the identifier, and the entry of a request", async () => {
    const bytes = await logged({
      "@type": `${LOGGERS}grpc.v3.HttpGrpcAccessLogConfig`,
      common_config: { ...common, custom_tags: [{ tag: "t", request_header: { name: "x-extra" } }] },
      additional_request_headers_to_log: ["X-Extra"],
    });
    const type = schema<StreamAccessLogsMessage>("envoy.service.accesslog.v3.StreamAccessLogsMessage");
    const message = fromBinary(type, bytes) as StreamAccessLogsMessage;
    expect(message.identifier).toMatchObject({
      logName: "test_log",
      node: { id: "test-node", cluster: "test-cluster" },
    });
    const [entry] = message.logEntries.case === "httpLogs" ? message.logEntries.value.logEntry : [];
    expect(entry).toMatchObject({
      protocolVersion: 2,
      request: { requestMethod: 1, path: "/a?b", requestId: "id-1", requestHeaders: { "x-extra": "e" } },
      response: { responseCode: 200, responseCodeDetails: "via_upstream", responseBodyBytes: 2n },
      commonProperties: {
        upstreamCluster: "up",
        customTags: { t: "e" },
        upstreamRequestAttemptCount: 1,
        accessLogType: 6,
      },
    });
    expect(entry?.commonProperties?.responseFlags).toMatchObject({ upstreamOverflow: false, noRouteFound: false });
  });

  test("a wrong operator in a template is refused with its place", async () => {
    const config = files.write(
      "bootstrap.yaml",
      bootstrapOf({
        listeners: [
          httpListener("in", {
            routes: [],
            connectionManager: {
              access_log: [
                {
                  name: "log",
                  typed_config: {
                    "@type": `${LOGGERS}open_telemetry.v3.OpenTelemetryAccessLogConfig`,
                    common_config: common,
                    attributes: { values: [{ key: "a", value: { string_value: "%NOPE%" } }] },
                  },
                },
              ],
            },
          }),
        ],
      }),
    );
    const { code, stderr } = await spawnProxy(["--mode", "validate", "-c", config]).ended;
    expect(code).toBe(1);
    expect(stderr).toContain("access_log[0].typed_config.attributes.values[0].value.string_value");
    expect(stderr).toContain("NOPE");
  });
});
