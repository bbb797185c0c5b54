/** Spans as an OTLP `ExportTraceServiceRequest`. Loaded when the first span is sent. */
import { toBinary } from "@bufbuild/protobuf";
import { createMessage, schema } from "#protos/registry.ts";
import type { ExportTraceServiceRequest } from "#protos/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.js";
import { grpcBatch, type EncodedBatch } from "../collector.ts";
import type { SpanRecord } from "./span-record.ts";

const REQUEST = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest";
const SERVER = 2;
const CLIENT = 3;
const ERROR = 2;

export interface OtlpResource {
  readonly attributes: readonly (readonly [string, string])[];
}

/** As the body of an HTTP request. */
export function encodeOtlpHttp(spans: readonly SpanRecord[], resource: OtlpResource): EncodedBatch {
  return { contentType: "application/x-protobuf", body: Buffer.from(requestBytes(spans, resource)) };
}

/** As one message of a gRPC call. */
export function encodeOtlpGrpc(spans: readonly SpanRecord[], resource: OtlpResource): EncodedBatch {
  return grpcBatch(requestBytes(spans, resource));
}

function requestBytes(spans: readonly SpanRecord[], resource: OtlpResource): Uint8Array {
  const request = createMessage<ExportTraceServiceRequest>(REQUEST, {
    resourceSpans: [
      {
        resource: { attributes: resource.attributes.map(attribute) },
        scopeSpans: [{ scope: { name: "glassmesh" }, spans: spans.map(spanInit) }],
      },
    ],
  });
  return toBinary(schema<ExportTraceServiceRequest>(REQUEST), request);
}

function spanInit(span: SpanRecord) {
  return {
    traceId: Buffer.from(span.traceId.padStart(32, "0"), "hex"),
    spanId: Buffer.from(span.spanId, "hex"),
    parentSpanId: Buffer.from(span.parentSpanId, "hex"),
    traceState: span.traceState,
    name: span.name,
    kind: span.kind === "server" ? SERVER : CLIENT,
    startTimeUnixNano: nanos(span.startMs),
    endTimeUnixNano: nanos(span.endMs),
    attributes: span.tags.map(attribute),
    ...(span.isError ? { status: { code: ERROR } } : {}),
  };
}

function attribute([key, value]: readonly [string, string]) {
  return { key, value: { value: { case: "stringValue" as const, value } } };
}

function nanos(ms: number): bigint {
  return BigInt(Math.round(ms * 1000)) * 1000n;
}
