/** Which filter chain takes a connection, beside a real Envoy: addresses come by PROXY header. */
import type { Case, Exchange, Json } from "./harness/case.ts";
import { describeBesideEnvoy } from "./harness/run.ts";
import { talk } from "./tunnel-talk.ts";

const type = "type.googleapis.com/envoy.extensions";
const chain = (name: string, more: Json = {}): Json => ({
  name,
  filters: [
    {
      name: "say",
      typed_config: {
        "@type": `${type}.filters.network.direct_response.v3.Config`,
        response: { inline_string: `[${name}]` },
      },
    },
  ],
  ...more,
});
const input = (name: string, more: Json = {}): Json => ({
  name,
  typed_config: { "@type": `${type}.matching.common_inputs.network.v3.${name}`, ...more },
});
const to = (name: string): Json => ({
  action: { name, typed_config: { "@type": "type.googleapis.com/google.protobuf.StringValue", value: name } },
});
const exactly = (name: string, map: Json, more: Json = {}): Json => ({
  matcher_tree: { input: input(name), exact_match_map: { map } },
  ...more,
});
const when = (name: string, value: Json, on: Json): Json => ({
  predicate: { single_predicate: { input: input(name), value_match: value } },
  on_match: on,
});
const custom = (name: string, value: Json): Json => ({
  matcher_tree: { input: input(name), custom_match: { name: "custom", typed_config: value } },
});
const headers = [
  "PROXY TCP4 1.2.3.4 10.0.0.1 11 80\r\n",
  "PROXY TCP4 1.2.3.4 10.0.0.2 11 80\r\n",
  "PROXY TCP4 10.0.0.1 10.0.0.1 12 80\r\n",
  "PROXY TCP4 127.0.0.1 10.0.0.2 11 443\r\n",
  "PROXY TCP6 1::2 3::4 11 443\r\n",
  "PROXY TCP4 9.9.9.9 10.9.9.9 5 9\r\n",
  "PROXY UNKNOWN\r\n",
];
/** What follows the header is for inspectors. */
const bytes = ["GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01"];
const exchanges: readonly Exchange[] = headers.flatMap((header) => bytes.map((rest) => talk(header + rest)));
const ranges = (address: string, length: number): Json => ({
  ranges: [{ address_prefix: address, prefix_len: length }],
});

const all = ["a", "b", "c"].map((name) => chain(name));
const listeners: readonly (readonly [name: string, fields: Json])[] = [
  [
    "matcher: a port, then an address",
    {
      filter_chain_matcher: exactly(
        "DestinationPortInput",
        { 80: { matcher: exactly("DestinationIPInput", { "10.0.0.1": to("a") }) }, 443: to("b") },
        { on_no_match: to("c") },
      ),
      filter_chains: all,
      default_filter_chain: chain("default"),
    },
  ],
  [
    "matcher: a name that no chain has",
    {
      filter_chain_matcher: exactly("DestinationPortInput", { 80: to("nobody") }),
      filter_chains: all,
      default_filter_chain: chain("default"),
    },
  ],
  [
    "matcher: no match and no default chain",
    { filter_chain_matcher: exactly("DestinationPortInput", { 80: to("a") }), filter_chains: all },
  ],
  [
    "matcher: a list",
    {
      filter_chain_matcher: {
        matcher_list: {
          matchers: [
            when("SourceTypeInput", { exact: "local" }, to("a")),
            when(
              "SourceIPInput",
              { prefix: "1.2." },
              { matcher: exactly("DestinationIPInput", { "10.0.0.2": to("b") }) },
            ),
            when("TransportProtocolInput", { exact: "raw_buffer" }, to("c")),
          ],
        },
      },
      filter_chains: all,
      default_filter_chain: chain("default"),
    },
  ],
  [
    "matcher: addresses by range",
    {
      filter_chain_matcher: custom("DestinationIPInput", {
        "@type": "type.googleapis.com/xds.type.matcher.v3.IPMatcher",
        range_matchers: [
          { ...ranges("10.0.0.0", 8), on_match: to("a") },
          { ...ranges("10.0.0.1", 32), on_match: { matcher: exactly("SourcePortInput", { 12: to("b") }) } },
          { ...ranges("3::", 16), on_match: to("c") },
        ],
      }),
      filter_chains: all,
      default_filter_chain: chain("default"),
    },
  ],
  [
    "matcher: the peer itself, and what inspectors found",
    {
      filter_chain_matcher: {
        matcher_list: {
          matchers: [
            when("ApplicationProtocolInput", { exact: "'http/1.1'" }, to("a")),
            when("DirectSourceIPInput", { prefix: "127." }, to("b")),
          ],
        },
      },
      filter_chains: all,
    },
  ],
  [
    "criteria: ports, ranges, kinds of source",
    {
      filter_chains: [
        chain("port", { filter_chain_match: { destination_port: 80, source_type: "EXTERNAL" } }),
        chain("local", { filter_chain_match: { destination_port: 80, source_type: "SAME_IP_OR_LOOPBACK" } }),
        chain("range", { filter_chain_match: { prefix_ranges: [{ address_prefix: "10.0.0.2", prefix_len: 32 }] } }),
        chain("source", {
          filter_chain_match: { source_prefix_ranges: [{ address_prefix: "1::", prefix_len: 16 }] },
        }),
        chain("direct", {
          filter_chain_match: {
            prefix_ranges: [{ address_prefix: "10.0.0.0", prefix_len: 8 }],
            direct_source_prefix_ranges: [{ address_prefix: "127.0.0.0", prefix_len: 8 }],
            source_ports: [5, 6],
          },
        }),
      ],
      default_filter_chain: chain("default"),
    },
  ],
  [
    "criteria: what inspectors found",
    {
      filter_chains: [
        chain("http", { filter_chain_match: { application_protocols: ["http/1.1"] } }),
        chain("raw", { filter_chain_match: { transport_protocol: "raw_buffer" } }),
        chain("port", { filter_chain_match: { destination_port: 443 } }),
      ],
    },
  ],
];

const filters: Json = {
  listener_filters_timeout: "0.1s",
  continue_on_listener_filters_timeout: true,
  listener_filters: [
    {
      name: "proxy",
      typed_config: { "@type": `${type}.filters.listener.proxy_protocol.v3.ProxyProtocol` },
    },
    {
      name: "http",
      typed_config: { "@type": `${type}.filters.listener.http_inspector.v3.HttpInspector` },
    },
  ],
};

describeBesideEnvoy("filter chains, beside a real Envoy", {
  listeners: listeners.map(([, fields], index) => ({
    name: `case${index}x`,
    address: { socket_address: { address: "127.0.0.1", port_value: "port:any" } },
    ...filters,
    ...fields,
  })),
  cases: listeners.map(([name]): Case => ({ name, exchanges, logs: 0, blur: [[/\(end of stream\)$/g, ""]] })),
});
