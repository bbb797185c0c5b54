/** Trace contexts on the wire: W3C (`traceparent`, `tracestate`) and B3, in one header and in several. */
import type { HeaderMap } from "../../http/header-map.ts";

export interface TraceContext {
  /** 32 lower-case hex digits; 16 in a B3 context of 64 bits. */
  readonly traceId: string;
  /** 16 lower-case hex digits. */
  readonly spanId: string;
  /** B3 only; empty: the span is a root. */
  readonly parentSpanId: string;
  /** Undefined: whoever sent it left the decision to us (B3 only). */
  readonly sampled: boolean | undefined;
}

/** How a tracer reads and writes its context. */
export interface Propagation {
  /** The context of a request; undefined: there is none, or it can't be read. */
  extract(headers: HeaderMap): TraceContext | undefined;
  /** Replaces the context of a request. */
  inject(headers: HeaderMap, context: TraceContext): void;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/;
const HEX_ID = /^(?:[0-9a-f]{16}|[0-9a-f]{32})$/;
const SPAN_ID = /^[0-9a-f]{16}$/;
const ZEROS = /^0+$/;

/** https://www.w3.org/TR/trace-context/ */
export const w3c: Propagation = {
  extract(headers) {
    const text = headers.get("traceparent");
    const match = text === undefined ? null : TRACEPARENT.exec(text);
    if (match === null) return undefined;
    const [whole = "", version = "", traceId = "", spanId = "", flags = ""] = match;
    // Version 00 has no further fields, ff is forbidden, and ids of zeros mean nothing.
    if (version === "ff" || (version === "00" && whole.length !== 55)) return undefined;
    if (ZEROS.test(traceId) || ZEROS.test(spanId)) return undefined;
    return { traceId, spanId, parentSpanId: "", sampled: (Number.parseInt(flags, 16) & 1) === 1 };
  },
  inject(headers, { traceId, spanId, sampled }) {
    headers.set("traceparent", `00-${traceId.padStart(32, "0")}-${spanId}-${sampled === true ? "01" : "00"}`);
  },
};

/** https://github.com/openzipkin/b3-propagation; written in several headers, as Envoy's Zipkin tracer does. */
export const b3: Propagation = {
  extract(headers) {
    const single = headers.get("b3");
    return single === undefined ? extractMulti(headers) : extractSingle(single);
  },
  inject(headers, { traceId, spanId, parentSpanId, sampled }) {
    headers.remove("b3");
    headers.set("x-b3-traceid", traceId);
    headers.set("x-b3-spanid", spanId);
    if (parentSpanId === "") headers.remove("x-b3-parentspanid");
    else headers.set("x-b3-parentspanid", parentSpanId);
    headers.set("x-b3-sampled", sampled === true ? "1" : "0");
  },
};

/** B3 first, W3C where there is no B3; both are written (`USE_B3_WITH_W3C_PROPAGATION`). */
export const b3WithW3c: Propagation = {
  extract: (headers) => b3.extract(headers) ?? w3c.extract(headers),
  inject(headers, context) {
    b3.inject(headers, context);
    w3c.inject(headers, context);
  },
};

function extractMulti(headers: HeaderMap): TraceContext | undefined {
  const traceId = headers.get("x-b3-traceid")?.toLowerCase();
  const spanId = headers.get("x-b3-spanid")?.toLowerCase();
  if (traceId === undefined || spanId === undefined || !HEX_ID.test(traceId) || !SPAN_ID.test(spanId)) return undefined;
  const parent = headers.get("x-b3-parentspanid")?.toLowerCase() ?? "";
  const sampled = headers.get("x-b3-flags") === "1" ? true : sampledOf(headers.get("x-b3-sampled"));
  return { traceId, spanId, parentSpanId: SPAN_ID.test(parent) ? parent : "", sampled };
}

/** `{traceid}-{spanid}-{sampled}-{parent}`; `0` alone says only: not sampled. */
function extractSingle(text: string): TraceContext | undefined {
  const [traceId = "", spanId = "", decision, parent = ""] = text.toLowerCase().split("-");
  if (!HEX_ID.test(traceId) || !SPAN_ID.test(spanId)) return undefined;
  return { traceId, spanId, parentSpanId: SPAN_ID.test(parent) ? parent : "", sampled: sampledOf(decision) };
}

/** What a B3 decision says without a context (`b3: 0`, `x-b3-sampled: 0`); undefined: nothing. */
export function b3Decision(headers: HeaderMap): boolean | undefined {
  const single = headers.get("b3");
  if (single !== undefined) return single.includes("-") ? undefined : sampledOf(single);
  return headers.get("x-b3-flags") === "1" ? true : sampledOf(headers.get("x-b3-sampled"));
}

function sampledOf(text: string | undefined): boolean | undefined {
  switch (text) {
    case "1":
    case "d":
    case "true":
      return true;
    case "0":
    case "false":
      return false;
    default:
      return undefined;
  }
}
