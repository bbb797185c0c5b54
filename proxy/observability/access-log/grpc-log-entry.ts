/** A stream as `envoy.data.accesslog.v3`'s entries: plain values, made when the stream ends. */
import type { JsonObject } from "@bufbuild/protobuf";
import type { SocketAddress } from "#lib/connection.ts";
import type { HeaderMap } from "../../http/header-map.ts";
import { ResponseFlag, type ResponseFlagName, type StreamInfo } from "../../stream-info.ts";
import type { GrpcLogSettings } from "./grpc-log.ts";
import type { FormatContext } from "./types.ts";

/** proto3 JSON of `HTTPAccessLogEntry` or `TCPAccessLogEntry`. */
export type GrpcLogEntry = JsonObject;

/** The entry of an HTTP stream. */
export function httpLogEntry(context: FormatContext, settings: GrpcLogSettings): GrpcLogEntry {
  const { info, requestHeaders, responseHeaders, responseTrailers } = context;
  const text = (name: string): string => requestHeaders?.get(name) ?? "";
  return {
    commonProperties: commonProperties(context, settings),
    protocolVersion: PROTOCOLS[info.protocol ?? ""] ?? "PROTOCOL_UNSPECIFIED",
    request: {
      requestMethod: METHODS.has(requestHeaders?.method ?? "") ? (requestHeaders?.method ?? "") : "METHOD_UNSPECIFIED",
      scheme: utf8(requestHeaders?.scheme ?? ""),
      authority: utf8(requestHeaders?.authority ?? ""),
      path: utf8(requestHeaders?.path ?? ""),
      userAgent: utf8(text("user-agent")),
      referer: utf8(text("referer")),
      forwardedFor: utf8(text("x-forwarded-for")),
      requestId: utf8(text("x-request-id")),
      originalPath: utf8(text("x-envoy-original-path")),
      requestHeadersBytes: String(info.requestHeaderBytes),
      requestBodyBytes: String(info.bytesReceived),
      requestHeaders: chosen(requestHeaders, settings.requestHeaders),
    },
    response: {
      ...(info.responseCode === 0 ? {} : { responseCode: info.responseCode }),
      responseHeadersBytes: String(info.responseHeaderBytes),
      responseBodyBytes: String(info.bytesSent),
      responseHeaders: chosen(responseHeaders, settings.responseHeaders),
      responseTrailers: chosen(responseTrailers, settings.responseTrailers),
      responseCodeDetails: info.responseCodeDetails,
    },
  };
}

/** The entry of a TCP connection. */
export function tcpLogEntry(context: FormatContext, settings: GrpcLogSettings): GrpcLogEntry {
  const { bytesReceived, bytesSent } = context.info;
  return {
    commonProperties: commonProperties(context, settings),
    connectionProperties: { receivedBytes: String(bytesReceived), sentBytes: String(bytesSent) },
  };
}

const PROTOCOLS: Readonly<Record<string, string>> = { "HTTP/1.0": "HTTP10", "HTTP/1.1": "HTTP11", "HTTP/2": "HTTP2" };
const METHODS: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "DELETE",
  "CONNECT",
  "OPTIONS",
  "TRACE",
  "PATCH",
]);

function commonProperties(context: FormatContext, settings: GrpcLogSettings): JsonObject {
  const { info, requestHeaders } = context;
  const { connection, upstreamConnection } = info;
  return {
    ...address("downstreamRemoteAddress", connection?.remoteAddress),
    ...address("downstreamDirectRemoteAddress", connection?.remoteAddress),
    ...address("downstreamLocalAddress", info.downstreamLocalAddress ?? connection?.localAddress),
    ...address("upstreamRemoteAddress", info.upstreamHost?.address),
    ...address("upstreamLocalAddress", upstreamConnection?.localAddress),
    ...tlsProperties(info),
    startTime: new Date(info.startTimeMs).toISOString(),
    ...duration("timeToLastRxByte", info, info.requestEnd),
    ...duration("timeToFirstUpstreamTxByte", info, info.upstreamFirstTx),
    ...duration("timeToLastUpstreamTxByte", info, info.upstreamLastTx),
    ...duration("timeToFirstUpstreamRxByte", info, info.upstreamFirstRx),
    ...duration("timeToLastUpstreamRxByte", info, info.upstreamLastRx),
    ...duration("timeToFirstDownstreamTxByte", info, info.responseFirstTx),
    ...duration("timeToLastDownstreamTxByte", info, info.end),
    ...duration("duration", info, info.end),
    upstreamCluster: info.cluster?.name ?? "",
    responseFlags: responseFlags(info.flags),
    metadata: { filterMetadata: Object.fromEntries(info.dynamicMetadata ?? []) as JsonObject },
    upstreamTransportFailureReason: info.upstreamTransportFailureReason,
    downstreamTransportFailureReason: info.downstreamTransportFailureReason,
    routeName: info.routeName,
    filterStateObjects: filterState(info, settings.filterStateObjects),
    customTags: customTags(context, settings),
    upstreamRequestAttemptCount: info.attemptCount,
    connectionTerminationDetails: info.connectionTerminationDetails,
    streamId: requestHeaders?.get("x-request-id") ?? "",
    accessLogType: context.accessLogType ?? "NotSet",
  };
}

function address(field: string, found: SocketAddress | undefined): JsonObject {
  if (found === undefined) return {};
  return {
    [field]:
      found.kind !== "ip"
        ? { pipe: { path: found.path } }
        : { socketAddress: { address: found.address, portValue: found.port } },
  };
}

function duration(field: string, { start }: StreamInfo, at: number): JsonObject {
  return at === 0 || start === 0 ? {} : { [field]: `${(Math.max(0, at - start) / 1000).toFixed(6)}s` };
}

function tlsProperties({ connection, requestedServerName }: StreamInfo): JsonObject {
  const tls = connection?.tls;
  if (tls === undefined) return {};
  const names = (uris: readonly string[]): JsonObject => ({ subjectAltName: uris.map((uri) => ({ uri })) });
  return {
    tlsProperties: {
      tlsVersion: tls.version.replace(/^TLSv1$/, "TLSv1_0").replaceAll(".", "_"),
      tlsSniHostname: requestedServerName,
      localCertificateProperties: { ...names(tls.local?.uriSans ?? []), subject: tls.local?.subject ?? "" },
      peerCertificateProperties: { ...names(tls.peer?.uriSans ?? []), subject: tls.peer?.subject ?? "" },
    },
  };
}

/** Fields whose names are not those of the flags. */
const FLAG_FIELDS: Partial<Record<ResponseFlagName, string>> = {
  FailedLocalHealthCheck: "failedLocalHealthcheck",
  DnsResolutionFailed: "dnsResolutionFailure",
};
/** Flags for which the message has no field. */
const WITHOUT_FIELD: ReadonlySet<ResponseFlagName> = new Set(["DropOverLoad", "UnconditionalDropOverload"]);

function responseFlags(flags: number): JsonObject {
  const set: Record<string, boolean | { reason: string }> = {};
  for (const name of Object.keys(ResponseFlag) as ResponseFlagName[]) {
    if ((flags & ResponseFlag[name]) === 0 || WITHOUT_FIELD.has(name)) continue;
    if (name === "UnauthorizedExternalService") set["unauthorizedDetails"] = { reason: "EXTERNAL_SERVICE" };
    else set[FLAG_FIELDS[name] ?? name.charAt(0).toLowerCase() + name.slice(1)] = true;
  }
  return set;
}

function filterState(info: StreamInfo, keys: readonly string[]): JsonObject {
  const objects: JsonObject = {};
  for (const key of keys) {
    const state = info.filterState?.get(key);
    if (state === undefined || state === null) continue;
    const fields = typeof state === "object" ? state : { value: state };
    // Whatever has no form in JSON (functions, undefined) is not part of it.
    const value = JSON.parse(JSON.stringify(fields)) as JsonObject;
    objects[key] = { "@type": "type.googleapis.com/google.protobuf.Struct", value };
  }
  return objects;
}

function customTags(context: FormatContext, { customTags: sources }: GrpcLogSettings): JsonObject {
  const tags: JsonObject = {};
  for (const source of sources) {
    const value = source.value(context);
    if (value !== undefined) tags[source.tag] = utf8(value);
  }
  return tags;
}

function chosen(headers: HeaderMap | undefined, names: readonly string[]): JsonObject {
  const found: JsonObject = {};
  for (const name of names) {
    const value = headers?.getJoined(name);
    if (value !== undefined) found[name] = utf8(value);
  }
  return found;
}

/** Header values hold one byte a character. */
function utf8(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}
