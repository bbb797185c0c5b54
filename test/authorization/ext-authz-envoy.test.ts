/** The same settings, requests and verdicts of a service, for a real Envoy and for ours. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bootstrapOf, http2Options, httpListener, staticCluster } from "#proxy/testing/bootstraps.ts";
import type { CheckRequest } from "#protos/gen/envoy/service/auth/v3/external_auth_pb.js";
import { messageToJson } from "#protos/json.ts";
import { needEnvoy } from "../needs.ts";
import {
  comparable,
  echo,
  exchange,
  type Json,
  type Running,
  serve,
  startOurs,
  startTheirs,
  type TestServer,
} from "./beside-envoy.ts";
import { serveAuthorization, type GrpcVerdict } from "./grpc-authorization-server.ts";

const envoy = needEnvoy();
if (envoy.missing !== undefined) process.stderr.write(`tests beside a real Envoy are skipped: ${envoy.missing}\n`);

const names = (...patterns: readonly Json[]): Json => ({ patterns });
const tellVerdict = { allowed_headers: names({ exact: "x-verdict" }, { prefix: "x-told" }) };
const httpService = (more: Json = {}): Json => ({
  http_service: { server_uri: { uri: "http://authz.example", cluster: "authz", timeout: "0.5s" }, ...more },
  ...tellVerdict,
});
const grpcService = (more: Json = {}): Json => ({
  grpc_service: { envoy_grpc: { cluster_name: "authz-grpc", authority: "authz.example" }, timeout: "0.5s" },
  transport_api_version: "V3",
  ...more,
});
const wrong = (cluster: string): Json => ({
  http_service: { server_uri: { uri: "http://a", cluster, timeout: "0.5s" } },
});

/** One listener each. */
const FILTERS: Readonly<Record<string, Json>> = {
  http: httpService(),
  httpAll: {
    ...httpService({
      path_prefix: "/check",
      authorization_request: { headers_to_add: [{ key: "X-Added", value: "1" }] },
      authorization_response: {
        allowed_upstream_headers: names({ exact: "x-user" }, { exact: "x-set" }),
        allowed_upstream_headers_to_append: names({ exact: "x-append" }),
        allowed_client_headers: names({ exact: "x-why" }),
        allowed_client_headers_on_success: names({ exact: "x-down" }),
        dynamic_metadata_from_headers: names({ exact: "x-user" }),
      },
    }),
    disallowed_headers: names({ exact: "x-told-not" }),
    stat_prefix: "mine",
  },
  httpBody: { ...httpService(), with_request_body: { max_request_bytes: 8, allow_partial_message: true } },
  httpWholeBody: { ...httpService(), with_request_body: { max_request_bytes: 8 } },
  httpOverride: httpService({ path_override: "/always" }),
  open: { ...httpService(), failure_mode_allow: true, failure_mode_allow_header_add: true },
  status: { ...httpService(), status_on_error: { code: 503 } },
  noHost: wrong("none-there"),
  disabled: { ...httpService(), filter_enabled: { default_value: { numerator: 0 } } },
  denyDisabled: {
    ...httpService(),
    filter_enabled: { default_value: { numerator: 0 } },
    deny_at_disable: { runtime_key: "x", default_value: true },
  },
  byMetadata: {
    ...httpService(),
    filter_enabled_metadata: {
      filter: "envoy.filters.http.rbac",
      path: [{ key: "istio_ext_authz_shadow_effective_policy_id" }],
      value: { string_match: { prefix: "istio-ext-authz-p" } },
    },
  },
  maxDenied: { ...httpService(), max_denied_response_body_bytes: 3 },
  perRoute: { ...grpcService(), with_request_body: { max_request_bytes: 8 } },
  grpc: grpcService(),
  grpcAll: grpcService({
    clear_route_cache: true,
    with_request_body: { max_request_bytes: 8, allow_partial_message: true, pack_as_bytes: true },
    metadata_context_namespaces: ["envoy.filters.http.rbac"],
    route_metadata_context_namespaces: ["of.route"],
    include_tls_session: true,
    include_peer_certificate: true,
    disallowed_headers: names({ prefix: "x-told-not" }),
  }),
  grpcRaw: grpcService({ encode_raw_headers: true }),
  grpcNoMetadata: grpcService({ enable_dynamic_metadata_ingestion: false }),
  validated: grpcService({ validate_mutations: true }),
};

const shadow = {
  name: "envoy.filters.http.rbac",
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
    shadow_rules: {
      action: "DENY",
      policies: {
        "istio-ext-authz-p-ns[a]": {
          permissions: [{ url_path: { path: { prefix: "/private" } } }],
          principals: [{ any: true }],
        },
      },
    },
    shadow_rules_stat_prefix: "istio_ext_authz_",
  },
};

interface Case {
  readonly listener: string;
  readonly verdict?: string;
  readonly path?: string;
  readonly headers?: string;
  readonly body?: string;
  readonly method?: string;
}

const CASES: readonly Case[] = [
  ...["ok", "deny", "teapot", "found", "500", "hang", "remove"].flatMap((verdict) => [
    { listener: "http", verdict },
    { listener: "httpAll", verdict, headers: "x-append: 0\r\nx-set: 0\r\nx-user: spoof\r\n" },
  ]),
  { listener: "httpAll", verdict: "ok", headers: "x-told-a: 1\r\nx-told-not: 2\r\nauthorization: a\r\ncookie: c\r\n" },
  { listener: "httpAll", verdict: "ok", path: "/a/b?c=d" },
  ...["", "short", "exactly8", "longer than eight"].flatMap((body) => [
    { listener: "httpBody", verdict: "ok", body, method: "POST" },
    { listener: "httpWholeBody", verdict: "ok", body, method: "POST" },
    { listener: "grpcAll", verdict: "ok", body, method: "POST" },
  ]),
  { listener: "httpOverride", verdict: "ok" },
  ...["ok", "deny", "500", "hang"].flatMap((verdict) => [
    { listener: "open", verdict },
    { listener: "status", verdict },
  ]),
  { listener: "disabled", verdict: "deny" },
  { listener: "denyDisabled", verdict: "ok" },
  { listener: "byMetadata", verdict: "deny", path: "/private/x" },
  { listener: "byMetadata", verdict: "deny", path: "/public" },
  { listener: "maxDenied", verdict: "deny" },
  { listener: "http", verdict: "deny", method: "HEAD" },
  { listener: "http", verdict: "deny", method: "POST", headers: "content-type: application/grpc\r\n" },
  ...["/off", "/settings", "/nobody", "/rest"].map((path) => ({
    listener: "perRoute",
    verdict: "deny",
    path,
    method: "POST",
    body: "x",
  })),
  ...[
    "ok",
    "plain",
    "deny",
    "plain-deny",
    "error",
    "hang",
    "metadata",
    "metadata-deny",
    "query",
    "actions",
    "remove",
    "path",
  ].flatMap((verdict) => [
    {
      listener: "grpc",
      verdict,
      path: "/a?q=1&r=2",
      headers: "x-there: 0\r\nx-there: 1\r\nx-there-2: 0\r\nx-gone: 1\r\n",
    },
    { listener: "grpcAll", verdict, path: "/private?q=1", headers: "x-there: 0\r\nx-told-not-1: a\r\n" },
  ]),
  { listener: "grpcRaw", verdict: "ok", headers: "x-raw: a\xff\r\nx-raw: b\r\n" },
  { listener: "grpc", verdict: "ok", headers: "x-raw: \xc3\xa9\r\n" },
  { listener: "grpcNoMetadata", verdict: "metadata" },
  { listener: "validated", verdict: "bad-value" },
  { listener: "validated", verdict: "bad-name" },
  { listener: "validated", verdict: "bad-deny" },
];

function httpVerdict(request: IncomingMessage, response: ServerResponse): void {
  const verdict = request.headers["x-verdict"];
  response.setHeader("x-user", "someone");
  response.setHeader("x-why", "because");
  response.setHeader("x-down", ["1", "2"]);
  response.setHeader("x-append", "3");
  response.setHeader("x-set", "4");
  response.setHeader("set-cookie", ["a=1", "b=2"]);
  switch (String(verdict)) {
    case "deny":
      response.writeHead(401, { "www-authenticate": "x", "content-type": "text/html" }).end("go away");
      return;
    case "teapot":
      response.writeHead(418).end();
      return;
    case "found":
      response.writeHead(302, { location: "http://login" }).end();
      return;
    case "500":
      response.writeHead(500).end("oops");
      return;
    case "hang":
      return;
    case "remove":
      response.setHeader("x-envoy-auth-headers-to-remove", "x-case-2, x-verdict");
  }
  response.writeHead(200).end();
}

const text = (key: string, value: string, more: object = {}): object => ({ header: { key, value }, ...more });
const denied = (value: object): GrpcVerdict =>
  ({ status: { code: 7 }, httpResponse: { case: "deniedResponse", value } }) as GrpcVerdict;
const allowed = (value: object): GrpcVerdict => ({ httpResponse: { case: "okResponse", value } }) as GrpcVerdict;

function grpcVerdict(request: CheckRequest): GrpcVerdict {
  const http = request.attributes?.request?.http;
  const raw = http?.headerMap?.headers.find(({ key }) => key === "x-verdict")?.rawValue;
  const verdict = raw === undefined ? http?.headers["x-verdict"] : Buffer.from(raw).toString();
  switch (verdict) {
    case "error":
    case "hang":
      return verdict;
    case "plain":
      return {};
    case "deny":
      return denied({
        status: { code: 402 },
        headers: [
          text("set-cookie", "a=1"),
          text("set-cookie", "b=2"),
          text("X-Why", "é"),
          text("content-type", "a/b"),
        ],
        body: "pay é",
      });
    case "plain-deny":
      return { status: { code: 16 } };
    case "metadata":
      return { ...(allowed({}) as object), dynamicMetadata: { a: 1, b: { c: "é" } } };
    case "metadata-deny":
      return { ...(denied({}) as object), dynamicMetadata: { a: 1 } };
    case "query":
      return allowed({
        queryParametersToSet: [
          { key: "q", value: "2" },
          { key: "n", value: "v" },
        ],
        queryParametersToRemove: ["r"],
      });
    case "actions":
      return allowed({
        headers: [
          text("x-there", "none"),
          text("x-new", "none"),
          text("x-there-2", "append", { append: true }),
          text("x-new-2", "append", { append: true }),
          text("x-new-3", "set", { append: false }),
          text("x-new-4", "a", { appendAction: 1 }),
          text("x-there", "b", { appendAction: 1 }),
          text("x-new-5", "c", { appendAction: 2 }),
          text("x-new-6", "d", { appendAction: 3 }),
        ],
        responseHeadersToAdd: [
          text("x-r", "1"),
          text("x-r", "2"),
          text("x-r-2", "a", { appendAction: 2 }),
          text("x-r-3", "a", { appendAction: 1 }),
          text("x-r-4", "a", { appendAction: 3 }),
        ],
      });
    case "remove":
      return allowed({ headersToRemove: ["X-Gone", ":path", "host", "x-there"] });
    case "path":
      return allowed({
        headers: [text(":path", "/other", { appendAction: 2 }), text(":authority", "b", { append: false })],
      });
    case "bad-value":
      return allowed({ headers: [text("x-bad", "a\r\nb: c")] });
    case "bad-name":
      return allowed({ headers: [text("x bad", "a")] });
    case "bad-deny":
      return denied({ headers: [text("x-bad", "a\nb")] });
    default:
      return allowed({ headers: [text("x-user", "é")], responseHeadersToAdd: [text("x-down", "1")] });
  }
}

const FORMAT =
  "%REQ(X-CASE)%|%RESPONSE_CODE%|%RESPONSE_CODE_DETAILS%|%RESPONSE_FLAGS%|%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%\n";

const TYPE = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.";
const perRoute = (prefix: string, fields: Json): Json => ({
  match: { prefix },
  route: { cluster: "up" },
  typed_per_filter_config: { "envoy.filters.http.ext_authz": { "@type": `${TYPE}ExtAuthzPerRoute`, ...fields } },
});

/** For connections; each echoes what it is sent, unless it is refused. */
const NETWORK_FILTERS: Readonly<Record<string, Json>> = {
  tcpOk: grpcService({ metadata_context_namespaces: ["envoy.filters.network.rbac"], include_tls_session: true }),
  tcpDeny: grpcService(),
  tcpError: grpcService(),
  tcpHang: grpcService(),
  tcpOpen: grpcService({ failure_mode_allow: true }),
  tcpByMetadata: grpcService({
    filter_enabled_metadata: {
      filter: "envoy.filters.network.rbac",
      path: [{ key: "istio_ext_authz_shadow_effective_policy_id" }],
      value: { string_match: { prefix: "istio-ext-authz-other" } },
    },
  }),
};
/** In the order of the listeners, and of the connections. */
const TCP_VERDICTS: readonly GrpcVerdict[] = [
  { dynamicMetadata: { a: 1 } } as GrpcVerdict,
  { status: { code: 7 } },
  "error",
  "hang",
  "error",
];

const TCP_FORMAT =
  "%FILTER_CHAIN_NAME%|%RESPONSE_FLAGS%|%RESPONSE_CODE_DETAILS%|-|%DYNAMIC_METADATA(envoy.filters.network.ext_authz)%\n";

function tcpListener(name: string, fields: Json, log: string): Json {
  const type = "type.googleapis.com/envoy.extensions";
  const shadowRules = {
    action: "DENY",
    policies: { "istio-ext-authz-p": { permissions: [{ any: true }], principals: [{ any: true }] } },
  };
  return {
    name,
    address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
    access_log: [
      {
        name: "file",
        typed_config: {
          "@type": `${type}.access_loggers.file.v3.FileAccessLog`,
          path: log,
          log_format: { text_format_source: { inline_string: TCP_FORMAT } },
        },
      },
    ],
    filter_chains: [
      {
        name,
        filters: [
          {
            name: "envoy.filters.network.rbac",
            typed_config: {
              "@type": `${type}.filters.network.rbac.v3.RBAC`,
              stat_prefix: "tcp.",
              shadow_rules: shadowRules,
              shadow_rules_stat_prefix: "istio_ext_authz_",
            },
          },
          {
            name: "envoy.filters.network.ext_authz",
            typed_config: { "@type": `${type}.filters.network.ext_authz.v3.ExtAuthz`, stat_prefix: "tcp.", ...fields },
          },
          { name: "envoy.filters.network.echo", typed_config: { "@type": `${type}.filters.network.echo.v3.Echo` } },
        ],
      },
    ],
  };
}

function bootstrap(log: string, upstream: number, http: number, grpc: number): unknown {
  const route = {
    match: { prefix: "/" },
    route: { cluster: "up" },
    metadata: { filter_metadata: { "of.route": { a: 1 } } },
  };
  const listeners = Object.entries(FILTERS).map(([name, fields]) =>
    httpListener(name, {
      routes:
        name === "perRoute"
          ? [
              perRoute("/off", { disabled: true }),
              perRoute("/settings", { check_settings: { context_extensions: { a: "route", b: "route" } } }),
              perRoute("/nobody", { check_settings: { disable_request_body_buffering: true } }),
              route,
            ]
          : [route],
      accessLogPath: log,
      accessLogFormat: FORMAT,
      httpFilters: [
        shadow,
        { name: "envoy.filters.http.ext_authz", typed_config: { "@type": `${TYPE}ExtAuthz`, ...fields } },
      ],
    }),
  );
  const tcp = Object.entries(NETWORK_FILTERS).map(([name, fields]) => tcpListener(name, fields, log));
  return bootstrapOf({
    listeners: [...listeners, ...tcp],
    clusters: [
      staticCluster("up", `127.0.0.1:${upstream}`),
      staticCluster("authz", `127.0.0.1:${http}`),
      { ...staticCluster("authz-grpc", `127.0.0.1:${grpc}`), typed_extension_protocol_options: http2Options() },
      staticCluster("none-there"),
    ],
  });
}

/** What a service was asked, without what is of the run. */
const OF_THE_RUN = /"(?:x-request-id|id|time|address|portValue|x-envoy-expected-rq-timeout-ms)":/;

async function seenBy(proxy: Running, asked: unknown[]): Promise<Readonly<Record<string, unknown>>> {
  const seen: Record<string, unknown> = {};
  for (const [index, { listener, verdict = "", headers = "", path = "/x", method = "GET", body }] of CASES.entries()) {
    asked.length = 0;
    const length = body === undefined ? "" : `content-length: ${body.length}\r\n`;
    const head = `${method} ${path} HTTP/1.1\r\nhost: h.example\r\nx-case: ${index}\r\nx-verdict: ${verdict}\r\n${length}${headers}connection: close\r\n\r\n`;
    // One after the other, so that each question has its request.
    // oxlint-disable-next-line no-await-in-loop
    const answer = await exchange(proxy.ports.get(listener) ?? 0, head + (body ?? ""));
    const { status, headers: fields, body: said } = comparable(answer);
    seen[`${index} ${listener} ${verdict} ${method} ${path} ${body ?? ""}`] = {
      status,
      fields,
      said,
      asked: [...asked],
    };
  }
  for (const name of Object.keys(NETWORK_FILTERS)) {
    asked.length = 0;
    // oxlint-disable-next-line no-await-in-loop
    seen[name] = [await echoed(proxy.ports.get(name) ?? 0), [...asked]];
  }
  for (const line of await proxy.logged(CASES.length + Object.keys(NETWORK_FILTERS).length)) {
    const [index = "", ...rest] = line.split("|");
    const metadata = rest
      .slice(3)
      .join("|")
      .replace(/,?"ext_authz_duration":\d+/, "");
    seen[`log ${index}`] = [
      ...rest.slice(0, 3),
      metadata === "-" ? undefined : JSON.parse(metadata.replace("{,", "{")),
    ];
  }
  const counts = (await proxy.page("/stats")).filter((line) => /ext_authz\..*: [1-9]/.test(line));
  return { ...seen, counts: counts.toSorted() };
}

/** What a connection of its own gives back; nothing where it is closed before. */
function echoed(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("hello"));
    let answer = "";
    socket.on("data", (chunk: Buffer) => {
      answer += chunk.toString();
      socket.destroy();
    });
    socket.on("close", () => resolve(answer));
    socket.on("error", reject);
  });
}

/** Sorted fields, without what is of the run. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((item) => (item as Json)["key"] !== "x-request-id").map(plain);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([name]) => !OF_THE_RUN.test(`"${name}":`));
  return Object.fromEntries(kept.map(([name, inner]) => [name, plain(inner)]));
}

describe.skipIf(envoy.missing !== undefined)("envoy.filters.http.ext_authz beside a real Envoy", () => {
  const servers: TestServer[] = [];
  let theirs: Readonly<Record<string, unknown>> = {};
  let ours: Readonly<Record<string, unknown>> = {};

  async function run(start: typeof startOurs): Promise<Readonly<Record<string, unknown>>> {
    const asked: unknown[] = [];
    const upstream = await serve(echo);
    const http = await serve((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { "x-envoy-internal": _internal, "x-forwarded-for": _for, ...fields } = request.headers;
        asked.push(plain({ method: request.method, url: request.url, fields, body: Buffer.concat(chunks).toString() }));
        httpVerdict(request, response);
      });
    });
    let connections = 0;
    const grpc = await serveAuthorization((request) => {
      asked.push(plain(messageToJson(request)));
      if (request.attributes?.request?.http === undefined) return TCP_VERDICTS[connections++] ?? "error";
      return grpcVerdict(request);
    });
    servers.push(upstream, http, grpc);
    const proxy = await start((log) => bootstrap(log, upstream.port, http.port, grpc.port));
    try {
      return await seenBy(proxy, asked);
    } finally {
      proxy.stop();
    }
  }

  beforeAll(async () => {
    [theirs, ours] = await Promise.all([run(startTheirs), run(startOurs)]);
  }, 120_000);

  afterAll(() => {
    for (const server of servers) server.close();
  });

  test("the same questions, answers, forwarded requests, details, metadata and counts", () => {
    expect(Object.keys(theirs).length).toBe(2 * (CASES.length + Object.keys(NETWORK_FILTERS).length) + 1);
    expect(ours).toEqual(theirs);
  });
});
