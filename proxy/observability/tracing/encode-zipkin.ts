/** Spans in Zipkin's JSON of version 2. Loaded when the first span is sent. */
import type { EncodedBatch } from "../collector.ts";
import type { SpanRecord } from "./span-record.ts";

/** A list of spans, as `POST /api/v2/spans` takes it. */
export function encodeZipkin(spans: readonly SpanRecord[], serviceName: string): EncodedBatch {
  const body = JSON.stringify(spans.map((span) => spanJson(span, serviceName)));
  return { contentType: "application/json", body: Buffer.from(body, "utf8") };
}

function spanJson(span: SpanRecord, serviceName: string): unknown {
  return {
    traceId: span.traceId,
    id: span.spanId,
    ...(span.parentSpanId === "" ? {} : { parentId: span.parentSpanId }),
    kind: span.kind === "server" ? "SERVER" : "CLIENT",
    name: span.name,
    timestamp: Math.round(span.startMs * 1000),
    duration: Math.max(1, Math.round((span.endMs - span.startMs) * 1000)),
    localEndpoint: { serviceName },
    tags: Object.fromEntries(span.tags),
    ...(span.isShared ? { shared: true } : {}),
  };
}
