/** Envoy's attributes (`request.path`, `response.code`, `xds.cluster_name` …) of an ended stream, for CEL. */
import { formatAddress, type Connection, type SocketAddress, type TlsInfo } from "#lib/connection.ts";
import type { HeaderMap } from "../../http/header-map.ts";
import { grpcStatus, isGrpcContentType } from "../grpc-status.ts";
import type { FormatContext } from "../access-log/types.ts";

/** Reads one attribute; undefined: it is not there. */
export type Attribute = (context: FormatContext) => unknown;

/** A root by itself (`metadata`), or the attributes below it. */
export const attributes: Readonly<Record<string, Attribute | Readonly<Record<string, Attribute>>>> = {
  request: {
    path: ({ requestHeaders }) => requestHeaders?.path,
    url_path: ({ requestHeaders }) => requestHeaders?.path.split("?", 1)[0],
    query: ({ requestHeaders }) => requestHeaders?.path.split("?").slice(1).join("?"),
    host: ({ requestHeaders }) => requestHeaders?.authority,
    scheme: ({ requestHeaders }) => requestHeaders?.scheme,
    method: ({ requestHeaders }) => requestHeaders?.method,
    headers: ({ requestHeaders }) => headersOf(requestHeaders),
    referer: ({ requestHeaders }) => requestHeaders?.get("referer"),
    useragent: ({ requestHeaders }) => requestHeaders?.get("user-agent"),
    id: ({ requestHeaders }) => requestHeaders?.get("x-request-id"),
    time: ({ info }) => info.startTimeMs,
    protocol: ({ info }) => info.protocol,
    duration: ({ info }) => (info.end === 0 ? undefined : info.end - info.start),
    size: ({ info }) => info.bytesReceived,
    total_size: ({ info }) => info.bytesReceived + info.requestHeaderBytes,
  },
  response: {
    code: ({ info }) => (info.responseCode === 0 ? undefined : info.responseCode),
    code_details: ({ info }) => info.responseCodeDetails,
    flags: ({ info }) => info.flags,
    grpc_status: (context) =>
      isGrpcContentType(context.requestHeaders?.get("content-type"))
        ? grpcStatus(context.responseTrailers, context.responseHeaders, context.info.responseCode)
        : undefined,
    headers: ({ responseHeaders }) => headersOf(responseHeaders),
    trailers: ({ responseTrailers }) => headersOf(responseTrailers),
    size: ({ info }) => info.bytesSent,
    total_size: ({ info }) => info.bytesSent + info.responseHeaderBytes,
    backend_latency: ({ info }) =>
      info.upstreamFirstTx === 0 || info.upstreamLastRx === 0 ? undefined : info.upstreamLastRx - info.upstreamFirstTx,
  },
  source: {
    address: ({ info }) =>
      info.downstreamRemoteAddress === "" ? textOf(info.connection?.remoteAddress) : info.downstreamRemoteAddress,
    port: ({ info }) => portOf(info.connection?.remoteAddress),
  },
  destination: {
    address: ({ info }) => textOf(info.downstreamLocalAddress ?? info.connection?.localAddress),
    port: ({ info }) => portOf(info.downstreamLocalAddress ?? info.connection?.localAddress),
  },
  connection: {
    id: ({ info }) => info.connection?.id,
    mtls: ({ info }) => info.connection?.tls?.peer?.verified === true,
    requested_server_name: ({ info }) => info.requestedServerName,
    termination_details: ({ info }) => orUndefined(info.connectionTerminationDetails),
    ...tlsAttributes(({ info }) => info.connection?.tls),
  },
  upstream: {
    address: ({ info }) => info.upstreamHost?.addressText,
    port: ({ info }) => portOf(info.upstreamHost?.address),
    local_address: ({ info }) => localText(info.upstreamConnection),
    transport_failure_reason: ({ info }) => orUndefined(info.upstreamTransportFailureReason),
    request_attempt_count: ({ info }) => info.attemptCount,
    ...tlsAttributes(({ info }) => info.upstreamConnection?.tls),
  },
  xds: {
    cluster_name: ({ info }) => info.cluster?.name,
    cluster_metadata: ({ info }) => info.cluster && { filter_metadata: info.cluster.metadata },
    route_name: ({ info }) => info.routeName,
    route_metadata: ({ route }) => route && { filter_metadata: route.metadata },
    virtual_host_name: ({ info }) => info.virtualHostName,
    upstream_host_metadata: ({ info }) => info.upstreamHost && { filter_metadata: info.upstreamHost.metadata },
    filter_chain_name: ({ info }) => info.filterChainName,
  },
  metadata: ({ info }) => ({ filter_metadata: info.dynamicMetadata ?? new Map<string, unknown>() }),
  filter_state: ({ info }) => info.filterState ?? new Map<string, unknown>(),
  downstream_peer: ({ info }) => info.filterState?.get("downstream_peer"),
  upstream_peer: ({ info }) => info.filterState?.get("upstream_peer"),
};

function tlsAttributes(tls: (context: FormatContext) => TlsInfo | undefined): Readonly<Record<string, Attribute>> {
  return {
    tls_version: (context) => tls(context)?.version,
    subject_peer_certificate: (context) => tls(context)?.peer?.subject,
    subject_local_certificate: (context) => tls(context)?.local?.subject,
    uri_san_peer_certificate: (context) => tls(context)?.peer?.uriSans[0],
    uri_san_local_certificate: (context) => tls(context)?.local?.uriSans[0],
    dns_san_peer_certificate: (context) => tls(context)?.peer?.dnsSans[0],
    dns_san_local_certificate: (context) => tls(context)?.local?.dnsSans[0],
    sha256_peer_certificate_digest: (context) => tls(context)?.peer?.sha256,
  };
}

/** Headers as CEL sees them: a map by lower-case name. */
function headersOf(headers: HeaderMap | undefined): ReadonlyMap<string, unknown> | undefined {
  return headers && new Map(headers.entries().map(([name]) => [name, headers.getJoined(name)]));
}

function textOf(address: SocketAddress | undefined): string | undefined {
  return address && formatAddress(address);
}

function localText(connection: Connection | undefined): string | undefined {
  return textOf(connection?.localAddress);
}

function portOf(address: SocketAddress | undefined): number | undefined {
  return address?.kind === "ip" ? address.port : undefined;
}

function orUndefined(text: string): string | undefined {
  return text === "" ? undefined : text;
}
