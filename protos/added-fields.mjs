/**
 * Fields and enum values that Envoy and istiod use and that the .proto tree of the npm package is too old to have.
 * The one place where anything is added to a message of the tree; how and when: README.md. A field on the wire that is
 * neither in the tree nor here is a NACK that names it by number.
 *
 * Source of all of them: the descriptors that Envoy 1.40 carries in its own binary, which are its `api/` folder.
 * Types that are new as well stand in own/envoy/additions/.
 */

/**
 * Message → field → number, type (`repeated` before it where it is a list), and the oneof that it belongs to.
 *
 * @type {Readonly<Record<string, Readonly<Record<string, readonly [number, string, oneof?: string]>>>>}
 */
export const addedFields = {
  "envoy.config.bootstrap.v3.Admin": {
    allow_paths: [7, "repeated envoy.type.matcher.v3.StringMatcher"],
  },
  "envoy.config.bootstrap.v3.Bootstrap": {
    stats_eviction_interval: [42, "google.protobuf.Duration"],
    enable_worker_cpu_affinity: [43, "bool"],
  },
  "envoy.config.bootstrap.v3.MemoryAllocatorManager": {
    soft_memory_limit_bytes: [3, "google.protobuf.UInt64Value"],
    max_per_cpu_cache_size_bytes: [4, "google.protobuf.UInt32Value"],
    max_unfreed_memory_bytes: [5, "uint64"],
  },
  "envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget": {
    budget_interval: [3, "google.protobuf.Duration"],
  },
  "envoy.config.cluster.v3.Cluster": {
    dns_jitter: [58, "google.protobuf.Duration"],
    transport_socket_matcher: [59, "xds.type.matcher.v3.Matcher"],
    per_connection_buffer_high_watermark_timeout: [60, "google.protobuf.Duration"],
    stats_matcher: [61, "envoy.config.metrics.v3.StatsMatcher"],
  },
  "envoy.config.cluster.v3.Cluster.PreconnectPolicy": {
    preconnect_enabled_metadata: [3, "envoy.type.matcher.v3.MetadataMatcher"],
  },
  "envoy.config.cluster.v3.OutlierDetection": {
    detect_degraded_hosts: [26, "google.protobuf.BoolValue"],
  },
  "envoy.config.common.matcher.v3.Matcher.OnMatch": {
    keep_matching: [3, "bool"],
  },
  "envoy.config.common.mutation_rules.v3.HeaderMutation": {
    remove_on_match: [3, "envoy.additions.RemoveOnMatch", "action"],
  },
  "envoy.config.core.v3.BindConfig": {
    validate_network_namespaces: [7, "bool"],
  },
  "envoy.config.core.v3.GrpcService.GoogleGrpc": {
    channel_credentials_plugin: [9, "repeated google.protobuf.Any"],
    call_credentials_plugin: [10, "repeated google.protobuf.Any"],
  },
  "envoy.config.core.v3.HealthCheck": {
    name: [27, "string"],
  },
  "envoy.config.core.v3.HealthCheck.HttpHealthCheck": {
    use_alpn_protocol: [15, "bool"],
  },
  "envoy.config.core.v3.Http1ProtocolOptions": {
    ignore_http_11_upgrade: [11, "repeated envoy.type.matcher.v3.StringMatcher"],
  },
  "envoy.config.core.v3.Http2ProtocolOptions": {
    max_metadata_size: [17, "google.protobuf.UInt64Value"],
    enable_huffman_encoding: [18, "google.protobuf.BoolValue"],
    max_header_field_size_kb: [19, "google.protobuf.UInt32Value"],
    disallow_obs_text: [20, "google.protobuf.BoolValue"],
    stream_reset_burst: [21, "google.protobuf.UInt64Value"],
    stream_reset_rate: [22, "google.protobuf.UInt64Value"],
  },
  "envoy.config.core.v3.Http3ProtocolOptions": {
    disable_qpack: [7, "bool"],
    disable_connection_flow_control_for_streams: [8, "bool"],
    disallow_obs_text: [9, "google.protobuf.BoolValue"],
  },
  "envoy.config.core.v3.HttpProtocolOptions": {
    max_response_headers_kb: [7, "google.protobuf.UInt32Value"],
    max_connection_duration_jitter: [8, "envoy.type.v3.Percent"],
  },
  "envoy.config.core.v3.HttpService": {
    formatters: [3, "repeated envoy.config.core.v3.TypedExtensionConfig"],
  },
  "envoy.config.core.v3.KeyValueAppend": {
    record: [3, "envoy.additions.KeyValuePair"],
  },
  "envoy.config.core.v3.PathConfigSource": {
    poll_interval: [3, "google.protobuf.Duration"],
  },
  "envoy.config.core.v3.QuicProtocolOptions": {
    max_packet_length: [9, "google.protobuf.UInt64Value"],
    client_packet_writer: [10, "envoy.config.core.v3.TypedExtensionConfig"],
    memory_reduction_timeout: [12, "google.protobuf.Duration"],
    enable_scone: [13, "google.protobuf.BoolValue"],
  },
  "envoy.config.core.v3.SocketAddress": {
    network_namespace_filepath: [7, "string"],
  },
  "envoy.config.core.v3.WatchedDirectory": {
    watch_modify: [2, "bool"],
  },
  "envoy.config.endpoint.v3.Endpoint": {
    observability_name: [5, "string"],
  },
  "envoy.config.listener.v3.AdditionalAddress": {
    tcp_keepalive: [3, "envoy.config.core.v3.TcpKeepalive"],
  },
  "envoy.config.listener.v3.Listener": {
    tcp_keepalive: [37, "envoy.config.core.v3.TcpKeepalive"],
    per_connection_buffer_high_watermark_timeout: [38, "google.protobuf.Duration"],
    stats_matcher: [39, "envoy.config.metrics.v3.StatsMatcher"],
  },
  "envoy.config.listener.v3.QuicProtocolOptions": {
    reject_new_connections: [13, "bool"],
    max_sessions_per_event_loop: [14, "google.protobuf.UInt32Value"],
  },
  "envoy.config.metrics.v3.DogStatsdSink": {
    scale_histogram_units_to_milliseconds: [5, "bool"],
  },
  "envoy.config.metrics.v3.HistogramBucketSettings": {
    bins: [3, "google.protobuf.UInt32Value"],
  },
  "envoy.config.metrics.v3.MetricsServiceConfig": {
    batch_size: [6, "uint32"],
  },
  "envoy.config.metrics.v3.StatsConfig": {
    allow_default_tag_overrides: [5, "google.protobuf.BoolValue"],
  },
  "envoy.config.metrics.v3.StatsdSink": {
    scale_histogram_units_to_milliseconds: [4, "bool"],
  },
  "envoy.config.rbac.v3.Permission": {
    sourced_metadata: [14, "envoy.additions.SourcedMetadata", "rule"],
  },
  "envoy.config.rbac.v3.Principal": {
    sourced_metadata: [13, "envoy.additions.SourcedMetadata", "identifier"],
    custom: [14, "envoy.config.core.v3.TypedExtensionConfig", "identifier"],
  },
  "envoy.config.route.v3.DirectResponseAction": {
    body_format: [3, "envoy.config.core.v3.SubstitutionFormatString"],
  },
  "envoy.config.route.v3.RateLimit": {
    apply_on_stream_done: [6, "bool"],
  },
  "envoy.config.route.v3.RateLimit.Action.GenericKey": {
    default_value: [3, "string"],
  },
  "envoy.config.route.v3.RateLimit.Action.HeaderValueMatch": {
    default_value: [5, "string"],
  },
  "envoy.config.route.v3.RateLimit.Action.QueryParameterValueMatch": {
    default_value: [5, "string"],
  },
  "envoy.config.route.v3.RedirectAction": {
    path_rewrite: [10, "string", "path_rewrite_specifier"],
  },
  "envoy.config.route.v3.RetryPolicy": {
    refresh_cluster_on_retry: [14, "bool"],
  },
  "envoy.config.route.v3.Route": {
    request_body_buffer_limit: [20, "google.protobuf.UInt64Value"],
    route_specifiers: [21, "repeated envoy.config.core.v3.TypedExtensionConfig"],
  },
  "envoy.config.route.v3.RouteAction": {
    flush_timeout: [42, "google.protobuf.Duration"],
    host_rewrite: [44, "string", "host_rewrite_specifier"],
    path_rewrite: [45, "string"],
  },
  "envoy.config.route.v3.RouteAction.RequestMirrorPolicy": {
    request_headers_mutations: [7, "repeated envoy.config.common.mutation_rules.v3.HeaderMutation"],
    host_rewrite_literal: [8, "string"],
  },
  "envoy.config.route.v3.RouteConfiguration": {
    vhost_header: [18, "string"],
    route_specifiers: [19, "repeated envoy.config.core.v3.TypedExtensionConfig"],
  },
  "envoy.config.route.v3.RouteMatch": {
    filter_state: [16, "repeated envoy.type.matcher.v3.FilterStateMatcher"],
    cookies: [17, "repeated envoy.additions.CookieMatcher"],
  },
  "envoy.config.route.v3.Tracing": {
    operation: [5, "string"],
    upstream_operation: [6, "string"],
  },
  "envoy.config.route.v3.VirtualHost": {
    request_body_buffer_limit: [25, "google.protobuf.UInt64Value"],
    route_specifiers: [26, "repeated envoy.config.core.v3.TypedExtensionConfig"],
  },
  "envoy.config.route.v3.WeightedCluster": {
    use_hash_policy: [5, "google.protobuf.BoolValue", "random_value_specifier"],
  },
  "envoy.config.tap.v3.OutputConfig": {
    min_streamed_sent_bytes: [5, "google.protobuf.UInt32Value"],
  },
  "envoy.config.trace.v3.OpenTelemetryConfig": {
    max_cache_size: [6, "google.protobuf.UInt32Value"],
    set_telemetry_sdk_resource_attributes: [7, "google.protobuf.BoolValue"],
    set_service_name_resource_attribute: [8, "google.protobuf.BoolValue"],
    set_instrumentation_scope: [9, "google.protobuf.BoolValue"],
    exporter: [10, "envoy.config.core.v3.TypedExtensionConfig"],
  },
  "envoy.config.trace.v3.ZipkinConfig": {
    trace_context_option: [8, "envoy.additions.TraceContextOption"],
    collector_service: [9, "envoy.config.core.v3.HttpService"],
    timestamp_trace_ids: [10, "bool"],
  },
  "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig": {
    http_service: [8, "envoy.config.core.v3.HttpService"],
    grpc_service: [9, "envoy.config.core.v3.GrpcService"],
    log_name: [10, "string"],
    buffer_flush_interval: [11, "google.protobuf.Duration"],
    buffer_size_bytes: [12, "google.protobuf.UInt32Value"],
    filter_state_objects_to_log: [13, "repeated string"],
    custom_tags: [14, "repeated envoy.type.tracing.v3.CustomTag"],
    resource_detectors: [15, "repeated envoy.config.core.v3.TypedExtensionConfig"],
  },
  "envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig": {
    disable_dns_refresh_on_failure: [15, "bool"],
  },
  "envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor": {
    shadow_mode: [3, "bool"],
  },
  "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor": {
    hits_addend: [3, "google.protobuf.UInt64Value"],
    is_negative_hits: [4, "bool"],
  },
  "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.RateLimitOverride": {
    unit_multiplier: [3, "google.protobuf.UInt32Value"],
  },
  "envoy.extensions.filters.http.basic_auth.v3.BasicAuth": {
    authentication_header: [3, "string"],
    allow_missing: [4, "bool"],
    emit_dynamic_metadata: [5, "bool"],
    realm: [6, "string"],
  },
  "envoy.extensions.filters.http.basic_auth.v3.BasicAuthPerRoute": {
    realm: [2, "string"],
  },
  "envoy.extensions.filters.http.composite.v3.Composite": {
    matcher: [2, "xds.type.matcher.v3.Matcher"],
  },
  "envoy.extensions.filters.http.composite.v3.ExecuteFilterAction": {
    filter_chain_name: [5, "string"],
  },
  "envoy.extensions.filters.http.compressor.v3.Compressor.CommonDirectionConfig": {
    content_type_matcher: [4, "repeated envoy.type.matcher.v3.StringMatcher"],
  },
  "envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig": {
    uncompressible_response_codes: [4, "repeated uint32"],
    status_header_enabled: [5, "bool"],
    weaken_etag_on_compress: [6, "bool"],
  },
  "envoy.extensions.filters.http.compressor.v3.CompressorOverrides": {
    compressor_library: [2, "envoy.config.core.v3.TypedExtensionConfig"],
  },
  "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig": {
    allow_dynamic_host_from_filter_state: [4, "bool"],
  },
  "envoy.extensions.filters.http.ext_authz.v3.CheckSettings": {
    grpc_service: [4, "envoy.config.core.v3.GrpcService"],
    http_service: [5, "envoy.extensions.filters.http.ext_authz.v3.HttpService"],
    emit_client_span: [6, "google.protobuf.BoolValue"],
  },
  "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz": {
    filter_metadata: [28, "google.protobuf.Struct"],
    emit_filter_state_stats: [29, "bool"],
    max_denied_response_body_bytes: [30, "uint32"],
    enforce_response_header_limits: [31, "bool"],
    shadow_mode: [32, "bool"],
    emit_client_span: [33, "google.protobuf.BoolValue"],
    clear_route_cache_headers: [34, "repeated string"],
  },
  "envoy.extensions.filters.http.ext_authz.v3.HttpService": {
    retry_policy: [9, "envoy.config.core.v3.RetryPolicy"],
    path_override: [10, "string"],
  },
  "envoy.extensions.filters.http.ext_proc.v3.ExtProcOverrides": {
    failure_mode_allow: [8, "google.protobuf.BoolValue"],
    processing_request_modifier: [9, "envoy.config.core.v3.TypedExtensionConfig"],
    emit_client_span: [10, "google.protobuf.BoolValue"],
  },
  "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor": {
    send_body_without_waiting_for_header_response: [21, "bool"],
    allowed_override_modes: [22, "repeated envoy.extensions.filters.http.ext_proc.v3.ProcessingMode"],
    on_processing_response: [23, "envoy.config.core.v3.TypedExtensionConfig"],
    status_on_error: [24, "envoy.type.v3.HttpStatus"],
    processing_request_modifier: [25, "envoy.config.core.v3.TypedExtensionConfig"],
    allow_content_length_header: [26, "bool"],
    emit_client_span: [27, "google.protobuf.BoolValue"],
  },
  "envoy.extensions.filters.http.ext_proc.v3.MetadataOptions": {
    cluster_metadata_forwarding_namespaces: [
      3,
      "envoy.extensions.filters.http.ext_proc.v3.MetadataOptions.MetadataNamespaces",
    ],
  },
  "envoy.extensions.filters.http.fault.v3.FaultAbort": {
    response_body: [6, "string"],
  },
  "envoy.extensions.filters.http.header_mutation.v3.Mutations": {
    query_parameter_mutations: [3, "repeated envoy.config.core.v3.KeyValueMutation"],
    response_trailers_mutations: [4, "repeated envoy.config.common.mutation_rules.v3.HeaderMutation"],
    request_trailers_mutations: [5, "repeated envoy.config.common.mutation_rules.v3.HeaderMutation"],
    formatters: [6, "repeated envoy.config.core.v3.TypedExtensionConfig"],
  },
  "envoy.extensions.filters.http.header_to_metadata.v3.Config": {
    stat_prefix: [3, "string"],
  },
  "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication": {
    stat_prefix: [7, "string"],
  },
  "envoy.extensions.filters.http.jwt_authn.v3.JwtCacheConfig": {
    jwt_max_token_size: [2, "uint32"],
  },
  "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit": {
    rate_limits: [17, "repeated envoy.config.route.v3.RateLimit"],
    max_dynamic_descriptors: [18, "google.protobuf.UInt32Value"],
    enable_retry_after_header: [19, "bool"],
  },
  "envoy.extensions.filters.http.lua.v3.Lua": {
    clear_route_cache: [5, "google.protobuf.BoolValue"],
    filter_context: [6, "google.protobuf.Struct"],
    package_paths: [7, "repeated string"],
    package_cpaths: [8, "repeated string"],
    shared_vm_id: [9, "string"],
  },
  "envoy.extensions.filters.http.lua.v3.LuaPerRoute": {
    filter_context: [4, "google.protobuf.Struct"],
    package_paths: [5, "repeated string"],
    package_cpaths: [6, "repeated string"],
    shared_vm_id: [7, "string"],
  },
  "envoy.extensions.filters.http.ratelimit.v3.RateLimit": {
    filter_enabled: [14, "envoy.config.core.v3.RuntimeFractionalPercent"],
    filter_enforced: [15, "envoy.config.core.v3.RuntimeFractionalPercent"],
    failure_mode_deny_percent: [16, "envoy.config.core.v3.RuntimeFractionalPercent"],
    rate_limits: [17, "repeated envoy.config.route.v3.RateLimit"],
    metadata_namespace: [18, "string"],
    enable_retry_after_header: [19, "bool"],
  },
  "envoy.extensions.filters.http.router.v3.Router": {
    reject_connect_request_early_data: [10, "google.protobuf.BoolValue"],
  },
  "envoy.extensions.filters.http.set_filter_state.v3.Config": {
    clear_route_cache: [2, "bool"],
  },
  "envoy.extensions.filters.http.stateful_session.v3.StatefulSession": {
    stat_prefix: [3, "string"],
    status_on_strict_destination_not_found: [4, "uint32"],
  },
  "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector": {
    enable_ja4_fingerprinting: [3, "google.protobuf.BoolValue"],
    close_connection_on_client_hello_parsing_errors: [4, "bool"],
    max_client_hello_size: [5, "google.protobuf.UInt32Value"],
  },
  "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz": {
    send_tls_alert_on_denial: [9, "bool"],
    metadata_context_namespaces: [10, "repeated string"],
    typed_metadata_context_namespaces: [11, "repeated string"],
    shadow_mode: [12, "bool"],
  },
  "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": {
    http1_safe_max_connection_duration: [58, "bool"],
    stream_flush_timeout: [59, "google.protobuf.Duration"],
    forward_client_cert_matcher: [60, "xds.type.matcher.v3.Matcher"],
    drain_timeout_jitter: [62, "envoy.type.v3.Percent"],
    record_route_resolution_stats: [63, "bool"],
  },
  "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.SetCurrentClientCertDetails": {
    issuer: [8, "bool"],
  },
  "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing": {
    operation: [11, "string"],
    upstream_operation: [12, "string"],
    no_context_propagation: [13, "bool"],
  },
  "envoy.extensions.filters.network.rbac.v3.RBAC": {
    delay_deny: [8, "google.protobuf.Duration"],
  },
  "envoy.extensions.filters.network.set_filter_state.v3.Config": {
    on_downstream_tls_handshake: [2, "repeated envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue"],
    on_downstream_data: [3, "repeated envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue"],
  },
  "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy": {
    backoff_options: [18, "envoy.config.core.v3.BackoffStrategy"],
    max_downstream_connection_duration_jitter_percentage: [20, "envoy.type.v3.Percent"],
    max_early_data_bytes: [22, "google.protobuf.UInt32Value"],
    check_drain_close: [24, "google.protobuf.BoolValue"],
  },
  "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TcpAccessLogOptions": {
    flush_access_log_on_start: [3, "bool"],
  },
  "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig": {
    request_id_extension: [7, "envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension"],
    request_id_header: [8, "string"],
    request_id_metadata_key: [9, "string"],
    formatters: [10, "repeated envoy.config.core.v3.TypedExtensionConfig"],
  },
  "envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin": {
    metric_names_for_computing_utilization: [7, "repeated string"],
    slow_start_config: [8, "envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig"],
  },
  "envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig": {
    hash_policy: [3, "repeated envoy.config.route.v3.RouteAction.HashPolicy"],
  },
  "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig": {
    force_locality_direct_routing: [4, "bool"],
  },
  "envoy.extensions.matching.common_inputs.network.v3.FilterStateInput": {
    field: [2, "string"],
  },
  "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig": {
    query_timeout_seconds: [6, "google.protobuf.UInt64Value"],
    query_tries: [7, "google.protobuf.UInt32Value"],
    rotate_nameservers: [8, "bool"],
    edns0_max_payload_size: [9, "google.protobuf.UInt32Value"],
    max_udp_channel_duration: [10, "google.protobuf.Duration"],
    reinit_channel_on_timeout: [11, "bool"],
    qcache_max_ttl: [12, "google.protobuf.UInt32Value"],
  },
  "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig": {
    num_retries: [1, "google.protobuf.UInt32Value"],
    num_resolver_threads: [2, "google.protobuf.UInt32Value"],
  },
  "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport": {
    allow_unspecified_address: [3, "bool"],
    tlv_as_pool_key: [4, "bool"],
  },
  "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext": {
    suppress_client_ca_list: [18, "bool"],
  },
  "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext": {
    custom_tls_certificate_selector: [16, "envoy.config.core.v3.TypedExtensionConfig"],
  },
  "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext": {
    prefer_client_ciphers: [11, "bool"],
  },
  "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig": {
    trust_bundles: [2, "envoy.config.core.v3.DataSource"],
  },
  "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig.TrustDomain": {
    workload_trust_domain: [3, "string"],
  },
  "envoy.extensions.transport_sockets.tls.v3.TlsCertificate": {
    tls_params: [9, "envoy.extensions.transport_sockets.tls.v3.TlsParameters"],
  },
  "envoy.extensions.transport_sockets.tls.v3.TlsParameters": {
    compliance_policies: [6, "repeated envoy.additions.CompliancePolicy"],
  },
  "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext": {
    auto_host_sni: [6, "bool"],
    auto_sni_san_validation: [7, "bool"],
  },
  "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    outlier_detection: [8, "envoy.additions.HttpOutlierDetection"],
    request_mirror_policies: [9, "repeated envoy.config.route.v3.RouteAction.RequestMirrorPolicy"],
    hash_policy: [10, "repeated envoy.config.route.v3.RouteAction.HashPolicy"],
    retry_policy: [11, "envoy.config.route.v3.RetryPolicy"],
  },
  "envoy.service.discovery.v3.DeltaDiscoveryResponse": {
    resource_errors: [9, "repeated envoy.additions.ResourceError"],
  },
  "envoy.service.discovery.v3.DiscoveryResponse": {
    resource_errors: [7, "repeated envoy.additions.ResourceError"],
  },
  "envoy.type.metadata.v3.MetadataKey.PathSegment": {
    index: [2, "uint32", "segment"],
  },
  "envoy.type.tracing.v3.CustomTag": {
    value: [6, "string", "type"],
    value_type: [7, "envoy.additions.CustomTagValueType"],
  },
  "xds.type.matcher.v3.Matcher.OnMatch": {
    keep_matching: [3, "bool"],
  },
  "xds.type.matcher.v3.StringMatcher": {
    custom: [8, "xds.core.v3.TypedExtensionConfig", "match_pattern"],
  },
  "xds.type.v3.CelExpression": {
    cel_expr_string: [5, "string"],
  },
};

/** Enum → value → number. @type {Readonly<Record<string, Readonly<Record<string, number>>>>} */
export const addedValues = {
  "envoy.config.accesslog.v3.ComparisonFilter.Op": { NE: 3 },
  "envoy.config.cluster.v3.UpstreamConnectionOptions.FirstAddressFamilyVersion": { PIPE: 3, INTERNAL: 4 },
  "envoy.config.route.v3.RateLimit.Action.MetaData.Source": { CLUSTER_ENTRY: 2, CLUSTER_LOCALITY_ENTRY: 3 },
  "envoy.extensions.filters.http.ext_proc.v3.ProcessingMode.BodySendMode": { FULL_DUPLEX_STREAMED: 4, GRPC: 5 },
  "envoy.config.overload.v3.ScaleTimersOverloadActionConfig.TimerType": {
    HTTP_DOWNSTREAM_CONNECTION_MAX: 4,
    HTTP_DOWNSTREAM_STREAM_FLUSH: 5,
  },
};

/**
 * `(validate.rules)` that newer Envoys changed: `message.field` → the rules now, `undefined` where there is none any more;
 * `message.(oneof)` → no longer required.
 *
 * @type {Readonly<Record<string, object | undefined>>}
 */
export const changedRules = {
  "envoy.config.accesslog.v3.ResponseFlagFilter.flags": {
    repeated: {
      items: {
        string: {
          in: [
            "LH",
            "UH",
            "UT",
            "LR",
            "UR",
            "UF",
            "UC",
            "UO",
            "NR",
            "DI",
            "FI",
            "RL",
            "UAEX",
            "RLSE",
            "DC",
            "URX",
            "SI",
            "IH",
            "DPE",
            "UMSDR",
            "RFCF",
            "NFCF",
            "DT",
            "UPE",
            "NC",
            "OM",
            "DF",
            "DO",
            "DR",
            "UDO",
          ],
        },
      },
    },
  },
  "envoy.config.bootstrap.v3.Bootstrap.stats_eviction_interval": { duration: { gte: "0.001s" } },
  "envoy.config.cluster.v3.Cluster.dns_jitter": { duration: { gte: "0s" } },
  "envoy.config.cluster.v3.Cluster.health_checks": { repeated: { maxItems: "8" } },
  "envoy.config.cluster.v3.Cluster.per_connection_buffer_high_watermark_timeout": { duration: { gte: "0s" } },
  "envoy.config.core.v3.Http2ProtocolOptions.max_header_field_size_kb": { uint32: { lte: 256, gte: 64 } },
  "envoy.config.core.v3.HttpProtocolOptions.max_response_headers_kb": { uint32: { lte: 8192, gt: 0 } },
  "envoy.config.core.v3.KeyValueAppend.entry": { message: { skip: true } },
  "envoy.config.core.v3.PathConfigSource.poll_interval": { duration: { gte: "0.001s" } },
  "envoy.config.core.v3.RuntimeDouble.runtime_key": undefined,
  "envoy.config.core.v3.RuntimeFeatureFlag.runtime_key": undefined,
  "envoy.config.core.v3.RuntimePercent.runtime_key": undefined,
  "envoy.config.core.v3.RuntimeUInt32.runtime_key": undefined,
  "envoy.config.listener.v3.Listener.per_connection_buffer_high_watermark_timeout": { duration: { gte: "0s" } },
  "envoy.config.metrics.v3.HistogramBucketSettings.bins": { uint32: { lte: 46082, gt: 0 } },
  "envoy.config.metrics.v3.HistogramBucketSettings.buckets": {
    repeated: { unique: true, items: { double: { gt: 0 } } },
  },
  "envoy.config.metrics.v3.MetricsServiceConfig.batch_size": { uint32: { gte: 0 } },
  "envoy.config.route.v3.RouteAction.RequestMirrorPolicy.host_rewrite_literal": {
    string: { wellKnownRegex: "HTTP_HEADER_VALUE", strict: false },
  },
  "envoy.config.route.v3.RouteAction.RequestMirrorPolicy.request_headers_mutations": { repeated: { maxItems: "1000" } },
  "envoy.config.route.v3.RouteConfiguration.vhost_header": {
    string: { wellKnownRegex: "HTTP_HEADER_NAME", strict: false },
  },
  "envoy.config.route.v3.VirtualHost.request_body_buffer_limit": { message: { required: false } },
  "envoy.config.trace.v3.ZipkinConfig.collector_cluster": undefined,
  "envoy.config.trace.v3.ZipkinConfig.collector_endpoint": undefined,
  "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig.common_config": undefined,
  "envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig.dns_query_timeout": { duration: { gte: "0s" } },
  "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry.value": { string: { minLen: "0" } },
  "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.RateLimitOverride.unit_multiplier": { uint32: { gt: 0 } },
  "envoy.extensions.filters.http.basic_auth.v3.BasicAuth.authentication_header": {
    string: { wellKnownRegex: "HTTP_HEADER_NAME", strict: false },
  },
  "envoy.extensions.filters.http.basic_auth.v3.BasicAuth.realm": { string: { pattern: "^[^\\x00-\\x1f\\x7f]*$" } },
  "envoy.extensions.filters.http.basic_auth.v3.BasicAuthPerRoute.realm": {
    string: { pattern: "^[^\\x00-\\x1f\\x7f]*$" },
  },
  "envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig.uncompressible_response_codes": {
    repeated: { unique: true, items: { uint32: { lt: 600, gte: 200 } } },
  },
  "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz.clear_route_cache_headers": {
    repeated: { items: { string: { minLen: "1", wellKnownRegex: "HTTP_HEADER_NAME", strict: false } } },
  },
  "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute.disabled": undefined,
  "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor.grpc_service": undefined,
  "envoy.extensions.filters.http.jwt_authn.v3.JwtClaimToHeader.claim_name": undefined,
  "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit.max_dynamic_descriptors": { uint32: { gte: 1 } },
  "envoy.extensions.filters.http.lua.v3.Lua.package_cpaths": { repeated: { items: { string: { minLen: "1" } } } },
  "envoy.extensions.filters.http.lua.v3.Lua.package_paths": { repeated: { items: { string: { minLen: "1" } } } },
  "envoy.extensions.filters.http.lua.v3.LuaPerRoute.(override)": undefined,
  "envoy.extensions.filters.http.lua.v3.LuaPerRoute.package_cpaths": {
    repeated: { items: { string: { minLen: "1" } } },
  },
  "envoy.extensions.filters.http.lua.v3.LuaPerRoute.package_paths": {
    repeated: { items: { string: { minLen: "1" } } },
  },
  "envoy.extensions.filters.http.on_demand.v3.OnDemandCds.source": undefined,
  "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector.max_client_hello_size": {
    uint32: { lte: 16384, gt: 255 },
  },
  "envoy.extensions.filters.network.http_connection_manager.v3.Rds.config_source": undefined,
  "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.max_early_data_bytes": { uint32: { lte: 1048576 } },
  "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.edns0_max_payload_size": {
    uint32: { lte: 4096, gte: 512 },
  },
  "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.max_udp_channel_duration": {
    duration: { gte: "0s" },
  },
  "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.qcache_max_ttl": { uint32: { gte: 0 } },
  "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.query_timeout_seconds": {
    uint64: { gte: "1" },
  },
  "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.query_tries": { uint32: { gte: 1 } },
  "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.resolvers": undefined,
  "envoy.extensions.transport_sockets.tls.v3.CertificateProviderPluginInstance.instance_name": {
    string: { minLen: "1" },
  },
  "envoy.extensions.transport_sockets.tls.v3.TlsParameters.compliance_policies": { repeated: { maxItems: "1" } },
  "envoy.type.tracing.v3.CustomTag.value_type": { enum: { definedOnly: true } },
  "envoy.type.v3.TokenBucket.max_tokens": { uint32: { gte: 0 } },
  "xds.type.v3.CelExpression.(expr_specifier)": undefined,
};
