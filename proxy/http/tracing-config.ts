/** The `tracing` block of a connection manager: how many requests are traced; the rest is the tracer's. */
import { MessageReader } from "#protos/reader.ts";
import type {
  HttpConnectionManager,
  HttpConnectionManager_Tracing,
} from "#protos/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import type { TracerMaker, TracingFactory } from "./tracing.ts";

export interface TracingConfig {
  /** Of 10,000. */
  readonly clientSampling: number;
  readonly randomSampling: number;
  readonly overallSampling: number;
  /** `operation` names the spans, and decorators do not. */
  readonly hasOperation: boolean;
  readonly makeTracer: TracerMaker | undefined;
}

/** Undefined: no tracing. */
export function parseTracing(
  reader: MessageReader<HttpConnectionManager>,
  factory: TracingFactory | undefined,
): TracingConfig | undefined {
  const message = reader.get("tracing");
  if (message === undefined) return undefined;
  const path = reader.at("tracing");
  if (factory === undefined) {
    const tracing = new MessageReader<HttpConnectionManager_Tracing>(message, path, reader.problems);
    if (message.provider !== undefined) tracing.unsupported("provider");
  }
  const parsed = factory?.parse(message, path);
  if (parsed !== undefined) reader.problems.push(...parsed.problems);
  return {
    clientSampling: tenThousandths(message.clientSampling?.value),
    randomSampling: tenThousandths(message.randomSampling?.value),
    overallSampling: tenThousandths(message.overallSampling?.value),
    hasOperation: message.operation !== "",
    makeTracer: parsed?.value,
  };
}

/** Percent → of 10,000; absent is all. */
function tenThousandths(percent: number | undefined): number {
  return percent === undefined ? 10_000 : Math.round(percent * 100);
}
