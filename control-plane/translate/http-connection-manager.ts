/** The HTTP connection manager and its filters in their order (§4.3). */
import { type AuthorizationSteps, NO_AUTHORIZATION } from "./authorization.ts";
import { accessLogs } from "./access-log.ts";
import { any, compact, type JsonObject, typedStruct } from "./json.ts";
import { type Direction, statsFilter } from "./network-filters.ts";
import { gatewayTopology, proxyOptions } from "./proxy-options.ts";
import { ADS_SOURCE } from "./secrets.ts";
import { tracing } from "./tracing.ts";
import { httpExtensions } from "./traffic-extensions.ts";
import { hasExtension, type View } from "./view.ts";

export interface ConnectionManagerInput {
  readonly direction: Direction;
  readonly statPrefix: string;
  /** A route configuration by name, or one that is written here. */
  readonly routes: { readonly rds: string } | { readonly inline: JsonObject };
  /** Browsers speak gRPC-Web: it is turned into gRPC. */
  readonly isGrpcWeb?: boolean;
  /** The port is declared to speak HTTP/2. */
  readonly isHttp2?: boolean;
  /** An HTTP proxy gets absolute URLs. */
  readonly isHttpProxy?: boolean;
  /** What comes from outside the mesh: who calls is the peer of the connection, unless trusted proxies stand before it. */
  readonly isGateway?: boolean;
  /** By which extensions pick their listeners; 0 for what no port is known of. */
  readonly port: number;
  /** Who may ask for what: before every other filter but the one that learns who asks. */
  readonly authorization?: AuthorizationSteps;
  /** Logs beside the mesh's own. */
  readonly extraLogs?: readonly JsonObject[];
}

export function httpConnectionManager(view: View, input: ConnectionManagerInput): JsonObject {
  const { direction, routes } = input;
  const traces = tracing(view, direction);
  const { headers, idleTimeout, acceptsHttp10 } = proxyOptions(view);
  const logs = [...(accessLogs(view, direction, "http") ?? []), ...(input.extraLogs ?? [])];
  return {
    name: "envoy.filters.network.http_connection_manager",
    typedConfig: any(
      "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
      compact({
        statPrefix: input.statPrefix,
        ...("rds" in routes
          ? { rds: { configSource: ADS_SOURCE, routeConfigName: routes.rds } }
          : { routeConfig: routes.inline }),
        httpFilters: httpFilters(view, input),
        ...pathNormalization(view),
        ...(input.isGateway === true ? gatewayFields(view) : serverFields(view, direction)),
        generateRequestId: headers.hasRequestId ? undefined : false,
        commonHttpProtocolOptions: idleTimeout === undefined ? undefined : { idleTimeout },
        proxy100Continue: true,
        streamIdleTimeout: "0s",
        useRemoteAddress: input.isGateway === true,
        upgradeConfigs: [{ upgradeType: "websocket" }],
        // Keeping the case of headers stands for everything else that might be said of HTTP/1.
        httpProtocolOptions: headers.keepsHeaderCase ? PRESERVE_CASE : http1Options(input, acceptsHttp10),
        appendXForwardedPort: headers.hasForwardedPort ? true : undefined,
        http2ProtocolOptions: input.isHttp2 === true ? {} : undefined,
        requestIdExtension: {
          typedConfig: any("envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig", {
            useRequestIdForTraceSampling: traces.usesRequestId,
          }),
        },
        tracing: traces.settings,
        accessLog: logs.length === 0 ? undefined : logs,
      }),
    ),
  };
}

function serverFields(view: View, direction: Direction): JsonObject {
  const { headers } = proxyOptions(view);
  const server = headers.hasServer ? {} : { serverHeaderTransformation: "PASS_THROUGH" };
  if (direction === "outbound") return { ...server, ...(headers.serverName && { serverName: headers.serverName }) };
  return {
    ...server,
    ...(headers.hasServer && { serverName: headers.serverName ?? "istio-envoy" }),
    ...(headers.forwardedClientCert !== "SANITIZE" && { forwardClientCertDetails: headers.forwardedClientCert }),
    setCurrentClientCertDetails: headers.clientCertDetails,
  };
}

/** ProxyConfig.gatewayTopology: what stands before the gateway, and what is told of client certificates (rule 108). */
function gatewayFields(view: View): JsonObject {
  const { headers } = proxyOptions(view);
  const { numTrustedProxies, forwardClientCertDetails } = gatewayTopology(view);
  const forwards = forwardClientCertDetails === "APPEND_FORWARD" || forwardClientCertDetails === "SANITIZE_SET";
  return {
    ...(headers.hasServer
      ? { serverName: headers.serverName ?? "istio-envoy" }
      : { serverHeaderTransformation: "PASS_THROUGH" }),
    ...(numTrustedProxies > 0 && { xffNumTrustedHops: numTrustedProxies }),
    // Envoy's default is to drop the header.
    ...(forwardClientCertDetails !== "SANITIZE" && { forwardClientCertDetails }),
    ...(forwards && { setCurrentClientCertDetails: { subject: true, cert: true, dns: true, uri: true } }),
  };
}

function http1Options(
  { isHttpProxy, isGateway }: ConnectionManagerInput,
  acceptsHttp10: boolean,
): JsonObject | undefined {
  if (isHttpProxy !== true && isGateway !== true && !acceptsHttp10) return undefined;
  return { ...(isHttpProxy === true && { allowAbsoluteUrl: true }), ...(acceptsHttp10 && { acceptHttp10: true }) };
}

function pathNormalization(view: View): JsonObject {
  const setting = view.mesh.meshConfig.raw["pathNormalization"] as { readonly normalization?: string } | undefined;
  const kept = { normalizePath: true, pathWithEscapedSlashesAction: "KEEP_UNCHANGED" };
  switch (setting?.normalization) {
    case "NONE":
      return { ...kept, normalizePath: false };
    case "MERGE_SLASHES":
      return { ...kept, mergeSlashes: true };
    case "DECODE_AND_MERGE_SLASHES":
      return { normalizePath: true, mergeSlashes: true, pathWithEscapedSlashesAction: "UNESCAPE_AND_FORWARD" };
    default:
      return kept;
  }
}

/** Peer metadata first: what follows may ask who calls. Faults and CORS before the router, statistics around them. */
function httpFilters(
  view: View,
  { direction, isGrpcWeb, authorization = NO_AUTHORIZATION, port }: ConnectionManagerInput,
): readonly JsonObject[] {
  const extensions = httpExtensions(view, { port, side: direction === "inbound" ? "SERVER" : "CLIENT" });
  return [
    ...peerMetadata(view, direction),
    ...authorization.custom,
    ...extensions.AUTHN,
    ...authorization.tokens,
    ...extensions.AUTHZ,
    ...authorization.rules,
    ...extensions.STATS,
    ...extensions.UNSPECIFIED,
    ...(isGrpcWeb === true ? optional(view, GRPC_WEB, any("envoy.extensions.filters.http.grpc_web.v3.GrpcWeb")) : []),
    ...optional(view, "envoy.filters.http.grpc_stats", GRPC_STATS),
    ...(direction === "outbound" ? alpn(view) : []),
    { name: "envoy.filters.http.fault", typedConfig: any("envoy.extensions.filters.http.fault.v3.HTTPFault") },
    { name: "envoy.filters.http.cors", typedConfig: any("envoy.extensions.filters.http.cors.v3.Cors") },
    ...statsFilter(view, direction),
    router(view),
  ];
}

function router(view: View): JsonObject {
  const suppressEnvoyHeaders = proxyOptions(view).headers.hasDebugHeaders ? undefined : true;
  return {
    name: "envoy.filters.http.router",
    typedConfig: any("envoy.extensions.filters.http.router.v3.Router", { suppressEnvoyHeaders }),
  };
}

const PRESERVE_CASE: JsonObject = {
  headerKeyFormat: {
    statefulFormatter: {
      name: "preserve_case",
      typedConfig: any("envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"),
    },
  },
};

const GRPC_WEB = "envoy.filters.http.grpc_web";
const GRPC_STATS: JsonObject = any("envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", {
  emitFilterState: true,
  statsForAllMethods: false,
});

/** A filter that only observes: left out where the proxy has it not. */
function optional(view: View, name: string, typedConfig: JsonObject): readonly JsonObject[] {
  return hasExtension(view, name) ? [{ name, typedConfig }] : [];
}

function peerMetadata(view: View, direction: Direction): readonly JsonObject[] {
  if (!hasExtension(view, "istio.metadata_exchange", "envoy.filters.http.peer_metadata")) return [];
  const discovery = [{ istio_headers: {} }, { workload_discovery: {} }];
  const isInMesh = direction === "outbound" && proxyOptions(view).headers.exchangesInMeshOnly;
  const propagation = [{ istio_headers: isInMesh ? { skip_external_clusters: true } : {} }];
  const value =
    direction === "inbound"
      ? { downstream_discovery: discovery, downstream_propagation: propagation }
      : { upstream_discovery: discovery, upstream_propagation: propagation };
  return [{ name: "istio.metadata_exchange", typedConfig: typedStruct("io.istio.http.peer_metadata.Config", value) }];
}

const ALPN: JsonObject = any("istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", {
  alpnOverride: [
    { alpnOverride: ["istio-http/1.0", "istio", "http/1.0"] },
    { upstreamProtocol: "HTTP11", alpnOverride: ["istio-http/1.1", "istio", "http/1.1"] },
    { upstreamProtocol: "HTTP2", alpnOverride: ["istio-h2", "istio", "h2"] },
  ],
});

function alpn(view: View): readonly JsonObject[] {
  return optional(view, "istio.alpn", ALPN);
}
