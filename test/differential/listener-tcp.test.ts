/** The TCP proxy beside a real Envoy: plain, and in a tunnel over HTTP/1.1 and HTTP/2. */
import { afterAll } from "vitest";
import { caseId, withId } from "./harness/bootstrap.ts";
import type { Case, Exchange, Json } from "./harness/case.ts";
import { upstreamOptions } from "./harness/requests.ts";
import { describeBesideEnvoy } from "./harness/run.ts";
import { at, startEchoes, talk } from "./tunnel-talk.ts";

const type = "type.googleapis.com/envoy.extensions";
const echoes = await startEchoes();
const { tcpPort, http2Port } = echoes;
afterAll(() => echoes.close());

/** A listener `{id}` with a TCP proxy; the cluster `{id}` is the case's. */
interface TcpCase {
  readonly name: string;
  readonly proxy: Json;
  readonly cluster?: Json;
  readonly more?: readonly Json[];
  readonly answers?: Case["answers"];
  readonly exchanges: readonly Exchange[];
  readonly stats?: boolean;
}

const tunnel = (more: Json = {}): Json => ({ tunneling_config: { hostname: "{id}.test:80", ...more } });
const overHttp2 = upstreamOptions();
const accepts = ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nin"];
const inner = "GET / HTTP/1.1\r\nhost: {id}.test\r\n\r\n";
const header = (key: string, value: string, more: Json = {}): Json => ({ header: { key, value }, ...more });

const cases: readonly TcpCase[] = [
  { name: "R-121: plain", proxy: {}, exchanges: [talk("one", "two", "bye"), talk("one", "(end)")] },
  { name: "R-121: nobody is there", proxy: {}, cluster: at(1), exchanges: [talk("one")] },
  {
    name: "R-121: attempts",
    proxy: { max_connect_attempts: 3, backoff_options: { base_interval: "0.01s" } },
    cluster: at(1),
    exchanges: [talk("one")],
  },
  { name: "R-121: no such cluster", proxy: { cluster: "nobody" }, exchanges: [talk("one")] },
  {
    name: "R-121: weighted clusters",
    proxy: { cluster: undefined, weighted_clusters: { clusters: [{ name: "{id}", weight: 100 }] } },
    exchanges: [talk("one")],
  },
  { name: "R-121: idle", proxy: { idle_timeout: "0.2s" }, exchanges: [talk("one", "")] },
  {
    name: "R-121: so long and no longer",
    proxy: { max_downstream_connection_duration: "0.2s" },
    exchanges: [talk("one", "")],
  },
  { name: "R-121: data before the connection", proxy: { max_early_data_bytes: 1024 }, exchanges: [talk("one", "two")] },
  { name: "R-122: a tunnel over HTTP/1.1", proxy: tunnel(), answers: accepts, exchanges: [talk(inner)] },
  {
    name: "R-122: the answer may be any 2xx over HTTP/1.1",
    proxy: tunnel(),
    answers: ["HTTP/1.1 204 OK\r\n\r\n", accepts[1] ?? ""],
    exchanges: [talk(inner)],
  },
  {
    name: "R-122: a tunnel that is refused",
    proxy: tunnel(),
    answers: "HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n",
    exchanges: [talk(inner)],
  },
  {
    name: "R-122: and tried again",
    proxy: { ...tunnel(), max_connect_attempts: 2 },
    answers: ["HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", ...accepts],
    exchanges: [talk(inner)],
  },
  {
    name: "R-122: headers",
    proxy: tunnel({
      headers_to_add: [
        header("x-a", "1"),
        header("x-sni", "[%REQUESTED_SERVER_NAME%]"),
        header("x-from", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
        header("x-a", "2"),
        header("x-b", "3", { append_action: "OVERWRITE_IF_EXISTS_OR_ADD" }),
      ],
    }),
    answers: accepts,
    exchanges: [talk(inner)],
  },
  {
    name: "R-122: a host that is told by the connection",
    proxy: tunnel({ hostname: "{id}-%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%:1" }),
    answers: accepts,
    exchanges: [talk(inner)],
  },
  {
    // One that ends at once crashes Envoy 1.40.
    name: "R-122: POST over HTTP/1.1",
    proxy: tunnel({ use_post: true }),
    answers: { steps: ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"], at: "head" },
    exchanges: [talk("one")],
  },
  {
    name: "R-122: POST to a path",
    proxy: tunnel({ use_post: true, post_path: "/p" }),
    cluster: at(http2Port, overHttp2),
    exchanges: [talk("one", "two", "(end)")],
  },
  {
    name: "R-122: a tunnel over HTTP/2",
    proxy: tunnel(),
    cluster: at(http2Port, overHttp2),
    exchanges: [talk("one", "two", "(end)"), talk("three")],
  },
  {
    name: "R-122: a tunnel over HTTP/2 that is refused",
    proxy: tunnel({ headers_to_add: [header("x-refuse", "1")] }),
    cluster: at(http2Port, overHttp2),
    exchanges: [talk("one")],
  },
  {
    name: "R-122: the response's headers",
    proxy: tunnel({ propagate_response_headers: true }),
    cluster: at(http2Port, overHttp2),
    exchanges: [talk("one")],
  },
];

const logged =
  "flags=%RESPONSE_FLAGS% details=%CONNECTION_TERMINATION_DETAILS% received=%BYTES_RECEIVED% sent=%BYTES_SENT% cluster=%UPSTREAM_CLUSTER%" +
  " failure=%UPSTREAM_TRANSPORT_FAILURE_REASON% attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT%";

function listenerJson(one: TcpCase, id: string): Json {
  const config = withId(
    {
      "@type": `${type}.filters.network.tcp_proxy.v3.TcpProxy`,
      stat_prefix: "{id}",
      ...("cluster" in one.proxy ? {} : { cluster: "{id}" }),
      access_log: [
        {
          name: "file",
          typed_config: {
            "@type": `${type}.access_loggers.file.v3.FileAccessLog`,
            path: "{log}",
            log_format: { text_format_source: { inline_string: `{id} ${logged}\n` } },
          },
        },
      ],
      ...one.proxy,
    },
    id,
  );
  return {
    name: id,
    address: { socket_address: { address: "127.0.0.1", port_value: "port:any" } },
    filter_chains: [{ filters: [{ name: "tcp", typed_config: config }] }],
  };
}

describeBesideEnvoy("the TCP proxy, beside a real Envoy", {
  listeners: cases.map((one, index) => listenerJson(one, caseId(index))),
  cases: cases.map((one) => ({
    name: one.name,
    clusters: { "": one.cluster ?? (one.answers === undefined ? at(tcpPort) : { $backends: ["a"] }) },
    ...(one.answers === undefined ? {} : { answers: one.answers }),
    exchanges: [
      ...one.exchanges,
      {
        kind: "own",
        run: async (side, id) => {
          await side.logs(id, one.exchanges.length);
          return side.admin(
            `/stats?usedonly&filter=tcp.${id}.(downstream_cx_total|downstream_cx_no_route|idle|max|.*bytes_total)`,
          );
        },
      },
    ],
    logs: one.exchanges.length,
    // In which order two flags are printed; and whether what a client sent in vain is answered by an end or by a reset.
    blur: [
      [/URX,UF/g, "UF,URX"],
      [/^\(end of stream\)$/g, ""],
    ],
    statsExcept: {
      "http2.nghttp2_upstream_connections": "the name of a library of Envoy's",
      "http2.rx_reset": "how a request ends whose answer came first is compared elsewhere",
      upstream_rq_tx_reset: "as above",
      upstream_cx_protocol_error: "a backend that answers what is left of a tunnel is heard by one of the two",
    },
  })),
});
