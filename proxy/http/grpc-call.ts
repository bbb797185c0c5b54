/** A unary gRPC call of the proxy's own: `GrpcService` and its request, to the answer's bytes or a status. */
import type { Runtime } from "#lib/runtime.ts";
import type { GrpcService, GrpcService_EnvoyGrpc } from "#protos/gen/envoy/config/core/v3/grpc_service_pb.js";
import type { MessageReader } from "#protos/reader.ts";
import { byteString } from "#lib/xxhash64.ts";
import { durationMs } from "../config-values.ts";
import type { ClusterManager } from "../upstream/types.ts";
import { type AsyncCall, type AsyncResponse, sendAsyncRequest } from "./async-request.ts";
import { HeaderMap } from "./header-map.ts";
import { isSafeFieldValue } from "./field-value.ts";

export interface GrpcTarget {
  readonly clusterName: string;
  readonly authority: string;
  /** 0: none. */
  readonly timeoutMs: number;
  readonly initialMetadata: readonly (readonly [string, string])[];
}

/** Only `envoy_grpc`; `google_grpc` and retries are refused by name. Undefined when there are problems. */
export function parseGrpcTarget(reader: MessageReader<GrpcService>, defaultTimeoutMs: number): GrpcTarget | undefined {
  const timeoutMs = durationMs(reader.get("timeout")) ?? defaultTimeoutMs;
  const initialMetadata = reader.children("initialMetadata").map((header): [string, string] => {
    const pair: [string, string] = [header.get("key").toLowerCase(), byteString(header.get("value"))];
    if (!isSafeFieldValue(pair[1])) header.invalid("value", "has characters that no header may have");
    if (pair[1].includes("%")) header.unsupported("value", "no substitution takes place in initial metadata here");
    header.finish();
    return pair;
  });
  const target = reader.get("targetSpecifier");
  reader.finish();
  if (target.case !== "envoyGrpc") {
    reader.unsupported("targetSpecifier", "only envoy_grpc is supported: name a cluster");
    return undefined;
  }
  const service = reader.oneof<GrpcService_EnvoyGrpc>("targetSpecifier", target.value);
  const clusterName = service.get("clusterName");
  const authority = service.get("authority") || clusterName;
  service.finish();
  return { clusterName, authority, timeoutMs, initialMetadata };
}

/** Calls `method` (`package.Service/Method`). `onDone` gets the message's bytes, or the status that is not OK. */
export function callGrpc(
  target: GrpcTarget,
  method: string,
  message: Uint8Array,
  context: { readonly runtime: Runtime; readonly clusters: ClusterManager },
  onDone: (answer: Uint8Array | { readonly grpcStatus: number }) => void,
): AsyncCall {
  const headers = HeaderMap.of([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", `/${method}`],
    [":authority", target.authority],
    ["te", "trailers"],
    ...(target.timeoutMs > 0 ? [["grpc-timeout", grpcTimeout(target.timeoutMs)] as const] : []),
    ["content-type", "application/grpc"],
    ["x-envoy-internal", "true"],
    ...target.initialMetadata,
  ]);
  const body = Buffer.alloc(5 + message.length);
  body.writeUInt32BE(message.length, 1);
  body.set(message, 5);
  const request = { clusterName: target.clusterName, headers, body, timeoutMs: target.timeoutMs, isGrpc: true };
  return sendAsyncRequest(request, context, (answer) => {
    if (typeof answer === "string") onDone({ grpcStatus: answer === "timeout" ? DEADLINE_EXCEEDED : UNAVAILABLE });
    else onDone(messageOf(answer));
  });
}

const UNKNOWN = 2;
const DEADLINE_EXCEEDED = 4;
const INTERNAL = 13;
const UNAVAILABLE = 14;

/** At most eight digits. */
function grpcTimeout(timeoutMs: number): string {
  return timeoutMs < 100_000_000 ? `${timeoutMs}m` : `${Math.min(Math.ceil(timeoutMs / 1000), 99_999_999)}S`;
}

function messageOf({ headers, body, trailers }: AsyncResponse): Uint8Array | { readonly grpcStatus: number } {
  if (headers.status !== 200) return { grpcStatus: headers.status === 503 ? UNAVAILABLE : UNKNOWN };
  const text = (trailers ?? headers).get("grpc-status");
  if (text === undefined) return { grpcStatus: UNKNOWN };
  if (text !== "0") return { grpcStatus: /^\d{1,2}$/.test(text) ? Number(text) : UNKNOWN };
  // One message, not compressed: none was offered.
  if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) return { grpcStatus: INTERNAL };
  return body.subarray(5);
}
