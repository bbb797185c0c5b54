import { describe, expect, test } from "vitest";
import { HeaderMap } from "../../http/header-map.ts";
import { b3, b3Decision, b3WithW3c, w3c, type TraceContext } from "./trace-context.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const spanId = "b7ad6b7169203331";
const context: TraceContext = { traceId, spanId, parentSpanId: "", sampled: true };

describe("W3C trace context", () => {
  test.each([
    [`00-${traceId}-${spanId}-01`, true],
    [`00-${traceId}-${spanId}-00`, false],
    [`00-${traceId}-${spanId}-03`, true],
    [`cc-${traceId}-${spanId}-01-what-the-future-holds`, true],
  ])("%s is read", (traceparent, sampled) => {
    expect(w3c.extract(HeaderMap.of({ traceparent }))).toEqual({ ...context, sampled });
  });

  test.each([
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${"0".repeat(32)}-${spanId}-01`,
    `00-${traceId}-${"0".repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}`,
    "",
  ])("%s is ignored", (traceparent) => {
    expect(w3c.extract(HeaderMap.of({ traceparent }))).toBeUndefined();
  });

  test("a context is written whole; an id of 64 bits is filled up", () => {
    const headers = HeaderMap.of({ traceparent: "old", tracestate: "a=b" });
    w3c.inject(headers, { ...context, traceId: spanId, sampled: false });
    expect(headers.entries()).toEqual([
      ["traceparent", `00-0000000000000000${spanId}-${spanId}-00`],
      ["tracestate", "a=b"],
    ]);
  });
});

describe("B3", () => {
  test.each([
    [{ b3: `${traceId}-${spanId}-1-05e3ac9a4f6e3b90` }, { ...context, parentSpanId: "05e3ac9a4f6e3b90" }],
    [{ b3: `${traceId}-${spanId}-d` }, context],
    [{ b3: `${traceId}-${spanId}` }, { ...context, sampled: undefined }],
    [
      { "x-b3-traceid": traceId.toUpperCase(), "x-b3-spanid": spanId, "x-b3-sampled": "0" },
      { ...context, sampled: false },
    ],
    [
      { "x-b3-traceid": spanId, "x-b3-spanid": spanId, "x-b3-flags": "1" },
      { ...context, traceId: spanId },
    ],
    [
      { "x-b3-traceid": traceId, "x-b3-spanid": spanId },
      { ...context, sampled: undefined },
    ],
  ])("%j is read", (headers, expected) => {
    expect(b3.extract(HeaderMap.of(headers))).toEqual(expected);
  });

  test.each([
    { b3: "0" },
    { b3: "nonsense" },
    { "x-b3-traceid": "12", "x-b3-spanid": spanId },
    { "x-b3-traceid": traceId },
  ])("%j is no context", (headers) => {
    expect(b3.extract(HeaderMap.of(headers))).toBeUndefined();
  });

  test.each([
    [{ b3: "0" }, false],
    [{ b3: "1" }, true],
    [{ "x-b3-sampled": "0" }, false],
    [{ "x-b3-flags": "1" }, true],
    [{}, undefined],
  ])("%j decides %j", (headers, expected) => {
    expect(b3Decision(HeaderMap.of(headers))).toBe(expected);
  });

  test("a context is written in several headers, in place of the single one", () => {
    const headers = HeaderMap.of({ b3: "0", "x-b3-parentspanid": "old" });
    b3.inject(headers, context);
    expect(headers.entries()).toEqual([
      ["x-b3-traceid", traceId],
      ["x-b3-spanid", spanId],
      ["x-b3-sampled", "1"],
    ]);
  });

  test("with W3C beside it, either is read and both are written", () => {
    const headers = HeaderMap.of({ traceparent: `00-${traceId}-${spanId}-01` });
    expect(b3WithW3c.extract(headers)).toEqual(context);
    b3WithW3c.inject(headers, { ...context, spanId: "1111111111111111" });
    expect(headers.get("traceparent")).toBe(`00-${traceId}-1111111111111111-01`);
    expect(headers.get("x-b3-spanid")).toBe("1111111111111111");
  });
});
