import { createServer as createHttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fromBinary } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { schema } from "#protos/registry.ts";
import type { ExportTraceServiceRequest } from "#protos/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.js";
import { bootstrapOf, http2Options, httpListener, route, staticCluster } from "./testing/bootstraps.ts";
import { poll, startProxy, workspace, type RunningProxy, type Workspace } from "./testing/proxy-process.ts";

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

async function grpcCollector(): Promise<{ readonly address: string; readonly messages: Buffer[] }> {
  const messages: Buffer[] = [];
  const server = new Server();
  const identity = (bytes: Buffer): Buffer => bytes;
  server.addService(
    {
      export: {
        path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        requestStream: false,
        responseStream: false,
        requestSerialize: identity,
        requestDeserialize: identity,
        responseSerialize: identity,
        responseDeserialize: identity,
      },
    },
    {
      export(call: { readonly request: Buffer }, answer: (error: null, value: Buffer) => void) {
        messages.push(call.request);
        answer(null, Buffer.alloc(0));
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
