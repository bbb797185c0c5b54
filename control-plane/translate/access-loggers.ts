/** Envoy's access loggers and their formats, as Istio writes them. */
import { any, compact, type JsonObject, sortedEntries } from "./json.ts";
import type { ExtensionProvider, GrpcLogProvider } from "./spec/telemetry.ts";
import { providerCluster } from "./telemetry.ts";
import { hasExtension, type View } from "./view.ts";

const TEXT_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% ' +
  "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

const JSON_FIELDS: JsonObject = {
  authority: "%REQ(:AUTHORITY)%",
  bytes_received: "%BYTES_RECEIVED%",
  bytes_sent: "%BYTES_SENT%",
  connection_termination_details: "%CONNECTION_TERMINATION_DETAILS%",
  downstream_local_address: "%DOWNSTREAM_LOCAL_ADDRESS%",
  downstream_remote_address: "%DOWNSTREAM_REMOTE_ADDRESS%",
  duration: "%DURATION%",
  method: "%REQ(:METHOD)%",
  path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
  protocol: "%PROTOCOL%",
  request_id: "%REQ(X-REQUEST-ID)%",
  requested_server_name: "%REQUESTED_SERVER_NAME%",
  response_code: "%RESPONSE_CODE%",
  response_code_details: "%RESPONSE_CODE_DETAILS%",
  response_flags: "%RESPONSE_FLAGS%",
  route_name: "%ROUTE_NAME%",
  start_time: "%START_TIME%",
  upstream_cluster: "%UPSTREAM_CLUSTER_RAW%",
  upstream_host: "%UPSTREAM_HOST%",
  upstream_local_address: "%UPSTREAM_LOCAL_ADDRESS%",
  upstream_service_time: "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
  upstream_transport_failure_reason: "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
  user_agent: "%REQ(USER-AGENT)%",
  x_forwarded_for: "%REQ(X-FORWARDED-FOR)%",
};

/** Empty: Istio's default line. */
export function textFormat(written: string): JsonObject {
  const text = written === "" ? TEXT_FORMAT : written;
  const inlineString = text.endsWith("\n") ? text : `${text}\n`;
  return { textFormatSource: { inlineString }, ...formatters([text]) };
}

/** Fields, or their JSON text; text that is no JSON object falls back to the default fields, as istiod does. */
export function jsonFormat(written: string | JsonObject): JsonObject {
  const own = typeof written === "string" ? parsed(written) : Object.keys(written).length === 0 ? undefined : written;
  const fields = own ?? JSON_FIELDS;
  return { jsonFormat: fields, jsonFormatOptions: {}, ...formatters(Object.values(fields)) };
}

/** What formats may name beside Envoy's own operators must be asked for. */
function formatters(formats: readonly unknown[]): JsonObject {
  if (!formats.some((format) => typeof format === "string" && format.includes("%REQ_WITHOUT_QUERY"))) return {};
  const typedConfig = any("envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery");
  return { formatters: [{ name: "envoy.formatter.req_without_query", typedConfig }] };
}

function parsed(text: string): JsonObject | undefined {
  if (text === "") return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}

/** What `glassmesh call` reads of each request. A gateway gives requests ids of its own: calls from outside say another. */
export function callLogFormat(isGateway: boolean): JsonObject {
  return jsonFormat({
    id: isGateway ? "%REQ(X-GLASSMESH-CALL?X-REQUEST-ID)%" : "%REQ(X-REQUEST-ID)%",
    code: "%RESPONSE_CODE%",
    flags: "%RESPONSE_FLAGS%",
    details: "%RESPONSE_CODE_DETAILS%",
    host: "%UPSTREAM_HOST%",
    cluster: "%UPSTREAM_CLUSTER_RAW%",
    authority: "%REQ(:AUTHORITY)%",
    duration: "%DURATION%",
  });
}

export function fileAccessLog(path: string, logFormat: JsonObject): JsonObject {
  return {
    name: "envoy.access_loggers.file",
    typedConfig: any("envoy.extensions.access_loggers.file.v3.FileAccessLog", { path, logFormat }),
  };
}

/** As istiod calls them: one by Envoy's name of today, one by that of old. */
const GRPC_LOGGERS = { http: "envoy.access_loggers.http_grpc", tcp: "envoy.tcp_grpc_access_log" } as const;

const PEERS = ["upstream_peer", "downstream_peer"];
const WASM_PEERS = ["wasm.upstream_peer", "wasm.upstream_peer_id", "wasm.downstream_peer", "wasm.downstream_peer_id"];

/** Undefined when the service of the provider is not to be seen. */
export function grpcAccessLog(view: View, kind: "http" | "tcp", provider: GrpcLogProvider): JsonObject | undefined {
  const target = providerCluster(view, provider);
  if (target === undefined) return undefined;
  const type = kind === "http" ? "HttpGrpcAccessLogConfig" : "TcpGrpcAccessLogConfig";
  return {
    name: GRPC_LOGGERS[kind],
    typedConfig: any(`envoy.extensions.access_loggers.grpc.v3.${type}`, {
      commonConfig: {
        logName: provider.logName ?? `${kind}_envoy_accesslog`,
        grpcService: { envoyGrpc: { clusterName: target.cluster, authority: target.host } },
        transportApiVersion: "V3",
        filterStateObjectsToLog: provider.filterStateObjectsToLog ?? PEERS,
      },
      additionalRequestHeadersToLog: provider.additionalRequestHeadersToLog,
      additionalResponseHeadersToLog: provider.additionalResponseHeadersToLog,
      additionalResponseTrailersToLog: provider.additionalResponseTrailersToLog,
    }),
  };
}

/** To the cluster `envoy_accesslog_service` of the bootstrap; undefined where the proxy has no such logger. */
export function bootstrapAccessLog(view: View, kind: "http" | "tcp" | "listener"): JsonObject | undefined {
  const layer = kind === "http" ? "http" : "tcp";
  if (!hasExtension(view, `envoy.access_loggers.${layer}_grpc`)) return undefined;
  const type = kind === "http" ? "HttpGrpcAccessLogConfig" : "TcpGrpcAccessLogConfig";
  return {
    name: GRPC_LOGGERS[layer],
    typedConfig: any(`envoy.extensions.access_loggers.grpc.v3.${type}`, {
      commonConfig: {
        logName: `${kind}_envoy_accesslog`,
        grpcService: { envoyGrpc: { clusterName: "envoy_accesslog_service" } },
        transportApiVersion: "V3",
        filterStateObjectsToLog: [...PEERS, ...WASM_PEERS],
      },
    }),
  };
}

export function otlpAccessLog(
  view: View,
  provider: NonNullable<ExtensionProvider["envoyOtelAls"]>,
): JsonObject | undefined {
  const target = providerCluster(view, provider);
  if (target === undefined) return undefined;
  const { text, labels } = provider.logFormat ?? {};
  return {
    name: "envoy.access_loggers.open_telemetry",
    typedConfig: any(
      "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
      compact({
        commonConfig: {
          logName: provider.logName ?? "otel_envoy_accesslog",
          grpcService: { envoyGrpc: { clusterName: target.cluster, authority: target.host } },
          transportApiVersion: "V3",
          filterStateObjectsToLog: [...PEERS, ...WASM_PEERS],
        },
        body: { stringValue: text === undefined || text === "" ? TEXT_FORMAT : text },
        attributes:
          labels === undefined
            ? undefined
            : { values: sortedEntries(labels).map(([key, value]) => ({ key, value: { stringValue: String(value) } })) },
        ...formatters([text, ...Object.values(labels ?? {})]),
        disableBuiltinLabels: true,
      }),
    ),
  };
}
