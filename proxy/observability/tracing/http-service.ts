/** `envoy.config.core.v3.HttpService`: a URI behind a cluster. */
import type { MessageReader } from "#protos/reader.ts";
import type { HttpService } from "#protos/gen/envoy/config/core/v3/http_service_pb.js";
import { durationMs } from "../../config-values.ts";
import type { CollectorTarget } from "./collector.ts";

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
    timeoutMs: timeoutMs === 0 ? 10_000 : timeoutMs,
  };
}
