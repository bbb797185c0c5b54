/**
 * Begins or continues traces. A request that is not to be recorded leaves with an unsampled context, so that nobody
 * after us records it; where it brought one, nothing is written at all.
 */
import type { Random } from "#lib/runtime.ts";
import type { HeaderMap } from "../../http/header-map.ts";
import type { Span, TraceReason, Tracer } from "../../http/tracing.ts";
import type { ResolvedRoute } from "../../router/types.ts";
import type { StreamInfo } from "../../stream-info.ts";
import { HttpSpan, type SpanSettings } from "./http-span.ts";
import { b3Decision, type TraceContext } from "./trace-context.ts";

export interface TracerSettings extends SpanSettings {
  readonly random: Random;
  /** Zipkin: ids of 64 bits unless `trace_id_128bit`. */
  readonly traceIdBits: 64 | 128;
  /** Zipkin: a server takes over the client's span id. */
  readonly sharesSpans: boolean;
  /** B3 may say "not sampled" without a context. */
  readonly readsB3: boolean;
  /** `no_context_propagation`. */
  readonly writesContext: boolean;
  /** Zipkin: a span without a name of its own has the host's. */
  readonly namesByHost: boolean;
}

/** The tracer of one connection manager. */
export function createTracer(settings: TracerSettings): Tracer {
  return new HttpTracer(settings);
}

class HttpTracer implements Tracer {
  readonly #settings: TracerSettings;

  constructor(settings: TracerSettings) {
    this.#settings = settings;
  }

  startSpan(
    headers: HeaderMap,
    _info: StreamInfo,
    route: ResolvedRoute | undefined,
    reason: TraceReason,
  ): Span | undefined {
    const { propagation, readsB3, writesContext, kind, sharesSpans } = this.#settings;
    const parent = propagation.extract(headers);
    const decided = parent === undefined ? (readsB3 ? b3Decision(headers) : undefined) : parent.sampled;
    if (!(decided ?? reason !== "none")) {
      if (parent === undefined && decided === undefined && writesContext)
        propagation.inject(headers, this.#root(false));
      else if (parent !== undefined && parent.sampled === undefined && writesContext)
        propagation.inject(headers, { ...parent, sampled: false });
      return undefined;
    }
    const isShared = parent !== undefined && sharesSpans && kind === "server";
    const context =
      parent === undefined ? this.#root(true) : isShared ? { ...parent, sampled: true } : this.#child(parent);
    const span = new HttpSpan(
      context,
      this.#nameOf(headers, route),
      headers.getJoined("tracestate") ?? "",
      isShared,
      this.#settings,
    );
    if (writesContext) span.inject(headers);
    return span;
  }

  #nameOf(headers: HeaderMap, route: ResolvedRoute | undefined): string {
    const { kind, namesByHost } = this.#settings;
    // An inbound request may carry the name that its sender's route gave it (Istio's decorator).
    const given = kind === "server" ? headers.get("x-envoy-decorator-operation") : undefined;
    if (given !== undefined && given !== "") return given;
    const named = route?.decoratorOperation;
    if (named !== undefined && named !== "") return named;
    if (namesByHost) return headers.authority;
    return kind === "server" ? "ingress" : `egress ${headers.authority}`;
  }

  #root(sampled: boolean): TraceContext {
    const { random, traceIdBits } = this.#settings;
    return { traceId: randomHex(random, traceIdBits / 32), spanId: randomHex(random, 2), parentSpanId: "", sampled };
  }

  #child(parent: TraceContext): TraceContext {
    return {
      traceId: parent.traceId,
      spanId: randomHex(this.#settings.random, 2),
      parentSpanId: parent.spanId,
      sampled: true,
    };
  }
}

/** `words` times eight hex digits, not all zero. */
function randomHex(random: Random, words: number): string {
  let hex = "";
  // The low bit keeps an id from being all zeros, which no collector takes.
  for (let i = 0; i < words; i++)
    hex += (0x1_0000_0000 + ((random.uint32() | (i === 0 ? 1 : 0)) >>> 0)).toString(16).slice(1);
  return hex;
}
