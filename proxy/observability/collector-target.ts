/** `HttpService` and `GrpcService`: where a collector is, behind which cluster of the proxy. */
import type { MessageReader } from "#protos/reader.ts";
import type { GrpcService, GrpcService_EnvoyGrpc } from "#protos/gen/envoy/config/core/v3/grpc_service_pb.js";
import type { HttpService } from "#protos/gen/envoy/config/core/v3/http_service_pb.js";
import { durationMs } from "../config-values.ts";

export interface CollectorTarget {
  readonly clusterName: string;
  readonly protocol: "http1" | "http2" | "auto";
  readonly authority: string;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly timeoutMs: number;
}

const DEFAULT_TIMEOUT_MS = 10_000;

/** Reads the service; undefined when it has problems, which are on the reader's list. */
export function parseHttpService(reader: MessageReader<HttpService>): CollectorTarget | undefined {
  const headers = reader.children("requestHeadersToAdd").map((option): [string, string] => {
    const header = option.get("header");
    option.ignore("append", "the request has no such header before");
    option.ignore("appendAction", "the request has no such header before");
    option.ignore("keepEmptyValue", "an empty value is sent");
    option.finish();
    return [header?.key.toLowerCase() ?? "", header?.value ?? ""];
  });
  const uri = reader.child("httpUri");
  reader.finish();
  if (uri === undefined) {
    reader.invalid("httpUri", "http_uri is missing");
    return undefined;
  }
  const text = uri.get("uri");
  const upstream = uri.get("httpUpstreamType");
  const timeoutMs = durationMs(uri.get("timeout")) ?? 0;
  uri.finish();
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (url === null || upstream.case !== "cluster") {
    uri.invalid("uri", `${text} is no URI, or its cluster is not named`);
    return undefined;
  }
  return {
    clusterName: upstream.value,
    protocol: "auto",
    authority: url.host,
    path: url.pathname + url.search,
    headers,
    timeoutMs: timeoutMs === 0 ? DEFAULT_TIMEOUT_MS : timeoutMs,
  };
}

/** Reads a gRPC service for calls of one method; undefined when it has problems, which are on the reader's list. */
export function parseGrpcService(reader: MessageReader<GrpcService>, path: string): CollectorTarget | undefined {
  const timeoutMs = durationMs(reader.get("timeout")) ?? DEFAULT_TIMEOUT_MS;
  const headers = reader.children("initialMetadata").map((header): [string, string] => {
    const pair: [string, string] = [header.get("key").toLowerCase(), header.get("value")];
    header.finish();
    return pair;
  });
  const target = reader.get("targetSpecifier");
  reader.finish();
  if (target.case !== "envoyGrpc") {
    reader.unsupported("targetSpecifier", "only envoy_grpc is supported: name a cluster");
    return undefined;
  }
  const service = reader.oneof<GrpcService_EnvoyGrpc>("targetSpecifier", target.value);
  const clusterName = service.get("clusterName");
  const authority = service.get("authority") || clusterName;
  service.finish();
  return {
    clusterName,
    authority,
    protocol: "http2",
    path,
    headers: [["te", "trailers"], ...headers],
    timeoutMs: timeoutMs === 0 ? DEFAULT_TIMEOUT_MS : timeoutMs,
  };
}
