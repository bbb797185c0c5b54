/** `envoy.config.trace.v3.ZipkinConfig`: B3 contexts, JSON of version 2. */
import type { MessageReader } from "#protos/reader.ts";
import type { ZipkinConfig } from "#protos/gen/envoy/config/trace/v3/zipkin_pb.js";
import { parseHttpService, type CollectorTarget } from "../collector-target.ts";
import { spanStats } from "./span-record.ts";
import { b3, b3WithW3c } from "./trace-context.ts";
import type { Provider } from "./tracing.ts";

const HTTP_JSON = 1;
const USE_B3_WITH_W3C = 1;
const TIMEOUT_MS = 5000;

/** Reads the provider; undefined when it has problems, which are on the reader's list. */
export function parseZipkin(reader: MessageReader<ZipkinConfig>): Provider | undefined {
  const target = parseTarget(reader);
  const traceIdBits = reader.get("traceId128bit") ? 128 : 64;
  const splits = reader.get("splitSpansForRequest");
  const sharesSpans = (reader.get("sharedSpanContext") ?? true) && !splits;
  const propagation = reader.get("traceContextOption") === USE_B3_WITH_W3C ? b3WithW3c : b3;
  if (reader.get("timestampTraceIds")) reader.unsupported("timestampTraceIds", "trace ids are random");
  reader.finish();
  if (target === undefined) return undefined;
  return {
    propagation,
    traceIdBits,
    sharesSpans,
    readsB3: true,
    namesByHost: true,
    collector: ({ rootScope, node }) => ({
      stats: spanStats(rootScope.scope("tracing").scope("zipkin")),
      target,
      loadEncoder: async () => {
        const { encodeZipkin } = await import("./encode-zipkin.ts");
        return (spans) => encodeZipkin(spans, node.cluster);
      },
    }),
  };
}

function parseTarget(reader: MessageReader<ZipkinConfig>): CollectorTarget | undefined {
  const clusterName = reader.get("collectorCluster");
  const path = reader.get("collectorEndpoint");
  const version: number = reader.get("collectorEndpointVersion");
  const authority = reader.get("collectorHostname") || clusterName;
  const service = reader.child("collectorService");
  if (service !== undefined) return parseHttpService(service);
  if (clusterName === "") {
    reader.invalid("collectorCluster", "name the cluster of the collector");
    return undefined;
  }
  if (version !== HTTP_JSON) {
    reader.unsupported("collectorEndpointVersion", "set collector_endpoint_version: HTTP_JSON");
    return undefined;
  }
  return { clusterName, protocol: "auto", authority, path, headers: [], timeoutMs: TIMEOUT_MS };
}
