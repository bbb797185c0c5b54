/** How failures of an upstream attempt become a status, a response flag, details and a body (§4.1 of Envoy's documentation). */
import type { Fraction } from "../../../config-values.ts";
import { ResponseFlag } from "../../../stream-info.ts";
import type { ResetReason } from "../../codec.ts";
import type { ForwardRoute } from "../../../router/types.ts";
import type { LocalReply } from "../../filter.ts";
import type { HeaderMap } from "../../header-map.ts";

const flags: Readonly<Record<ResetReason, number>> = {
  "local connection failure": ResponseFlag.UpstreamConnectionFailure,
  "remote connection failure": ResponseFlag.UpstreamConnectionFailure,
  "connection timeout": ResponseFlag.UpstreamConnectionFailure,
  "connection termination": ResponseFlag.UpstreamConnectionTermination,
  "local reset": ResponseFlag.LocalReset,
  "local refused stream reset": ResponseFlag.LocalReset,
  "HTTP/1 premature upstream half close": ResponseFlag.LocalReset,
  overflow: ResponseFlag.UpstreamOverflow,
  "remote reset": ResponseFlag.UpstreamRemoteReset,
  "remote refused stream reset": ResponseFlag.UpstreamRemoteReset,
  "remote error with CONNECT request": ResponseFlag.UpstreamRemoteReset,
  "protocol error": ResponseFlag.UpstreamProtocolError,
  "overload manager reset": ResponseFlag.OverloadManager,
};

export function flagOfReset(reason: ResetReason): number {
  return flags[reason];
}

/** `upstream_reset_before_response_started{reason|text}` or `…after…`. */
export function resetDetails(when: "before" | "after", reason: ResetReason, failure: string): string {
  return `upstream_reset_${when}_response_started{${reason}${failure === "" ? "" : `|${failure}`}}`;
}

/** The answer when an attempt was reset before anything of a response came. `wasRetried`: it was not the first. */
export function resetReply(
  reason: ResetReason,
  failure: string,
  wasRetried: boolean,
  suppressEnvoyHeaders: boolean,
): LocalReply {
  // The transport failure reason is for logs: a current Envoy tells clients nothing of it.
  const body =
    "upstream connect error or disconnect/reset before headers. " +
    `${wasRetried ? "retried and the latest " : ""}reset reason: ${reason}`;
  const reply = {
    status: reason === "protocol error" ? 502 : 503,
    body,
    details: resetDetails("before", reason, failure),
    flag: flagOfReset(reason),
  };
  return reason === "overflow" && !suppressEnvoyHeaders ? { ...reply, headers: overloaded } : reply;
}

/** The reply, saying how many attempts were made where the route wants that told. */
export function withAttemptCount(reply: LocalReply, route: ForwardRoute, attempt: number): LocalReply {
  if (!route.includeAttemptCountInResponse) return reply;
  return { ...reply, headers: [...(reply.headers ?? []), ["x-envoy-attempt-count", String(attempt)]] };
}

const overloaded: LocalReply["headers"] = [["x-envoy-overloaded", "true"]];

export function clusterNotFound(status: number): LocalReply {
  return { status, details: "cluster_not_found", flag: ResponseFlag.NoClusterFound };
}

/** A retry was already decided on: there is no going back to the attempt that failed (R-71). */
export const retryBufferExceeded: LocalReply = {
  status: 507,
  body: "exceeded request buffer limit while retrying upstream",
  details: "request_payload_exceeded_retry_buffer_limit",
};

export const noHealthyUpstream: LocalReply = {
  status: 503,
  body: "no healthy upstream",
  details: "no_healthy_upstream",
  flag: ResponseFlag.NoHealthyUpstream,
};

export function maintenanceMode(suppressEnvoyHeaders: boolean): LocalReply {
  return {
    status: 503,
    body: "maintenance mode",
    details: "maintenance_mode",
    flag: ResponseFlag.UpstreamOverflow,
    headers: suppressEnvoyHeaders ? [] : overloaded,
  };
}

/** The global or a per-try timeout; `alternative` is `x-envoy-upstream-rq-timeout-alt-response` (R-58). */
export function timeoutReply(
  details: "response_timeout" | "upstream_per_try_timeout" | "upstream_per_try_idle_timeout",
  alternative: boolean,
): LocalReply {
  return {
    status: alternative ? 204 : 504,
    body: alternative ? "" : "upstream request timeout",
    details,
    flag: ResponseFlag.UpstreamRequestTimeout,
  };
}

export const maxStreamDurationReply: LocalReply = {
  status: 504,
  body: "upstream max stream duration reached",
  details: "upstream_max_stream_duration_reached",
  flag: ResponseFlag.UpstreamMaxStreamDurationReached,
};

/** Outlier detection counts a failed gRPC call as the HTTP status that it stands for. */
export function httpStatusOfGrpc(headers: HeaderMap): number {
  switch (headers.get("grpc-status")) {
    case "14":
      return 503;
    case "4":
      return 504;
    case "13":
      return 500;
    default:
      return 200;
  }
}

/** `drop_overloads` of the cluster's assignment: it wants less traffic, or none. */
export function droppedOverload(share: Fraction, suppressEnvoyHeaders: boolean): LocalReply {
  const isAll = share.numerator >= share.denominator;
  const header = isAll ? "x-envoy-unconditional-drop-overload" : "x-envoy-drop-overload";
  return {
    status: 503,
    body: isAll ? "unconditional drop overload" : "drop overload",
    flag: isAll ? ResponseFlag.UnconditionalDropOverload : ResponseFlag.DropOverLoad,
    details: isAll ? "unconditional_drop_overload" : "drop_overload",
    ...(suppressEnvoyHeaders ? {} : { headers: [[header, "true"]] }),
  };
}
