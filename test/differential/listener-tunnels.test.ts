/** CONNECT and upgrades beside a real Envoy: over HTTP/1.1 and HTTP/2, carried on and ended here. */
import { afterAll } from "vitest";
import type { Case, Json } from "./harness/case.ts";
import { cluster, forward, requestText, router, upstreamOptions } from "./harness/requests.ts";
import { describeBesideEnvoy } from "./harness/run.ts";
import { at, startEchoes, talk, talk2 } from "./tunnel-talk.ts";

const type = "type.googleapis.com/envoy.extensions";

const echoes = await startEchoes();
const { tcpPort, http2Port } = echoes;
afterAll(() => echoes.close());

const connectRoute = (action: Json = {}): Json => ({
  match: { connect_matcher: {} },
  route: { cluster: "{id}", upgrade_configs: [{ upgrade_type: "CONNECT", ...action }] },
});
const quiet: Json = { access_log: [], http_filters: [router] };
const manager: Json = { ...quiet, http2_protocol_options: { allow_connect: true } };
const websocket: Json = { ...manager, upgrade_configs: [{ upgrade_type: "websocket" }] };
const base = {
  logs: 0,
  virtualHosts: [{ name: "{id}", domains: ["*"], routes: [connectRoute({ connect_config: {} }), forward()] }],
} as const;
const routed = (...routes: readonly Json[]) => [{ name: "{id}", domains: ["*"], routes }];
const upgradeText = requestText("GET", "/chat", {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-key": "k",
});
const upgrade2 = {
  ":method": "CONNECT",
  ":protocol": "websocket",
  ":scheme": "http",
  ":path": "/chat",
  "sec-websocket-version": "13",
};
const connectText = "CONNECT {id}.test:80 HTTP/1.1\r\nhost: {id}.test:80\r\nx-case: {id}\r\n\r\n";
const switching = {
  steps: ["HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"],
  at: "head" as const,
};
const overHttp2 = upstreamOptions();

const cases: readonly Case[] = [
  {
    ...base,
    name: "R-105: CONNECT over HTTP/1.1 ends here",
    manager,
    clusters: { "": at(tcpPort) },
    exchanges: [talk(connectText, "one", "two", "bye")],
  },
  {
    ...base,
    name: "R-105: what comes with the CONNECT goes on when the connection stands",
    manager,
    clusters: { "": at(tcpPort) },
    exchanges: [talk(`${connectText}early`, "late")],
  },
  {
    ...base,
    name: "R-105: CONNECT over HTTP/2 ends here",
    manager,
    clusters: { "": at(tcpPort) },
    exchanges: [talk2({ ":method": "CONNECT" }, "one", "two", "(end)"), talk2({ ":method": "CONNECT" }, "bye")],
  },
  {
    ...base,
    name: "R-105: a PROXY header before the tunnel",
    manager,
    virtualHosts: routed(connectRoute({ connect_config: { proxy_protocol_config: { version: "V1" } } })),
    clusters: { "": at(tcpPort) },
    exchanges: [talk(connectText, "one")],
    blur: [[/(?<=127\.0\.0\.1 127\.0\.0\.1 )\d+ \S+/g, "P P"]],
  },
  {
    ...base,
    name: "R-105: a cluster that nobody is at",
    manager,
    clusters: { "": cluster("none") },
    exchanges: [talk(connectText), talk2({ ":method": "CONNECT" })],
  },
  {
    ...base,
    name: "R-105: POST as a tunnel",
    manager,
    virtualHosts: routed({
      match: { prefix: "/" },
      route: { cluster: "{id}", upgrade_configs: [{ upgrade_type: "CONNECT", connect_config: { allow_post: true } }] },
    }),
    clusters: { "": at(tcpPort) },
    exchanges: [
      talk(
        "POST /t HTTP/1.1\r\nhost: {id}.test\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n",
        "3\r\ntwo\r\n",
        "0\r\n\r\n",
      ),
      talk2({ ":method": "POST", ":scheme": "http", ":path": "/t" }, "one", "(end)"),
    ],
  },
  {
    ...base,
    name: "R-103: CONNECT that nobody allows",
    manager,
    virtualHosts: routed({ match: { connect_matcher: {} }, route: { cluster: "{id}" } }, forward()),
    exchanges: [talk(connectText), talk2({ ":method": "CONNECT" })],
  },
  {
    ...base,
    name: "R-103: CONNECT that the route disables",
    manager: { ...manager, upgrade_configs: [{ upgrade_type: "CONNECT" }] },
    virtualHosts: routed(connectRoute({ enabled: false })),
    exchanges: [talk(connectText), talk2({ ":method": "CONNECT" })],
  },
  {
    ...base,
    name: "R-14: CONNECT without a connect_matcher finds no route",
    manager: { ...manager, upgrade_configs: [{ upgrade_type: "CONNECT" }] },
    virtualHosts: routed(forward()),
    exchanges: [talk(connectText), talk2({ ":method": "CONNECT" })],
  },
  {
    ...base,
    name: "R-105: CONNECT is carried on over HTTP/1.1",
    manager: { ...manager, upgrade_configs: [{ upgrade_type: "CONNECT" }] },
    virtualHosts: routed(connectRoute()),
    answers: ["HTTP/1.1 200 OK\r\nx-proxy: yes\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nin"],
    exchanges: [talk(connectText, requestText("GET", "/in"))],
  },
  {
    ...base,
    name: "R-105: CONNECT that the upstream refuses",
    manager: { ...manager, upgrade_configs: [{ upgrade_type: "CONNECT" }] },
    virtualHosts: routed(connectRoute()),
    answers: "HTTP/1.1 407 No\r\nproxy-authenticate: basic\r\ncontent-length: 2\r\n\r\nno",
    exchanges: [talk(connectText), talk(`${connectText}early`), talk2({ ":method": "CONNECT" })],
  },
  {
    ...base,
    name: "R-105: CONNECT over HTTP/1.1 is carried on over HTTP/2",
    manager: { ...manager, upgrade_configs: [{ upgrade_type: "CONNECT" }] },
    virtualHosts: routed(connectRoute()),
    clusters: { "": at(http2Port, overHttp2) },
    exchanges: [talk(connectText, "one", "two"), talk2({ ":method": "CONNECT" }, "one", "(end)")],
  },
  {
    ...base,
    name: "R-104: a WebSocket over HTTP/1.1 both ways",
    manager: websocket,
    answers: switching,
    exchanges: [talk(upgradeText, "one", "two"), talk(`${upgradeText}early`, "late")],
  },
  {
    ...base,
    name: "R-104: a WebSocket over HTTP/2 to HTTP/1.1",
    manager: websocket,
    answers: switching,
    exchanges: [talk2(upgrade2, "one", "two")],
  },
  {
    ...base,
    name: "R-104: a WebSocket over HTTP/1.1 to HTTP/2",
    manager: websocket,
    clusters: { "": at(http2Port, overHttp2) },
    exchanges: [talk(upgradeText, "one", "two")],
  },
  {
    ...base,
    name: "R-104: a WebSocket over HTTP/2 both ways",
    manager: websocket,
    clusters: { "": at(http2Port, overHttp2) },
    exchanges: [talk2(upgrade2, "one", "(end)")],
  },
  {
    ...base,
    name: "R-104: a WebSocket that the upstream refuses",
    manager: websocket,
    answers: "HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno",
    exchanges: [talk(upgradeText), talk2(upgrade2)],
  },
  {
    ...base,
    name: "R-104: a WebSocket that an upstream over HTTP/2 refuses",
    manager: websocket,
    clusters: { "": at(http2Port, overHttp2) },
    exchanges: [
      talk(upgradeText.replace("\r\n\r\n", "\r\nx-refuse: 1\r\n\r\n")),
      talk2({ ...upgrade2, "x-refuse": "1" }),
    ],
  },
  {
    ...base,
    name: "R-103: an upgrade has filters of its own",
    manager: {
      ...websocket,
      upgrade_configs: [
        {
          upgrade_type: "WebSocket",
          filters: [
            {
              name: "fault",
              typed_config: {
                "@type": `${type}.filters.http.fault.v3.HTTPFault`,
                abort: { http_status: 418, percentage: { numerator: 100 } },
              },
            },
            router,
          ],
        },
      ],
    },
    answers: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    exchanges: [talk(upgradeText), talk(requestText("GET", "/plain"))],
  },
];

describeBesideEnvoy("tunnels, beside a real Envoy", {
  cases: cases.map((one) => ({
    listener: {},
    ...one,
    // The end of an HTTP/1.1 connection comes at once here, and with the delayed close there.
    blur: [
      [/\(end of stream\)$/g, ""] as const,
      // Where these two stand among the fields; that they are there is what makes the tunnel.
      [/(?<=\r\n)(connection: upgrade|upgrade: websocket)\r\n/gi, ""] as const,
      ...(one.blur ?? []),
    ],
    statsExcept: {
      downstream_rq_rx_reset: "how a request ends whose answer came first is compared elsewhere",
      downstream_rq_response_before_rq_complete: "as above",
      upstream_rq_tx_reset: "as above",
      "http2.rx_reset": "as above",
      "http2.nghttp2_upstream_connections": "the name of a library of Envoy's",
    },
  })),
});
