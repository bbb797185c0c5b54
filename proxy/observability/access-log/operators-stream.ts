/** Operators over what happened to the stream: status, flags, bytes, durations, names, ids. */
import type { StreamInfo } from "../../stream-info.ts";
import { grpcStatus, grpcStatusName, grpcStatusSnakeName, isGrpcContentType } from "../grpc-status.ts";
import { formatResponseFlags, formatResponseFlagsLong } from "../response-flags.ts";
import { asBytes, orMissing, plain, truncated, type Operator, type OperatorTable, type ValueOf } from "./operator.ts";
import { compileTimeFormat } from "./time-format.ts";
import type { FormatContext } from "./types.ts";

/** Operators that need only the stream's record and the environment. */
export const streamOperators: OperatorTable = {
  START_TIME: timeOperator("utc", (context) => context.info.startTimeMs),
  START_TIME_LOCAL: timeOperator("local", (context) => context.info.startTimeMs),
  EMIT_TIME: emitTime("utc"),
  EMIT_TIME_LOCAL: emitTime("local"),
  PROTOCOL: plain(({ info }) => info.protocol),
  UPSTREAM_PROTOCOL: plain(({ info }) => info.upstreamProtocol),
  RESPONSE_CODE: plain(({ info }) => info.responseCode),
  RESPONSE_CODE_DETAILS: {
    parameters: "optional",
    length: false,
    compile(args) {
      if (args === "ALLOW_WHITESPACES") return ({ info }) => orMissing(info.responseCodeDetails);
      return args === "" ? ({ info }) => joined(info.responseCodeDetails) : "takes ALLOW_WHITESPACES or nothing";
    },
  },
  CONNECTION_TERMINATION_DETAILS: plain(({ info }) => orMissing(info.connectionTerminationDetails)),
  UPSTREAM_TRANSPORT_FAILURE_REASON: plain(({ info }) => joined(info.upstreamTransportFailureReason)),
  DOWNSTREAM_TRANSPORT_FAILURE_REASON: plain(({ info }) => joined(info.downstreamTransportFailureReason)),
  RESPONSE_FLAGS: plain(({ info }) => formatResponseFlags(info.flags)),
  RESPONSE_FLAGS_LONG: plain(({ info }) => formatResponseFlagsLong(info.flags)),
  CUSTOM_FLAGS: plain(() => undefined),
  BYTES_RECEIVED: plain(({ info }) => info.bytesReceived),
  BYTES_SENT: plain(({ info }) => info.bytesSent),
  REQUEST_HEADERS_BYTES: plain(({ info }) => info.requestHeaderBytes),
  RESPONSE_HEADERS_BYTES: plain(({ info }) => info.responseHeaderBytes),
  RESPONSE_TRAILERS_BYTES: plain((context) => context.responseTrailers?.byteSize ?? 0),
  BYTES_RETRANSMITTED: plain(() => 0),
  PACKETS_RETRANSMITTED: plain(() => 0),
  DURATION: plain(({ info }) => span(info.start, info.end)),
  REQUEST_DURATION: plain(({ info }) => span(info.start, info.requestEnd)),
  REQUEST_TX_DURATION: plain(({ info }) => span(info.start, info.upstreamLastTx)),
  RESPONSE_DURATION: plain(({ info }) => span(info.start, info.upstreamFirstRx)),
  RESPONSE_TX_DURATION: plain(({ info }) => span(info.upstreamFirstRx, info.end)),
  ROUNDTRIP_DURATION: plain(() => undefined),
  COMMON_DURATION: { parameters: "required", length: false, compile: compileCommonDuration },
  UPSTREAM_REQUEST_ATTEMPT_COUNT: plain(({ info }) => info.attemptCount),
  ROUTE_NAME: plain(({ info }) => orMissing(info.routeName)),
  VIRTUAL_CLUSTER_NAME: plain(({ info }) => orMissing(info.virtualClusterName)),
  FILTER_CHAIN_NAME: plain(({ info }) => orMissing(info.filterChainName)),
  REQUESTED_SERVER_NAME: plain(({ info }) => orMissing(info.requestedServerName.replaceAll(/[^a-zA-Z0-9._-]/g, "_"))),
  STREAM_ID: plain((context) => context.requestHeaders?.get("x-request-id")),
  TRACE_ID: plain(({ info }) => orMissing(info.traceId)),
  UNIQUE_ID: {
    parameters: "none",
    length: false,
    compile: (_args, _limit, { runtime }) =>
      runtime === undefined ? "cannot be made here" : () => runtime.random.uuid(),
  },
  HOSTNAME: {
    parameters: "none",
    length: false,
    compile:
      (_args, _limit, { hostname }) =>
      () =>
        orMissing(hostname),
  },
  ENVIRONMENT: {
    parameters: "required",
    length: true,
    compile(args, limit, { variables }) {
      if (args === "") return "names no variable";
      const value = variables[args];
      // Envoy writes its sign for what is missing even where other operators leave nothing.
      return truncated(() => (value === undefined ? "-" : asBytes(value)), limit);
    },
  },
  LOCAL_REPLY_BODY: plain((context) => context.localReplyBody ?? ""),
  ACCESS_LOG_TYPE: plain((context) => context.accessLogType ?? "NotSet"),
  GRPC_STATUS: { parameters: "optional", length: false, compile: compileGrpcStatus },
  GRPC_STATUS_NUMBER: plain(grpcStatusOf),
};

function timeOperator(zone: "utc" | "local", time: (context: FormatContext) => number): Operator {
  return {
    parameters: "optional",
    length: false,
    compile(args) {
      const format = compileTimeFormat(args, zone);
      return format === undefined ? "would print a line break" : (context) => format(time(context));
    },
  };
}

function emitTime(zone: "utc" | "local"): Operator {
  return {
    parameters: "optional",
    length: false,
    compile(args, _limit, { runtime }) {
      const format = compileTimeFormat(args, zone);
      if (format === undefined) return "would print a line break";
      return runtime === undefined ? "cannot be told here" : () => format(runtime.clock.now());
    },
  };
}

/** Whole ms between two points of the monotonic clock; undefined when one of them never came. */
function span(from: number, to: number): number | undefined {
  return from === 0 || to === 0 ? undefined : Math.max(0, Math.floor(to - from));
}

/** Without white space, so that a log can be split at it. */
function joined(text: string): string | undefined {
  if (text === "") return undefined;
  return /\s/.test(text) ? text.replaceAll(/\s/g, "_") : text;
}

const POINTS: Readonly<Record<string, (info: StreamInfo) => number>> = {
  DS_RX_BEG: (info) => info.start,
  DS_RX_END: (info) => info.requestEnd,
  US_TX_BEG: (info) => info.upstreamFirstTx,
  US_TX_END: (info) => info.upstreamLastTx,
  US_RX_BEG: (info) => info.upstreamFirstRx,
  US_RX_END: (info) => info.upstreamLastRx,
  DS_TX_BEG: (info) => info.responseFirstTx,
  DS_TX_END: (info) => info.end,
};

const UNITS: Readonly<Record<string, number>> = { ms: 1, us: 1000, ns: 1_000_000 };

function compileCommonDuration(args: string): ValueOf | string {
  const [from = "", to = "", unit = "ms", ...more] = args.split(":");
  const begin = POINTS[from];
  const end = POINTS[to];
  const factor = UNITS[unit];
  if (begin === undefined || end === undefined || factor === undefined || more.length > 0)
    return `takes (START:END:ms|us|ns) with two of ${Object.keys(POINTS).join(", ")}`;
  return ({ info }) => {
    const first = begin(info);
    const last = end(info);
    return first === 0 || last === 0 || last < first ? undefined : Math.floor((last - first) * factor);
  };
}

function compileGrpcStatus(args: string): ValueOf | string {
  switch (args) {
    case "NUMBER":
      return grpcStatusOf;
    case "":
    case "CAMEL_STRING":
      return (context) => named(context, grpcStatusName);
    case "SNAKE_STRING":
      return (context) => named(context, grpcStatusSnakeName);
    default:
      return "takes CAMEL_STRING, SNAKE_STRING or NUMBER";
  }
}

function named(context: FormatContext, name: (status: number) => string): string | undefined {
  const status = grpcStatusOf(context);
  return status === undefined ? undefined : name(status);
}

function grpcStatusOf(context: FormatContext): number | undefined {
  if (!isGrpcContentType(context.requestHeaders?.get("content-type"))) return undefined;
  return grpcStatus(context.responseTrailers, context.responseHeaders, context.info.responseCode);
}
