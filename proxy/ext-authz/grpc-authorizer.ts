/** Asks `envoy.service.auth.v3.Authorization` over gRPC. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Runtime } from "#lib/runtime.ts";
import { byteString } from "#lib/xxhash64.ts";
import type { HeaderValueOption } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { CheckRequest, CheckResponse } from "#protos/gen/envoy/service/auth/v3/external_auth_pb.js";
import { schema } from "#protos/registry.ts";
import { callGrpc, type GrpcTarget } from "../http/grpc-call.ts";
import type { ClusterManager } from "../upstream/types.ts";
import { checkRequestOf } from "./check-request.ts";
import type { Authorizer, CheckResult, HeaderAction, HeaderChange } from "./check-result.ts";

const METHOD = "envoy.service.auth.v3.Authorization/Check";

export function createGrpcAuthorizer(
  target: GrpcTarget,
  context: { readonly runtime: Runtime; readonly clusters: ClusterManager },
): Authorizer {
  return {
    check({ attributes }, onDone) {
      const message = toBinary(schema<CheckRequest>("envoy.service.auth.v3.CheckRequest"), checkRequestOf(attributes));
      return callGrpc(target, METHOD, message, context, (answer) => {
        onDone("grpcStatus" in answer ? { verdict: "error" } : resultOf(answer));
      });
    },
  };
}

function resultOf(bytes: Uint8Array): CheckResult {
  let response: CheckResponse;
  try {
    response = fromBinary(schema<CheckResponse>("envoy.service.auth.v3.CheckResponse"), bytes);
  } catch {
    return { verdict: "error" };
  }
  const { httpResponse } = response;
  const ok = httpResponse.case === "okResponse" ? httpResponse.value : undefined;
  const metadata = ok?.dynamicMetadata ?? response.dynamicMetadata;
  if ((response.status?.code ?? 0) === 0) {
    return {
      verdict: "ok",
      requestHeaders: (ok?.headers ?? []).map(changeOf).map(addedOrSet),
      removedHeaders: (ok?.headersToRemove ?? []).map((name) => name.toLowerCase()),
      responseHeaders: (ok?.responseHeadersToAdd ?? []).map(changeOf),
      setParameters: (ok?.queryParametersToSet ?? []).map(({ key, value }) => [byteString(key), byteString(value)]),
      removedParameters: (ok?.queryParametersToRemove ?? []).map(byteString),
      metadata,
    };
  }
  const denied = httpResponse.case === "deniedResponse" ? httpResponse.value : undefined;
  const status = denied?.status?.code ?? 0;
  return {
    verdict: "denied",
    status: status === 0 ? 403 : status,
    body: byteString(denied?.body ?? ""),
    headers: (denied?.headers ?? []).map(changeOf).map(({ name, value }) => [name, value]),
    metadata,
  };
}

/** Of a request's headers Envoy knows but two actions: what does not append overwrites. */
function addedOrSet(change: HeaderChange): HeaderChange {
  return change.action === "append" ? change : { ...change, action: "overwrite" };
}

const ACTIONS: readonly HeaderAction[] = ["append", "add-if-absent", "overwrite", "overwrite-if-exists"];

function changeOf({ header, append, appendAction }: HeaderValueOption): HeaderChange {
  const raw = header?.rawValue ?? new Uint8Array();
  const value = raw.length > 0 ? Buffer.from(raw).toString("latin1") : byteString(header?.value ?? "");
  const name = (header?.key ?? "").toLowerCase();
  if (append !== undefined) return { name, value, action: append ? "append" : "overwrite", isJoined: append };
  return { name, value, action: ACTIONS[appendAction] ?? "overwrite" };
}
