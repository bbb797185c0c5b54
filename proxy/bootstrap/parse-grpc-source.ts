/** `envoy.config.core.v3.ApiConfigSource` → the stream to a management server. */
import type { ApiConfigSource } from "#protos/gen/envoy/config/core/v3/config_source_pb.js";
import type { GrpcService, GrpcService_EnvoyGrpc } from "#protos/gen/envoy/config/core/v3/grpc_service_pb.js";
import type { MessageReader } from "#protos/reader.ts";
import { durationMs } from "../config-values.ts";
import type { GrpcSourceModel } from "./model.ts";

const GRPC = 2;
const DELTA_GRPC = 3;
const V3 = 2;

/** Problems go to the reader's list; undefined when there is an error among them that leaves no model. */
export function parseGrpcSource(reader: MessageReader<ApiConfigSource>): GrpcSourceModel | undefined {
  const apiType = reader.get("apiType");
  if (apiType !== GRPC && apiType !== DELTA_GRPC) {
    reader.unsupported("apiType", "only GRPC and DELTA_GRPC are supported as api_type");
  }
  if (reader.get("transportApiVersion") !== V3) {
    reader.invalid("transportApiVersion", "only the V3 xDS protocol is supported: set transport_api_version: V3");
  }
  const rateLimitReader = reader.child("rateLimitSettings");
  const rateLimit =
    rateLimitReader === undefined
      ? undefined
      : { maxTokens: rateLimitReader.get("maxTokens") ?? 100, tokensPerSecond: rateLimitReader.get("fillRate") ?? 10 };
  rateLimitReader?.finish();
  const setNodeOnFirstMessageOnly = reader.get("setNodeOnFirstMessageOnly");
  const services = reader.children("grpcServices");
  reader.finish();
  const [service, ...others] = services;
  if (service === undefined || others.length > 0) {
    reader.invalid("grpcServices", `exactly one gRPC service is needed, there are ${services.length}`);
    return undefined;
  }
  const target = parseService(service);
  if (target === undefined) return undefined;
  return { protocol: apiType === DELTA_GRPC ? "delta" : "sotw", ...target, rateLimit, setNodeOnFirstMessageOnly };
}

type Target = Omit<GrpcSourceModel, "protocol" | "rateLimit" | "setNodeOnFirstMessageOnly">;

function parseService(reader: MessageReader<GrpcService>): Target | undefined {
  reader.ignore("timeout", "it is for unary calls; a stream has none");
  const initialMetadata = reader.children("initialMetadata").map((header) => {
    const pair = [header.get("key").toLowerCase(), header.get("value")] as const;
    header.finish();
    return pair;
  });
  const backOff = parseBackOff(reader);
  const target = reader.get("targetSpecifier");
  reader.finish();
  if (target.case !== "envoyGrpc") {
    reader.unsupported("targetSpecifier", "google_grpc is not supported: name a static cluster in envoy_grpc");
    return undefined;
  }
  const envoyGrpc = reader.oneof<GrpcService_EnvoyGrpc>("targetSpecifier", target.value);
  envoyGrpc.ignore("skipEnvoyHeaders", "x-envoy-* headers are never sent to a management server");
  const fields = {
    clusterName: envoyGrpc.get("clusterName"),
    authority: envoyGrpc.get("authority"),
    maxReceiveMessageBytes: envoyGrpc.get("maxReceiveMessageLength"),
  };
  const ownBackOff = parseBackOff(envoyGrpc);
  envoyGrpc.finish();
  return { ...fields, initialMetadata, backOff: ownBackOff ?? backOff ?? defaultBackOff };
}

const defaultBackOff = { baseMs: 500, maxMs: 30_000 };

function parseBackOff(
  reader: MessageReader<GrpcService> | MessageReader<GrpcService_EnvoyGrpc>,
): Target["backOff"] | undefined {
  const policy = (reader as MessageReader<GrpcService>).child("retryPolicy");
  if (policy === undefined) return undefined;
  policy.ignore("numRetries", "Envoy reconnects to a management server for ever");
  const backOff = policy.child("retryBackOff");
  policy.finish();
  if (backOff === undefined) return undefined;
  const baseMs = durationMs(backOff.get("baseInterval")) ?? defaultBackOff.baseMs;
  const maxMs = durationMs(backOff.get("maxInterval")) ?? baseMs * 10;
  backOff.finish();
  return { baseMs, maxMs };
}
