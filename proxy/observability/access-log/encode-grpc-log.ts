/** Entries as one `StreamAccessLogsMessage`. Loaded when the first entry is sent. */
import { toBinary } from "@bufbuild/protobuf";
import { formatProblem } from "#lib/problem.ts";
import { messageFromJson } from "#protos/json.ts";
import { descOf } from "#protos/registry.ts";
import type { NodeInfo } from "../../http/filter.ts";
import { grpcBatch, type EncodedBatch } from "../collector.ts";
import type { GrpcLogEntry } from "./grpc-log-entry.ts";
import type { GrpcLogSettings } from "./grpc-log.ts";

/** With the identifier that Envoy sends in the first message of a stream. */
export function encodeGrpcLog(
  entries: readonly GrpcLogEntry[],
  { kind, logName }: GrpcLogSettings,
  { id, cluster, metadata, locality }: NodeInfo,
): EncodedBatch {
  const { region, zone, subZone } = locality;
  const { value, problems } = messageFromJson("envoy.service.accesslog.v3.StreamAccessLogsMessage", {
    identifier: { node: { id, cluster, metadata, locality: { region, zone, subZone } }, logName },
    [kind === "http" ? "httpLogs" : "tcpLogs"]: { logEntry: entries },
  });
  if (value === undefined) throw new Error(problems.map(formatProblem).join("; "));
  return grpcBatch(toBinary(descOf(value), value));
}
