/** Internal listeners beside a real Envoy: TLS within TLS, CONNECT within, as ambient mesh's HBONE has it. */
import { afterAll } from "vitest";
import { testAuthority } from "#proxy/tls/node-test-identities.ts";
import type { Case, Json } from "./harness/case.ts";
import { router, upstreamOptions } from "./harness/requests.ts";
import { describeBesideEnvoy } from "./harness/run.ts";
import { at, startEchoes, talk } from "./tunnel-talk.ts";

const type = "type.googleapis.com/envoy.extensions";
const echoes = await startEchoes();
afterAll(() => echoes.close());

const internalEndpoint = (listener: string, endpointId: string, metadata?: Json): Json => ({
  endpoint: { address: { envoy_internal_address: { server_listener_name: listener, endpoint_id: endpointId } } },
  ...(metadata === undefined ? {} : { metadata: { filter_metadata: metadata } }),
});
const internalCluster = (name: string, endpoint: Json, more: Json = {}): Json => ({
  name,
  type: "STATIC",
  load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [endpoint] }] },
  ...more,
});
const passing = (...kinds: readonly (readonly [kind: string, name: string])[]): Json => ({
  transport_socket: {
    name: "envoy.transport_sockets.internal_upstream",
    typed_config: {
      "@type": `${type}.transport_sockets.internal_upstream.v3.InternalUpstreamTransport`,
      passthrough_metadata: kinds.map(([kind, name]) => ({ name, kind: { [kind]: {} } })),
      transport_socket: {
        name: "raw",
        typed_config: { "@type": `${type}.transport_sockets.raw_buffer.v3.RawBuffer` },
      },
    },
  },
});
const format =
  "local=%DOWNSTREAM_LOCAL_ADDRESS% remote=%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% received=%BYTES_RECEIVED% sent=%BYTES_SENT% host=%UPSTREAM_HOST%" +
  " dst=%DYNAMIC_METADATA(envoy.filters.listener.original_dst)% peer=%DOWNSTREAM_PEER_URI_SAN% a=%FILTER_STATE(my.a:PLAIN)% b=%FILTER_STATE(my.b:PLAIN)%";
const log = (line: string): Json => ({
  name: "file",
  typed_config: {
    "@type": `${type}.access_loggers.file.v3.FileAccessLog`,
    path: "{log}",
    log_format: { text_format_source: { inline_string: `${line} ${format}\n` } },
  },
});
const tcp = (id: string, cluster: string, more: Json = {}): Json => ({
  name: "tcp",
  typed_config: {
    "@type": `${type}.filters.network.tcp_proxy.v3.TcpProxy`,
    stat_prefix: `${id}-tcp`,
    cluster,
    access_log: [log(`${id} tcp`)],
    ...more,
  },
});
const state = (...values: readonly Json[]): Json => ({
  name: "state",
  typed_config: {
    "@type": `${type}.filters.network.set_filter_state.v3.Config`,
    on_new_connection: values,
  },
});
const value = (key: string, text: string, shared = "NONE"): Json => ({
  object_key: key,
  factory_key: "envoy.string",
  format_string: { text_format_source: { inline_string: text } },
  shared_with_upstream: shared,
});
const originalDst: Json = {
  name: "original_dst",
  typed_config: { "@type": `${type}.filters.listener.original_dst.v3.OriginalDst` },
};
const open = (name: string, filters: readonly Json[]): Json => ({
  name,
  address: { socket_address: { address: "127.0.0.1", port_value: "port:any" } },
  filter_chains: [{ filters }],
});
const inner = (name: string, filters: readonly Json[], more: Json = {}): Json => ({
  name,
  internal_listener: {},
  filter_chains: [{ filters }],
  ...more,
});
const overHttp2 = upstreamOptions();
const terminate = (id: string, cluster: string): Json => ({
  name: "http",
  typed_config: {
    "@type": `${type}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: `${id}-http`,
    http2_protocol_options: { allow_connect: true },
    upgrade_configs: [{ upgrade_type: "CONNECT" }],
    route_config: {
      virtual_hosts: [
        {
          name: "v",
          domains: ["*"],
          routes: [
            {
              match: { connect_matcher: {} },
              route: { cluster, upgrade_configs: [{ upgrade_type: "CONNECT", connect_config: {} }] },
            },
          ],
        },
      ],
    },
    http_filters: [
      {
        name: "state",
        typed_config: {
          "@type": `${type}.filters.http.set_filter_state.v3.Config`,
          on_request_headers: [
            {
              object_key: "envoy.filters.listener.original_dst.local_ip",
              format_string: { text_format_source: { inline_string: "%REQ(:AUTHORITY)%" } },
              shared_with_upstream: "ONCE",
            },
            value("my.a", "%REQ(X-A)%", "ONCE"),
          ],
        },
      },
      router,
    ],
  },
});

const authority = testAuthority();
const commonTls = (name: string, alpn: readonly string[]): Json => {
  const { certificateChain, privateKey } = authority.workload(`spiffe://cluster.local/ns/a/sa/${name}`);
  return {
    alpn_protocols: alpn,
    tls_certificates: [
      { certificate_chain: { inline_string: certificateChain }, private_key: { inline_string: privateKey } },
    ],
    validation_context: { trusted_ca: { inline_string: authority.rootPem } },
  };
};
const upstreamTls = (name: string, alpn: readonly string[] = []): Json => ({
  name: "tls",
  typed_config: {
    "@type": `${type}.transport_sockets.tls.v3.UpstreamTlsContext`,
    common_tls_context: commonTls(name, alpn),
  },
});
const downstreamTls = (name: string, alpn: readonly string[] = []): Json => ({
  transport_socket: {
    name: "tls",
    typed_config: {
      "@type": `${type}.transport_sockets.tls.v3.DownstreamTlsContext`,
      require_client_certificate: true,
      common_tls_context: commonTls(name, alpn),
    },
  },
});

const listeners: readonly Json[] = [
  // Into a listener of this process, and out to the echo.
  open("case0x", [tcp("case0x", "case0x-in")]),
  inner("case0x-inner", [tcp("case0x", "case0x")]),
  // With metadata of the host and of the cluster.
  open("case1x", [tcp("case1x", "case1x-in")]),
  inner("case1x-inner", [tcp("case1x", "case1x")], { listener_filters: [originalDst] }),
  // With filter state: once, for ever, not at all.
  open("case2x", [
    state(value("my.a", "once", "ONCE"), value("my.b", "ever", "TRANSITIVE"), value("my.c", "none")),
    tcp("case2x", "case2x-in"),
  ]),
  inner("case2x-inner", [tcp("case2x", "case2x-in2")]),
  inner("case2x-inner2", [tcp("case2x", "case2x")]),
  // Nobody listens.
  open("case3x", [tcp("case3x", "case3x-in")]),
  // A tunnel that begins in one internal listener and ends in another: CONNECT over HTTP/2 within.
  open("case4x", [tcp("case4x", "case4x-in")]),
  inner("case4x-inner", [
    tcp("case4x", "case4x-tunnel", {
      tunneling_config: { hostname: "10.1.2.3:80", headers_to_add: [{ header: { key: "x-a", value: "told" } }] },
    }),
  ]),
  inner("case4x-end", [terminate("case4x", "case4x-main")]),
  inner("case4x-main", [tcp("case4x", "case4x")], { listener_filters: [originalDst] }),
  // HBONE with TLS within TLS: the application's own, and the tunnel's.
  open("case5x", [tcp("case5x", "case5x-in")]),
  inner("case5x-inner", [tcp("case5x", "case5x-tunnel", { tunneling_config: { hostname: "10.1.2.3:80" } })]),
  {
    name: "case5x-end",
    internal_listener: {},
    filter_chains: [{ filters: [terminate("case5x", "case5x-main")], ...downstreamTls("outer-server", ["h2"]) }],
  },
  {
    name: "case5x-main",
    internal_listener: {},
    filter_chains: [{ filters: [tcp("case5x", "case5x")], ...downstreamTls("inner-server") }],
  },
];

const clusters: readonly Json[] = [
  internalCluster("case0x-in", internalEndpoint("case0x-inner", "e")),
  internalCluster(
    "case1x-in",
    internalEndpoint("case1x-inner", "e", { "envoy.filters.listener.original_dst": { local: "10.9.8.7:65" } }),
    passing(["host", "envoy.filters.listener.original_dst"]),
  ),
  internalCluster("case2x-in", internalEndpoint("case2x-inner", "e"), passing()),
  internalCluster("case2x-in2", internalEndpoint("case2x-inner2", "e"), passing()),
  internalCluster("case3x-in", internalEndpoint("case3x-nobody", "e")),
  internalCluster("case4x-in", internalEndpoint("case4x-inner", "e"), passing()),
  internalCluster("case4x-tunnel", internalEndpoint("case4x-end", "e"), overHttp2),
  internalCluster("case4x-main", internalEndpoint("case4x-main", "e"), passing()),
  internalCluster("case5x-in", internalEndpoint("case5x-inner", "e"), {
    transport_socket: upstreamTls("inner-client"),
  }),
  internalCluster("case5x-tunnel", internalEndpoint("case5x-end", "e"), {
    ...overHttp2,
    transport_socket: upstreamTls("outer-client", ["h2"]),
  }),
  internalCluster("case5x-main", internalEndpoint("case5x-main", "e"), passing()),
];

const names = [
  "a connection to an internal listener",
  "metadata of the host is given along",
  "filter state is given along: once, or ever on",
  "an internal listener that nobody has",
  "CONNECT within: a tunnel from one internal listener to another",
  "TLS within a tunnel over TLS",
];
const logs = [2, 2, 3, 1, 3, 3];

describeBesideEnvoy("internal listeners, beside a real Envoy", {
  bootstrap: {
    bootstrap_extensions: [
      {
        name: "envoy.bootstrap.internal_listener",
        typed_config: { "@type": `${type}.bootstrap.internal_listener.v3.InternalListener` },
      },
    ],
  },
  listeners,
  clusters,
  cases: names.map((name, index): Case => ({
    name,
    clusters: { "": at(echoes.tcpPort) },
    // At the end of a tunnel Envoy loses what came last.
    exchanges: [index >= 4 ? talk("one", "two") : talk("one", "two", "bye")],
    logs: logs[index] ?? 1,
    blur: [
      [/\(end of stream\)$/g, ""],
      // What TLS costs beside the bytes is each library's own affair.
      [/received=\d{3,} sent=\d{3,}/g, "received=N sent=N"],
    ],
    statsExcept: {
      "http2.nghttp2_upstream_connections": "the name of a library of Envoy's",
      "http2.rx_reset": "who of two ends a tunnel first is a matter of chance",
      downstream_rq_rx_reset: "as above",
      downstream_rq_tx_reset: "as above",
    },
  })),
});
