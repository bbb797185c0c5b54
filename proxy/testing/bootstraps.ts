/** Pieces of bootstraps for tests, in proto3 JSON. */

const TYPE = "type.googleapis.com/";

/** A cluster with fixed endpoints (`ip:port`). */
export function staticCluster(name: string, ...endpoints: readonly string[]): Readonly<Record<string, unknown>> {
  return {
    name,
    type: "STATIC",
    connect_timeout: "1s",
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: endpoints.map((address) => ({ endpoint: { address: socketAddress(address) } })) }],
    },
  };
}

export function socketAddress(text: string): Readonly<Record<string, unknown>> {
  const [address = "", port = "0"] = text.split(":");
  return { socket_address: { address, port_value: Number(port) } };
}

export interface HttpListenerOptions {
  readonly address?: string;
  /** Routes of the only virtual host; the name of a route configuration instead: over RDS. */
  readonly routes: readonly unknown[] | string;
  readonly accessLogPath?: string;
  readonly accessLogFormat?: string;
  readonly connectionManager?: Readonly<Record<string, unknown>>;
  readonly httpFilters?: readonly unknown[];
}

/** A listener with one connection manager; `stat_prefix` is its name. */
export function httpListener(name: string, options: HttpListenerOptions): Readonly<Record<string, unknown>> {
  const {
    address = "127.0.0.1:0",
    routes,
    accessLogPath,
    accessLogFormat,
    connectionManager,
    httpFilters = [],
  } = options;
  const format =
    accessLogFormat === undefined ? {} : { log_format: { text_format_source: { inline_string: accessLogFormat } } };
  return {
    name,
    address: socketAddress(address),
    filter_chains: [
      {
        filters: [
          {
            name: "envoy.filters.network.http_connection_manager",
            typed_config: {
              "@type": `${TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: name,
              ...(accessLogPath === undefined
                ? {}
                : {
                    access_log: [
                      {
                        name: "envoy.access_loggers.file",
                        typed_config: {
                          "@type": `${TYPE}envoy.extensions.access_loggers.file.v3.FileAccessLog`,
                          path: accessLogPath,
                          ...format,
                        },
                      },
                    ],
                  }),
              ...(typeof routes === "string"
                ? { rds: { route_config_name: routes, config_source: { ads: {}, resource_api_version: "V3" } } }
                : { route_config: routeConfiguration("local", routes) }),
              http_filters: [
                ...httpFilters,
                {
                  name: "envoy.filters.http.router",
                  typed_config: { "@type": `${TYPE}envoy.extensions.filters.http.router.v3.Router` },
                },
              ],
              ...connectionManager,
            },
          },
        ],
      },
    ],
  };
}

/** A route configuration with one virtual host for every domain. */
export function routeConfiguration(name: string, routes: readonly unknown[]): Readonly<Record<string, unknown>> {
  return { name, virtual_hosts: [{ name: "all", domains: ["*"], routes }] };
}

/** Prefix → cluster. */
export function route(prefix: string, cluster: string, action: Readonly<Record<string, unknown>> = {}): unknown {
  return { match: { prefix }, route: { cluster, ...action } };
}

/** A bootstrap with an admin interface on any port. */
export function bootstrapOf(parts: {
  readonly clusters?: readonly unknown[];
  readonly listeners?: readonly unknown[];
  readonly more?: Readonly<Record<string, unknown>>;
}): Readonly<Record<string, unknown>> {
  return {
    node: { id: "test-node", cluster: "test-cluster" },
    admin: { address: socketAddress("127.0.0.1:0") },
    static_resources: { clusters: parts.clusters ?? [], listeners: parts.listeners ?? [] },
    ...parts.more,
  };
}

/** CDS and LDS by one aggregated stream to a server on `ip:port`. */
export function adsBootstrap(
  server: string,
  protocol: "DELTA_GRPC" | "GRPC" = "DELTA_GRPC",
): Readonly<Record<string, unknown>> {
  const ads = { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "0s" };
  return bootstrapOf({
    clusters: [{ ...staticCluster("xds", server), typed_extension_protocol_options: http2Options() }],
    more: {
      dynamic_resources: {
        ads_config: {
          api_type: protocol,
          transport_api_version: "V3",
          grpc_services: [{ envoy_grpc: { cluster_name: "xds" } }],
        },
        cds_config: ads,
        lds_config: ads,
      },
    },
  });
}

/** `typed_extension_protocol_options` of a cluster that speaks HTTP/2. */
export function http2Options(): Readonly<Record<string, unknown>> {
  return {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": `${TYPE}envoy.extensions.upstreams.http.v3.HttpProtocolOptions`,
      explicit_http_config: { http2_protocol_options: {} },
    },
  };
}
