/** One bootstrap for both proxies: a sidecar as Istio would make it, as far as an Envoy without Istio's filters takes it. */

/** Where the parts of a run listen. */
export interface Ports {
  readonly listener: number;
  readonly upstream: number;
  readonly admin: number;
}

export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
  /** SPIFFE id that the other side must have. */
  readonly peer: string;
}

export interface HopOptions {
  readonly ports: Ports;
  readonly accessLog: string;
  /** Upstream mTLS (the client's sidecar) or downstream mTLS (the server's). */
  readonly upstreamTls?: TlsFiles;
  readonly downstreamTls?: TlsFiles;
  /** HTTP/2 to the upstream (the listener takes what it is spoken to). */
  readonly http2?: boolean;
}

type Json = Readonly<Record<string, unknown>>;

const type = (name: string): string => `type.googleapis.com/${name}`;

/** Istio's format of an access log line. */
const accessLogFormat =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% ' +
  "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/** The bootstrap of one hop, as JSON (which is YAML). */
export function bootstrapOf(options: HopOptions): Json {
  const { ports } = options;
  return {
    node: { id: "sidecar~127.0.0.1~bench.default~default.svc.cluster.local", cluster: "bench.default" },
    admin: { address: { socket_address: { address: "127.0.0.1", port_value: ports.admin } } },
    static_resources: {
      listeners: [listenerOf(options)],
      clusters: [clusterOf("outbound|80|v1|origin", options), clusterOf("outbound|80|v2|origin", options)],
    },
  };
}

function listenerOf(options: HopOptions): Json {
  return {
    name: "bench",
    address: { socket_address: { address: "127.0.0.1", port_value: options.ports.listener } },
    filter_chains: [
      {
        filters: [
          { name: "envoy.filters.network.http_connection_manager", typed_config: connectionManagerOf(options) },
        ],
        ...(options.downstreamTls === undefined ? {} : { transport_socket: downstreamTls(options.downstreamTls) }),
      },
    ],
  };
}

function connectionManagerOf(options: HopOptions): Json {
  const isInbound = options.downstreamTls !== undefined;
  return {
    "@type": type("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
    stat_prefix: isInbound ? "inbound_0.0.0.0_8080;" : "outbound_0.0.0.0_80;",
    use_remote_address: false,
    normalize_path: true,
    path_with_escaped_slashes_action: "KEEP_UNCHANGED",
    proxy_100_continue: true,
    stream_idle_timeout: "0s",
    upgrade_configs: [{ upgrade_type: "websocket" }],
    request_id_extension: {
      typed_config: {
        "@type": type("envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"),
        use_request_id_for_trace_sampling: true,
      },
    },
    ...(isInbound
      ? {
          forward_client_cert_details: "APPEND_FORWARD",
          set_current_client_cert_details: { subject: true, dns: true, uri: true },
          server_name: "istio-envoy",
        }
      : {}),
    access_log: [
      {
        name: "envoy.access_loggers.file",
        typed_config: {
          "@type": type("envoy.extensions.access_loggers.file.v3.FileAccessLog"),
          path: options.accessLog,
          log_format: { text_format_source: { inline_string: accessLogFormat } },
        },
      },
    ],
    route_config: routesOf(),
    http_filters: [
      filter("envoy.filters.http.grpc_stats", "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", {
        emit_filter_state: true,
        stats_for_all_methods: false,
      }),
      filter("envoy.filters.http.fault", "envoy.extensions.filters.http.fault.v3.HTTPFault"),
      filter("envoy.filters.http.cors", "envoy.extensions.filters.http.cors.v3.Cors"),
      filter("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router"),
    ],
  };
}

function filter(name: string, typeName: string, config: Json = {}): Json {
  return { name, typed_config: { "@type": type(typeName), ...config } };
}

/** 50 virtual hosts of three names each, and the one that is asked: a header route, then 90/10 with retries. */
function routesOf(): Json {
  const others = Array.from({ length: 50 }, (_, index) => ({
    name: `svc${index}.default.svc.cluster.local:80`,
    domains: [`svc${index}.default.svc.cluster.local`, `svc${index}`, `svc${index}.default`],
    routes: [{ name: "default", match: { prefix: "/" }, route: routeAction("outbound|80|v1|origin") }],
  }));
  const asked = {
    name: "origin.default.svc.cluster.local:80",
    domains: ["origin.default.svc.cluster.local", "origin", "origin.default"],
    include_request_attempt_count: true,
    routes: [
      {
        name: "canary",
        match: { prefix: "/api/", headers: [{ name: "x-canary", string_match: { exact: "true" } }] },
        route: routeAction("outbound|80|v2|origin"),
      },
      {
        name: "split",
        match: { prefix: "/" },
        route: {
          weighted_clusters: {
            clusters: [
              { name: "outbound|80|v1|origin", weight: 90 },
              { name: "outbound|80|v2|origin", weight: 10 },
            ],
          },
          ...policies,
        },
      },
    ],
  };
  return { name: "80", virtual_hosts: [...others, asked], validate_clusters: false };
}

const policies: Json = {
  timeout: "15s",
  retry_policy: {
    retry_on: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
    num_retries: 2,
    retry_host_predicate: [
      {
        name: "envoy.retry_host_predicates.previous_hosts",
        typed_config: { "@type": type("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate") },
      },
    ],
    host_selection_retry_max_attempts: 5,
    retriable_status_codes: [503],
  },
};

function routeAction(cluster: string): Json {
  return { cluster, ...policies };
}

function clusterOf(name: string, { ports, upstreamTls: tls, http2 }: HopOptions): Json {
  const limits = {
    max_connections: 4294967295,
    max_pending_requests: 4294967295,
    max_requests: 4294967295,
    max_retries: 4294967295,
  };
  return {
    name,
    type: "STATIC",
    connect_timeout: "10s",
    lb_policy: "LEAST_REQUEST",
    circuit_breakers: { thresholds: [limits] },
    load_assignment: {
      cluster_name: name,
      endpoints: [
        {
          lb_endpoints: [
            { endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: ports.upstream } } } },
          ],
        },
      ],
    },
    ...(tls === undefined ? {} : { transport_socket: upstreamTls(tls) }),
    ...(http2 === true ? { typed_extension_protocol_options: http2Options } : {}),
  };
}

const optionsType = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const http2Options: Json = {
  [optionsType]: { "@type": type(optionsType), explicit_http_config: { http2_protocol_options: {} } },
};

function commonTls({ certificate, key, ca, peer }: TlsFiles): Json {
  return {
    tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
    tls_certificates: [{ certificate_chain: { filename: certificate }, private_key: { filename: key } }],
    validation_context: {
      trusted_ca: { filename: ca },
      match_typed_subject_alt_names: [{ san_type: "URI", matcher: { exact: peer } }],
    },
  };
}

function upstreamTls(files: TlsFiles): Json {
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": type("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"),
      common_tls_context: commonTls(files),
      sni: "outbound_.80_._.origin.default.svc.cluster.local",
    },
  };
}

function downstreamTls(files: TlsFiles): Json {
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": type("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
      common_tls_context: commonTls(files),
      require_client_certificate: true,
    },
  };
}
