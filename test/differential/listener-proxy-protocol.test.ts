/** PROXY headers beside a real Envoy: what is believed, what is refused, and what goes to the upstream. */
import { encodeProxyV2 } from "#lib/proxy-protocol.ts";
import type { Case, Json, Step } from "./harness/case.ts";
import { get, rawUntilClosed, requestText, says } from "./harness/requests.ts";
import { describeBesideEnvoy } from "./harness/run.ts";

const type = "type.googleapis.com/envoy.extensions";
const filter = (config: Json): Json => ({
  listener_filters: [
    {
      name: "envoy.filters.listener.proxy_protocol",
      typed_config: { "@type": `${type}.filters.listener.proxy_protocol.v3.ProxyProtocol`, ...config },
    },
  ],
  listener_filters_timeout: "0.3s",
});

/** Says who the client is. */
const virtualHost: Json = {
  response_headers_to_add: [
    { header: { key: "x-remote", value: "%DOWNSTREAM_REMOTE_ADDRESS%" } },
    { header: { key: "x-direct", value: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%" } },
    { header: { key: "x-local", value: "%DOWNSTREAM_LOCAL_ADDRESS%" } },
  ],
};
/** No log to wait for, no delay before a connection is closed. */
const quick: Json = { access_log: [], delayed_close_timeout: "0s" };
const blur = [
  // The order of a direct response's own fields is compared elsewhere.
  [/content-length: 5\r\ncontent-type: text\/plain\r\n/g, ""] as const,
  [/127\.0\.0\.1:\d+/g, "127.0.0.1:P"] as const,
];
const last = requestText("GET", "/", { connection: "close" });

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
const addresses = (source: string, destination: string, sourcePort: number, destinationPort: number): number[] => [
  ...source.split(".").map(Number),
  ...destination.split(".").map(Number),
  sourcePort >> 8,
  sourcePort & 255,
  destinationPort >> 8,
  destinationPort & 255,
];
const normal = addresses("1.2.3.4", "5.6.7.8", 11, 22);
/** A version 2 header of any kind; `length` may lie. */
const v2 = (versionAndCommand: number, family: number, body: readonly number[], length = body.length): string =>
  `\r\n\r\n\0\r\nQUIT\n${latin1(Uint8Array.from([versionAndCommand, family, length >> 8, length & 255, ...body]))}`;
const tlv = (kind: number, ...value: number[]): number[] => [kind, value.length >> 8, value.length & 255, ...value];

const headers: Readonly<Record<string, string>> = {
  "no header": "",
  "version 1": "PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\n",
  UNKNOWN: "PROXY UNKNOWN\r\n",
  "UNKNOWN with more": "PROXY UNKNOWN 1 2 3 4 5 6\r\n",
  "UNKNOWN and a space": "PROXY UNKNOWN \r\n",
  UNKNOWNX: "PROXY UNKNOWNX\r\n",
  "lower case": "proxy TCP4 1.2.3.4 5.6.7.8 11 22\r\n",
  TCP6: "PROXY TCP6 1::2 3::4 11 22\r\n",
  "IPv6 in TCP4": "PROXY TCP4 1::2 3::4 11 22\r\n",
  "IPv4 in TCP6": "PROXY TCP6 1.2.3.4 5.6.7.8 11 22\r\n",
  "two spaces": "PROXY  TCP4 1.2.3.4 5.6.7.8 11 22\r\n",
  "a space at the end": "PROXY TCP4 1.2.3.4 5.6.7.8 11 22 \r\n",
  "a tab at the end": "PROXY TCP4 1.2.3.4 5.6.7.8 11 22\t\r\n",
  "a port with a zero before": "PROXY TCP4 1.2.3.4 5.6.7.8 011 22\r\n",
  "an address with a zero before": "PROXY TCP4 01.2.3.4 5.6.7.8 11 22\r\n",
  "a port too large": "PROXY TCP4 1.2.3.4 5.6.7.8 65536 22\r\n",
  "port 0": "PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n",
  "a multicast source": "PROXY TCP4 224.0.0.1 5.6.7.8 1 2\r\n",
  "source 0.0.0.0": "PROXY TCP4 0.0.0.0 5.6.7.8 1 2\r\n",
  "source 240.0.0.1": "PROXY TCP4 240.0.0.1 5.6.7.8 1 2\r\n",
  broadcast: "PROXY TCP4 255.255.255.255 5.6.7.8 1 2\r\n",
  "destination 0.0.0.0": "PROXY TCP4 1.2.3.4 0.0.0.0 1 2\r\n",
  "source ::": "PROXY TCP6 :: 3::4 11 22\r\n",
  "a multicast IPv6 source": "PROXY TCP6 ff02::1 3::4 11 22\r\n",
  "LF alone": "PROXY TCP4 1.2.3.4 5.6.7.8 11 22\n",
  "CR alone": "PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r",
  "a line of 107 bytes": `PROXY UNKNOWN ${"x".repeat(91)}\r\n`,
  "a line of 108 bytes": `PROXY UNKNOWN ${"x".repeat(92)}\r\n`,
  "a line of 109 bytes": `PROXY UNKNOWN ${"x".repeat(93)}\r\n`,
  "a line of 200 bytes": `PROXY UNKNOWN ${"x".repeat(200)}\r\n`,
  "a negative port": "PROXY TCP4 1.2.3.4 5.6.7.8 -1 22\r\n",
  "a port with a plus": "PROXY TCP4 1.2.3.4 5.6.7.8 +1 22\r\n",
  UDP4: "PROXY UDP4 1.2.3.4 5.6.7.8 1 22\r\n",
  "a port missing": "PROXY TCP4 1.2.3.4 5.6.7.8 11\r\n",
  "PROXY alone": "PROXY\r\n",
  "PROXY and a space": "PROXY \r\n",
  "a part too many": "PROXY TCP4 1.2.3.4 5.6.7.8 11 22 33\r\n",
  NUL: "PROXY TCP4 1.2.3.4 5.6.7.8 11 22\0\r\n",
  "version 2": v2(0x21, 0x11, normal),
  "IPv6 in version 2": v2(0x21, 0x21, [
    32,
    1,
    ...Array<number>(13).fill(0),
    1,
    32,
    1,
    ...Array<number>(13).fill(0),
    2,
    0,
    11,
    0,
    22,
  ]),
  LOCAL: v2(0x20, 0x11, normal),
  "LOCAL without addresses": v2(0x20, 0, []),
  "LOCAL with a TLV": v2(0x20, 0, tlv(2, 65)),
  AF_UNSPEC: v2(0x21, 0, []),
  AF_UNIX: v2(0x21, 0x31, Array<number>(216).fill(0)),
  "a datagram": v2(0x21, 0x12, normal),
  "no transport": v2(0x21, 0x10, normal),
  "version 1 in version 2's form": v2(0x11, 0x11, normal),
  "command 2": v2(0x22, 0x11, normal),
  TLVs: v2(0x21, 0x11, [...normal, ...tlv(2, 97, 98), ...tlv(0xea, 1)]),
  "a TLV cut off": v2(0x21, 0x11, [...normal, 2, 0, 9, 65]),
  "a TLV's head cut off": v2(0x21, 0x11, [...normal, 2, 0]),
  "too short": v2(0x21, 0x11, normal.slice(0, 11)),
  "too short for IPv6": v2(0x21, 0x21, Array<number>(35).fill(1)),
  "IPv6 from ::": v2(0x21, 0x21, Array<number>(36).fill(0)),
  "multicast in version 2": v2(0x21, 0x11, addresses("224.2.3.4", "5.6.7.8", 1, 2)),
  "port 0 in version 2": v2(0x21, 0x11, addresses("1.2.3.4", "5.6.7.8", 0, 0)),
  "family 4": v2(0x21, 0x41, Array<number>(40).fill(1)),
  "60,000 bytes of TLV": v2(0x21, 0x11, [...normal, ...tlv(5, ...Array<number>(60_000).fill(120))]),
};

/** The same headers under every policy: each on a connection of its own. */
function policy(name: string, config: Json, stats: string): Case {
  return {
    name,
    listener: filter({ ...config, stat_prefix: stats }),
    virtualHost,
    manager: quick,
    routes: [says("hello", { prefix: "/" })],
    blur,
    exchanges: [
      ...Object.values(headers).map((header) => rawUntilClosed(header + last)),
      {
        kind: "own",
        run: async (side) => {
          const page = await side.admin(`/stats?filter=proxy_proto.${stats}`);
          return page.split("\n").toSorted().join("\n");
        },
      },
    ],
    logs: 0,
    statsExcept: {
      downstream_rq_response_before_rq_complete: "what is no HTTP/1 at all is counted otherwise",
      downstream_rq_rx_reset: "as above",
    },
  };
}

/** A header in two pieces, one that never ends, one that is given up. */
const inPieces: readonly (readonly Step[])[] = [
  ["PROXY TCP4 1.2.3", { waitMs: 50 }, ".4 5.6.7.8 11 22\r", { waitMs: 50 }, `\n${last}`],
  [v2(0x21, 0x11, normal).slice(0, 14), { waitMs: 50 }, v2(0x21, 0x11, normal).slice(14) + last],
  ["PROXY TCP4 1.2.3", { waitMs: 600 }],
  // oxlint-disable-next-line no-thenable -- a step of the harness, never awaited
  ["PROXY TCP4 1.2.3", { act: "end" }],
];

const upstream = (config: Json | undefined, more: Json = {}): Json => ({
  $backends: ["a"],
  transport_socket: {
    name: "envoy.transport_sockets.upstream_proxy_protocol",
    typed_config: {
      "@type": `${type}.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport`,
      ...(config === undefined ? {} : { config }),
      transport_socket: {
        name: "raw",
        typed_config: { "@type": `${type}.transport_sockets.raw_buffer.v3.RawBuffer` },
      },
    },
  },
  ...more,
});

/** The listener has no PROXY protocol: the header names the connection itself. */
const fromHere: Case[] = [
  { name: "upstream, version 1", clusters: { "": upstream({ version: "V1" }) }, exchanges: [get("/")] },
  {
    name: "upstream, version 1 by default",
    clusters: { "": upstream(undefined) },
    exchanges: [get("/", { "x-forwarded-for": "9.9.9.9" })],
  },
  { name: "upstream, version 2", clusters: { "": upstream({ version: "V2" }) }, exchanges: [get("/")] },
].map((one) => ({
  ...one,
  listener: {},
  blur: [
    [/(?<=PROXY TCP4 127.0.0.1 127.0.0.1 )\d+ \d+/g, "P P"] as const,
    [new RegExp(`(?<=${latin1(Uint8Array.of(127, 0, 0, 1, 127, 0, 0, 1))})[^]{4}`, "g"), "PPPP"] as const,
  ],
}));

const tlvs = encodeProxyV2({ kind: "ip", address: "1.2.3.4", port: 1 }, { kind: "ip", address: "5.6.7.8", port: 2 }, [
  { type: 5, value: Buffer.from("five") },
  { type: 6, value: Buffer.from("six") },
]);
const passing = (listener: Json | undefined, cluster: Json | undefined): Case => ({
  name: `TLVs from ${JSON.stringify(listener)} to ${JSON.stringify(cluster)}`,
  listener: filter(listener === undefined ? {} : { pass_through_tlvs: listener }),
  clusters: { "": upstream({ version: "V2", ...(cluster === undefined ? {} : { pass_through_tlvs: cluster }) }) },
  exchanges: [{ kind: "raw", steps: [latin1(tlvs ?? new Uint8Array()) + requestText("GET", "/")] }],
  blur,
});

describeBesideEnvoy("PROXY protocol, beside a real Envoy", {
  concurrency: 4,
  cases: [
    policy("a header is needed", {}, "needed"),
    policy("a connection may come without", { allow_requests_without_proxy_protocol: true }, "lenient"),
    policy("version 1 is disallowed", { disallowed_versions: ["V1"] }, "nov1"),
    policy("version 2 is disallowed", { disallowed_versions: ["V2"] }, "nov2"),
    policy(
      "version 1 is disallowed, a connection may come without",
      { disallowed_versions: ["V1"], allow_requests_without_proxy_protocol: true },
      "otherwise",
    ),
    {
      name: "headers in pieces",
      listener: filter({ stat_prefix: "pieces" }),
      virtualHost,
      manager: quick,
      routes: [says("hello", { prefix: "/" })],
      blur,
      logs: 0,
      exchanges: inPieces.map((steps) => rawUntilClosed(...steps)),
    },
    ...fromHere,
    passing(undefined, { match_type: "INCLUDE_ALL" }),
    passing({ match_type: "INCLUDE_ALL" }, { match_type: "INCLUDE_ALL" }),
    passing({ match_type: "INCLUDE_ALL" }, undefined),
    passing({ match_type: "INCLUDE", tlv_type: [5] }, { match_type: "INCLUDE_ALL" }),
    passing({ match_type: "INCLUDE_ALL" }, { match_type: "INCLUDE", tlv_type: [6] }),
  ],
});
