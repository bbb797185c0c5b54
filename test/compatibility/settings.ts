/** Messages and values that are written by hand where the smallest ones do not lead a parser to all fields. */
const any = (type: string, json: Readonly<Record<string, unknown>> = {}): object => ({
  "@type": `type.googleapis.com/${type}`,
  ...json,
});
const extension = (type: string, json?: Readonly<Record<string, unknown>>): object => ({
  name: "x",
  typed_config: any(type, json),
});

const address = { socket_address: { address: "127.0.0.1", port_value: 80 } };
const ads = { ads: {} };
const secret = { name: "x", sds_config: ads };
const tcpProxyType = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
const tcpProxy = extension(tcpProxyType, { stat_prefix: "x", cluster: "x" });
const routerType = "envoy.extensions.filters.http.router.v3.Router";
const grpc = { grpc_service: { envoy_grpc: { cluster_name: "x" } }, transport_api_version: "V3" };
const assignment = { cluster_name: "x", endpoints: [] };
const roundRobin = extension("envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin");
const route = { match: { prefix: "/" }, route: { cluster: "x" } };
const cluster = { name: "x", type: "STATIC", load_assignment: assignment };

const jwks = { inline_string: '{"keys":[{"kty":"oct","k":"AAAA","alg":"HS256","kid":"x"}]}' };

/** Proto3 JSON, by type; a field is probed in each of them. */
export const settings: Readonly<Record<string, readonly object[]>> = {
  "envoy.config.core.v3.Address": [address],
  "envoy.config.core.v3.SocketAddress": [address.socket_address],
  "envoy.config.core.v3.CidrRange": [{ address_prefix: "10.0.0.0", prefix_len: 8 }],
  "envoy.config.core.v3.DataSource": [{ inline_string: "x" }],
  "envoy.config.core.v3.KeyValuePair": [{ key: "x", value: "y" }],
  "envoy.additions.KeyValuePair": [{ key: "x", value: "y" }],
  "envoy.config.core.v3.RuntimeDouble": [{ default_value: 1, runtime_key: "x" }],
  "envoy.type.v3.Int64Range": [{ start: 200, end: 300 }],
  "envoy.config.core.v3.ConfigSource": [ads],
  "envoy.config.core.v3.ApiConfigSource": [
    { api_type: "DELTA_GRPC", transport_api_version: "V3", grpc_services: [{ envoy_grpc: { cluster_name: "x" } }] },
  ],
  "envoy.config.core.v3.ExtensionConfigSource": [
    {
      config_source: ads,
      type_urls: [tcpProxyType],
      default_config: any(tcpProxyType, { stat_prefix: "x", cluster: "x" }),
    },
    { config_source: ads, type_urls: [routerType], default_config: any(routerType) },
  ],
  "envoy.config.core.v3.HealthCheck.HttpHealthCheck": [{ path: "/", method: "POST" }],
  "envoy.config.accesslog.v3.AccessLog": [
    extension("envoy.extensions.access_loggers.file.v3.FileAccessLog", { path: "/dev/null" }),
  ],
  "envoy.config.listener.v3.Listener": [
    { name: "x", address, filter_chains: [{ filters: [tcpProxy] }] },
    { name: "x", internal_listener: {}, filter_chains: [{ filters: [tcpProxy] }] },
  ],
  "envoy.config.listener.v3.FilterChain": [{ filters: [tcpProxy] }],
  "envoy.config.listener.v3.Filter": [tcpProxy],
  "envoy.config.listener.v3.ListenerFilter": [
    extension("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"),
  ],
  "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": [
    { stat_prefix: "x", route_config: { name: "x" }, http_filters: [extension(routerType)] },
  ],
  "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter": [
    extension(routerType),
    extension("envoy.extensions.filters.http.cors.v3.Cors"),
  ],
  "envoy.extensions.filters.network.http_connection_manager.v3.Rds": [{ route_config_name: "x", config_source: ads }],
  "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig": [{ hostname: "x:1", use_post: true }],
  "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz": [{ stat_prefix: "x", ...grpc }],
  "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz": [
    grpc,
    { http_service: { server_uri: { uri: "http://x", cluster: "x", timeout: "1s" } }, transport_api_version: "V3" },
  ],
  "envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue": [
    { object_key: "envoy.string", format_string: { text_format_source: { inline_string: "x" } } },
    { object_key: "x", factory_key: "envoy.string", format_string: { text_format_source: { inline_string: "x" } } },
  ],
  "envoy.config.route.v3.RouteAction": [{ cluster: "x" }],
  "envoy.config.route.v3.RouteAction.UpgradeConfig": [{ upgrade_type: "websocket" }, { upgrade_type: "CONNECT" }],
  "envoy.config.route.v3.Route": [route],
  "envoy.config.route.v3.RouteMatch": [{ prefix: "/" }],
  "envoy.config.route.v3.VirtualHost": [{ name: "x", domains: ["*"], routes: [route] }],
  "envoy.config.route.v3.RouteConfiguration": [{ name: "x", virtual_hosts: [] }],
  "envoy.config.route.v3.WeightedCluster.ClusterWeight": [{ name: "x", weight: 1 }],
  "envoy.config.route.v3.RetryPolicy.RetryPriority": [
    {
      name: "envoy.retry_priorities.previous_priorities",
      typed_config: any("envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", {
        update_frequency: 2,
      }),
    },
  ],
  "envoy.config.route.v3.RetryPolicy.RetryHostPredicate": [
    {
      name: "envoy.retry_host_predicates.previous_hosts",
      typed_config: any("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
    },
  ],
  "envoy.config.cluster.v3.Cluster": [
    cluster,
    { name: "x", type: "EDS", eds_cluster_config: { eds_config: ads } },
    { ...cluster, type: "STRICT_DNS" },
    { ...cluster, type: "LOGICAL_DNS" },
    { name: "x", type: "ORIGINAL_DST", lb_policy: "CLUSTER_PROVIDED" },
    { name: "x", lb_policy: "CLUSTER_PROVIDED" },
    { ...cluster, lb_policy: "RING_HASH" },
    { ...cluster, lb_policy: "MAGLEV" },
    { ...cluster, lb_policy: "LEAST_REQUEST" },
  ],
  "envoy.config.cluster.v3.Cluster.CustomClusterType": [
    {
      name: "envoy.clusters.aggregate",
      typed_config: any("envoy.extensions.clusters.aggregate.v3.ClusterConfig", { clusters: ["x"] }),
    },
    {
      name: "envoy.clusters.dynamic_forward_proxy",
      typed_config: any("envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig", {
        dns_cache_config: { name: "x" },
      }),
    },
  ],
  "envoy.config.cluster.v3.Cluster.LbSubsetConfig": [
    { subset_selectors: [{ keys: ["x"] }], locality_weight_aware: true },
  ],
  "envoy.config.cluster.v3.Cluster.OriginalDstLbConfig": [{ use_http_header: true }],
  "envoy.config.cluster.v3.Filter": [
    {
      name: "istio.metadata_exchange",
      typed_config: any("envoy.tcp.metadataexchange.config.MetadataExchange", { protocol: "x" }),
    },
  ],
  "envoy.config.cluster.v3.LoadBalancingPolicy": [
    {
      policies: [{ typed_extension_config: roundRobin }],
    },
  ],
  "envoy.config.cluster.v3.LoadBalancingPolicy.Policy": [{ typed_extension_config: roundRobin }],
  "envoy.config.cluster.v3.OutlierDetection": [{ base_ejection_time: "0.5s" }],
  "envoy.config.endpoint.v3.ClusterLoadAssignment": [{ cluster_name: "x", named_endpoints: { x: { address } } }],
  "envoy.config.endpoint.v3.LbEndpoint": [{ endpoint: { address } }],
  "envoy.config.metrics.v3.TagSpecifier": [{ tag_name: "x", regex: "x" }],
  "envoy.config.bootstrap.v3.Bootstrap": [{ node: { id: "x", cluster: "x" } }],
  "envoy.config.bootstrap.v3.Bootstrap.DynamicResources": [
    {
      ads_config: {
        api_type: "DELTA_GRPC",
        transport_api_version: "V3",
        grpc_services: [{ envoy_grpc: { cluster_name: "x" } }],
      },
    },
  ],
  "envoy.config.bootstrap.v3.Admin": [{ address }],
  "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext": [
    { tls_certificate_sds_secret_configs: [secret] },
    { tls_certificate_sds_secret_configs: [secret], validation_context_sds_secret_config: secret },
  ],
  "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext": [
    {
      common_tls_context: {
        tls_certificate_sds_secret_configs: [secret],
        validation_context_sds_secret_config: secret,
      },
    },
  ],
  "envoy.extensions.transport_sockets.tls.v3.TlsParameters": [{ tls_maximum_protocol_version: "TLSv1_3" }],
  "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig": [secret],
  "envoy.extensions.load_balancing_policies.subset.v3.Subset": [
    {
      subset_selectors: [{ keys: ["x"] }],
      locality_weight_aware: true,
      subset_lb_policy: { policies: [{ typed_extension_config: roundRobin }] },
    },
  ],
  "envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality": [
    {
      endpoint_picking_policy: {
        policies: [
          {
            typed_extension_config: extension(
              "envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin",
            ),
          },
        ],
      },
    },
  ],
  "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication": [
    { providers: { x: { local_jwks: jwks } }, requirement_map: { x: { provider_name: "x" } } },
  ],
  "envoy.extensions.filters.http.jwt_authn.v3.JwtProvider": [{ local_jwks: jwks }],
  "envoy.extensions.filters.http.jwt_authn.v3.ProviderWithAudiences": [{ provider_name: "x", audiences: ["x"] }],
  "xds.core.v3.TypedExtensionConfig": [
    extension("envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput"),
  ],
};

/** Fields of which only certain values mean anything. */
export const specialValues: Readonly<Record<string, readonly unknown[]>> = {
  "envoy.config.core.v3.DataSource.environment_variable": ["PATH"],
  "envoy.config.core.v3.DataSource.filename": [import.meta.filename],
  "envoy.config.core.v3.HealthCheck.Payload.text": ["00"],
  "envoy.config.metrics.v3.TagSpecifier.tag_name": ["envoy.cluster_name"],
  "envoy.config.accesslog.v3.ResponseFlagFilter.flags": ["UF"],
  "envoy.extensions.filters.http.router.v3.Router.strict_check_headers": ["x-envoy-upstream-rq-timeout-ms"],
  "envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue.object_key": ["envoy.string"],
  "envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue.factory_key": ["envoy.string"],
  "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.verify_certificate_spki": [
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
  ],
  "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.verify_certificate_hash": ["00".repeat(32)],
  "envoy.extensions.transport_sockets.tls.v3.TlsParameters.cipher_suites": ["ECDHE-RSA-AES128-GCM-SHA256"],
  "envoy.extensions.transport_sockets.tls.v3.TlsParameters.ecdh_curves": ["X25519"],
  "envoy.config.cluster.v3.Cluster.MaglevLbConfig.table_size": [65_537n],
  "envoy.extensions.load_balancing_policies.maglev.v3.Maglev.table_size": [65_537n],
  "envoy.extensions.filters.http.jwt_authn.v3.JwtProvider.local_jwks": [jwks],
  "envoy.config.core.v3.ExtensionConfigSource.type_urls": [tcpProxyType, routerType],
  "glassmesh.config.v1.WorkloadIdentity.ca_address": ["x:1"],
};

/** Messages that are passed on as they are, so that no field of theirs is looked at. */
export const passedOn: Readonly<Record<string, string>> = {
  "envoy.config.core.v3.Node": "sent to the control plane as it is",
};
