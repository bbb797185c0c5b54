/** Access logs as the mesh configuration asks for them (§4.9). */
import { any, compact, type JsonObject } from "./json.ts";
import type { View } from "./view.ts";

const TEXT_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% ' +
  "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

const JSON_FORMAT: JsonObject = {
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

/** For HTTP connection managers and TCP proxies; undefined: none. */
export function accessLogs(view: View): readonly JsonObject[] | undefined {
  const log = meshAccessLog(view);
  return log === undefined ? undefined : [log];
}

/** For listeners: connections for which no filter chain was found. */
export function listenerAccessLogs(view: View): readonly JsonObject[] | undefined {
  const log = meshAccessLog(view);
  return log === undefined ? undefined : [{ filter: { responseFlagFilter: { flags: ["NR"] } }, ...log }];
}

function meshAccessLog(view: View): JsonObject | undefined {
  const { accessLogFile, accessLogFormat, accessLogEncoding } = view.mesh.meshConfig;
  if (accessLogFile === "") return undefined;
  return fileAccessLog(
    accessLogFile,
    accessLogEncoding === "JSON" ? jsonFormat(accessLogFormat) : textFormat(accessLogFormat),
  );
}

/** A log of calls for `glassmesh call`: one JSON object a request. */
export function callLog(path: string): JsonObject {
  const format = {
    id: "%REQ(X-REQUEST-ID)%",
    code: "%RESPONSE_CODE%",
    flags: "%RESPONSE_FLAGS%",
    details: "%RESPONSE_CODE_DETAILS%",
    host: "%UPSTREAM_HOST%",
    cluster: "%UPSTREAM_CLUSTER_RAW%",
    authority: "%REQ(:AUTHORITY)%",
    duration: "%DURATION%",
  };
  return fileAccessLog(path, { jsonFormat: format, jsonFormatOptions: {} });
}

function fileAccessLog(path: string, logFormat: JsonObject): JsonObject {
  return {
    name: "envoy.access_loggers.file",
    typedConfig: any("envoy.extensions.access_loggers.file.v3.FileAccessLog", compact({ path, logFormat })),
  };
}

function textFormat(written: string): JsonObject {
  if (written === "") return { textFormatSource: { inlineString: TEXT_FORMAT } };
  return { textFormatSource: { inlineString: written.endsWith("\n") ? written : `${written}\n` } };
}

/** Text that is no JSON object falls back to the default fields, as istiod does. */
function jsonFormat(written: string): JsonObject {
  return { jsonFormat: written === "" ? JSON_FORMAT : (parsed(written) ?? JSON_FORMAT), jsonFormatOptions: {} };
}

function parsed(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}
