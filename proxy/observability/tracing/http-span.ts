/** The span of one HTTP request, with the tags that Envoy sets. */
import { formatAddress } from "#lib/connection.ts";
import type { Span } from "../../http/tracing.ts";
import type { HeaderMap } from "../../http/header-map.ts";
import type { StreamInfo } from "../../stream-info.ts";
import type { Format, FormatContext } from "../access-log/types.ts";
import { grpcStatus, isGrpcContentType } from "../grpc-status.ts";
import { formatResponseFlags } from "../response-flags.ts";
import type { TagSource } from "./custom-tags.ts";
import type { Sink } from "../collector.ts";
import type { SpanRecord } from "./span-record.ts";
import type { Propagation, TraceContext } from "./trace-context.ts";

/** What the spans of one configuration share. */
export interface SpanSettings {
  readonly kind: "server" | "client";
  readonly nodeId: string;
  readonly zone: string;
  readonly maxPathTagLength: number;
  readonly customTags: readonly TagSource[];
  /** `operation`: written at the end; undefined: the span keeps its name, unless its route has a format. */
  readonly operation: Format | undefined;
  readonly propagation: Propagation;
  readonly sink: Sink<SpanRecord>;
}

export class HttpSpan implements Span {
  readonly traceId: string;
  readonly #context: TraceContext;
  readonly #traceState: string;
  #name: string;
  readonly #isShared: boolean;
  readonly #settings: SpanSettings;

  constructor(context: TraceContext, name: string, traceState: string, isShared: boolean, settings: SpanSettings) {
    this.traceId = context.traceId;
    this.#context = context;
    this.#name = name;
    this.#traceState = traceState;
    this.#isShared = isShared;
    this.#settings = settings;
  }

  setOperation(name: string): void {
    this.#name = name;
  }

  inject(headers: HeaderMap): void {
    this.#settings.propagation.inject(headers, this.#context);
  }

  finish(stream: FormatContext): void {
    const { info } = stream;
    const { sink, kind } = this.#settings;
    const operation = stream.route?.tracing?.operation ?? this.#settings.operation;
    const { traceId, spanId, parentSpanId } = this.#context;
    sink.add({
      traceId,
      spanId,
      parentSpanId,
      traceState: this.#traceState,
      name: operation === undefined ? this.#name : operation(stream),
      kind,
      startMs: info.startTimeMs,
      endMs: info.startTimeMs + Math.max(0, info.end - info.start),
      isError: isError(info, stream),
      tags: tagsOf(stream, this.#settings),
      isShared: this.#isShared,
    });
  }
}

function isError(info: StreamInfo, { requestHeaders, responseHeaders, responseTrailers }: FormatContext): boolean {
  if (info.responseCode === 0 || info.responseCode >= 500) return true;
  if (!isGrpcContentType(requestHeaders?.get("content-type"))) return false;
  const status = grpcStatus(responseTrailers, responseHeaders, info.responseCode);
  // Canceled and what only the caller can know are no errors of the server.
  return status !== undefined && SERVER_ERRORS.has(status);
}

const SERVER_ERRORS: ReadonlySet<number> = new Set([2, 4, 12, 13, 14, 15]);

function tagsOf(stream: FormatContext, settings: SpanSettings): [string, string][] {
  const { info, requestHeaders } = stream;
  const tags: [string, string][] = [
    ["node_id", settings.nodeId],
    ["zone", settings.zone],
  ];
  const optional = (tag: string, value: string | undefined): void => {
    if (value !== undefined) tags.push([tag, value]);
  };
  if (requestHeaders !== undefined) {
    optional("guid:x-request-id", requestHeaders.get("x-request-id"));
    tags.push(
      ["http.url", urlOf(requestHeaders, settings.maxPathTagLength)],
      ["http.method", requestHeaders.method],
      ["downstream_cluster", requestHeaders.get("x-envoy-downstream-service-cluster") ?? "-"],
      ["user_agent", requestHeaders.get("user-agent") ?? "-"],
    );
  }
  tags.push(["http.protocol", info.protocol ?? "-"]);
  const address = info.connection?.remoteAddress;
  optional("peer.address", address?.kind === "ip" ? address.address : address?.path);
  optional("guid:x-client-trace-id", requestHeaders?.get("x-client-trace-id"));
  tags.push(["request_size", String(info.bytesReceived)], ["response_size", String(info.bytesSent)]);
  tags.push(["component", "proxy"]);
  if (info.cluster !== undefined)
    tags.push(["upstream_cluster", info.cluster.name], ["upstream_cluster.name", info.cluster.observabilityName]);
  if (info.upstreamHost !== undefined) tags.push(["upstream_address", formatAddress(info.upstreamHost.address)]);
  tags.push(["http.status_code", String(info.responseCode)], ["response_flags", formatResponseFlags(info.flags)]);
  if (isGrpcContentType(requestHeaders?.get("content-type"))) addGrpcTags(tags, stream);
  if (isError(info, stream)) tags.push(["error", "true"]);
  const own = stream.route?.tracing?.customTags ?? [];
  for (const source of own) optional(source.tag, source.value(stream));
  for (const source of settings.customTags)
    if (!own.some(({ tag }) => tag === source.tag)) optional(source.tag, source.value(stream));
  return tags;
}

function addGrpcTags(
  tags: [string, string][],
  { info, requestHeaders, responseHeaders, responseTrailers }: FormatContext,
): void {
  const text = responseTrailers?.get("grpc-status") ?? responseHeaders?.get("grpc-status");
  tags.push(["grpc.path", requestHeaders?.path ?? ""], ["grpc.authority", requestHeaders?.authority ?? ""]);
  const status = grpcStatus(responseTrailers, responseHeaders, info.responseCode);
  if (text !== undefined && status !== undefined) tags.push(["grpc.status_code", String(status)]);
  const message = responseTrailers?.get("grpc-message") ?? responseHeaders?.get("grpc-message");
  if (message !== undefined) tags.push(["grpc.message", message]);
}

function urlOf(headers: HeaderMap, maxPathLength: number): string {
  const path = headers.get("x-envoy-original-path") ?? headers.path;
  const scheme = headers.scheme === "" ? (headers.get("x-forwarded-proto") ?? "http") : headers.scheme;
  return `${scheme}://${headers.authority}${path.slice(0, maxPathLength)}`;
}
