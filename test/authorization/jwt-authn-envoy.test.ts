/** The same providers, requirements and tokens, for a real Envoy and for ours: the same answers, headers, metadata, counts. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bootstrapOf, httpListener, staticCluster } from "#proxy/testing/bootstraps.ts";
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
import { base64url, jwk, keys, secretJwk, signature, token } from "./jwt-tokens.ts";

const envoy = needEnvoy();
if (envoy.missing !== undefined) process.stderr.write(`tests beside a real Envoy are skipped: ${envoy.missing}\n`);

const now = Math.floor(Date.now() / 1000);
const claims = { iss: "iss", aud: "aud", sub: "s", exp: now + 1000 };
const good = token(claims);
const otherIssuer = token({ iss: "q", sub: "q" });
const expired = token({ ...claims, exp: 1 });
const [goodHeader = "", goodPayload = "", goodSignature = ""] = good.split(".");

const inline = (set: readonly Json[]): Json => ({ inline_string: JSON.stringify({ keys: set }) });
const rsaOnly = inline([jwk("rsa", { kid: "r1" })]);
const provider = (more: Json = {}): Json => ({
  issuer: "iss",
  audiences: ["aud"],
  local_jwks: rsaOnly,
  failed_status_in_metadata: "fail",
  ...more,
});
const named = { provider_name: "p" };
const rules = (requires: Json): Json => ({ rules: [{ match: { prefix: "/" }, requires }] });
const one = (more: Json = {}): Json => ({ providers: { p: provider(more) }, ...rules(named) });
/** Which of several failures stays in the metadata is not compared. */
const quiet = { failed_status_in_metadata: "" };
const twoProviders = { p: provider(quiet), q: provider({ ...quiet, issuer: "q", audiences: [] }) };
const optional = (name: string): Json => ({
  requires_any: { requirements: [{ provider_name: name }, { allow_missing: {} }] },
});
const remote = (path: string, more: Json = {}): Json =>
  one({
    local_jwks: undefined,
    remote_jwks: { http_uri: { uri: `http://keys.example${path}`, cluster: "keys", timeout: "1s" }, ...more },
  });

/** One listener each. */
const FILTERS: Readonly<Record<string, Json>> = {
  plain: one(),
  keys: one({
    local_jwks: inline([
      jwk("rsa", { kid: "r1" }),
      jwk("p256", { alg: "ES256" }),
      jwk("p384"),
      jwk("p521"),
      secretJwk,
      jwk("ed25519"),
    ]),
  }),
  oneAlg: one({ local_jwks: inline([jwk("rsa", { alg: "RS512" })]) }),
  someBadKeys: one({ local_jwks: inline([{ kty: "xx" }, jwk("rsa", { n: "AQAB" }), jwk("rsa")]) }),
  remote: remote("/ok?x=1"),
  remoteBad: remote("/bad"),
  remoteError: remote("/error"),
  remoteRetried: remote("/error", {
    retry_policy: { num_retries: 2, retry_back_off: { base_interval: "0.01s", max_interval: "0.02s" } },
  }),
  subjects: one({ subjects: { prefix: "s" }, max_lifetime: "2000s" }),
  requireExpiration: one({ require_expiration: true }),
  skew: one({ clock_skew_seconds: 10 }),
  locations: one({
    from_headers: [{ name: "X-A", value_prefix: "Tok " }, { name: "x-b" }],
    from_params: ["tk", "t2"],
    from_cookies: ["ck"],
    claim_to_headers: [{ header_name: "x-sub", claim_name: "sub" }],
  }),
  missingOrOne: {
    providers: { p: provider({ from_headers: [{ name: "x-a" }], from_params: ["tk"] }) },
    ...rules(optional("p")),
  },
  forwarding: one({
    forward: true,
    forward_payload_header: "X-Payload",
    pad_forward_payload_header: true,
    payload_in_metadata: "payload",
    header_in_metadata: "header",
    normalize_payload_in_metadata: { space_delimited_claims: ["scope", "permission"] },
    claim_to_headers: ["sub", "a.b", "num", "neg", "f", "bool", "nul", "arr", "obj", "uni", "big", "empty", "huge"].map(
      (claim) => ({
        header_name: `x-c-${claim.replace(".", "-")}`,
        claim_name: claim,
      }),
    ),
  }),
  cache: one({ jwt_cache_config: { jwt_cache_size: 1 } }),
  stripped: { ...one(), strip_failure_response: true },
  cors: { ...one(), bypass_cors_preflight: true },
  prefixed: { ...one(), stat_prefix: "mine" },
  asIstio: {
    providers: twoProviders,
    ...rules({
      requires_any: {
        requirements: [
          named,
          { provider_name: "q" },
          { requires_all: { requirements: [optional("p"), optional("q")] } },
        ],
      },
    }),
  },
  all: {
    providers: {
      p: provider({ ...quiet, from_headers: [{ name: "x-a" }] }),
      q: provider({ ...quiet, issuer: "q", audiences: [], from_headers: [{ name: "x-b" }], payload_in_metadata: "pq" }),
    },
    ...rules({ requires_all: { requirements: [named, { provider_name: "q" }] } }),
  },
  otherAudience: {
    providers: { p: provider() },
    ...rules({ provider_and_audiences: { provider_name: "p", audiences: ["other"] } }),
  },
  missingOrFailed: { providers: { p: provider(quiet) }, ...rules({ allow_missing_or_failed: {} }) },
  missing: { providers: { p: provider(quiet) }, ...rules({ allow_missing: {} }) },
  byPath: {
    providers: { p: provider() },
    rules: [{ match: { prefix: "/need" }, requires: named }, { match: { prefix: "/none" } }],
  },
  perRoute: {
    providers: { p: provider() },
    requirement_map: { b: named, a: { allow_missing: {} } },
    rules: [{ match: { prefix: "/" }, requirement_name: "b" }],
  },
};

const perRoute = (fields: Json): Json => ({
  typed_per_filter_config: {
    "envoy.filters.http.jwt_authn": {
      "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
      ...fields,
    },
  },
});

const bearer = (text: string): string => `authorization: Bearer ${text}\r\n`;

interface Case {
  readonly listener: string;
  readonly name: string;
  readonly headers?: string;
  readonly path?: string;
  readonly method?: string;
}

/** Payloads and headers that say something odd; signed all the same. */
const ODD: Record<string, string> = {
  none: token(claims, { header: { alg: "none" } }),
  "no signature": `${goodHeader}.${goodPayload}.`,
  "two parts": "a.b",
  "four parts": "a.b.c.d",
  "bad header base64": `a!a.${goodPayload}.${goodSignature}`,
  "short header": "a.b.c",
  "bad header": `${base64url("xx")}.b.c`,
  "no alg": token(claims, { header: {} }),
  "alg is a number": token(claims, { header: { alg: 5 } }),
  "kid is a number": token(claims, { header: { alg: "RS256", kid: 5 } }),
  "bad payload base64": `${goodHeader}.!!.c`,
  "bad payload": `${goodHeader}.${base64url("zz")}.c`,
  "list as payload": token("[1]"),
  "number as payload": token("5"),
  "blank behind the payload": token('{"iss":"iss","aud":"aud"} '),
  "a name twice": token('{"iss":"a","iss":"iss","aud":"aud"}'),
  "a name twice, inside": token('{"iss":"iss","aud":"aud","x":[{"a":1,"a":2}]}'),
  "the same name at two places": token('{"iss":"iss","aud":"aud","x":{"aud":"a\\":b"},"y":[{"iss":1},{"iss":2}]}'),
  "iss is a number": token({ ...claims, iss: 5 }),
  "sub is a number": token({ ...claims, sub: 5 }),
  "iat is text": token({ ...claims, iat: "x" }),
  "iat has a fraction": token({ ...claims, iat: 1.5 }),
  "iat is negative": token({ ...claims, iat: -1 }),
  "nbf is text": token({ ...claims, nbf: "x" }),
  "nbf is negative": token({ ...claims, nbf: -1 }),
  "nbf is to come": token({ ...claims, nbf: now + 500 }),
  "nbf within the skew": token({ ...claims, nbf: now + 30 }),
  "exp is text": token({ ...claims, exp: "x" }),
  "exp is negative": token({ ...claims, exp: -1 }),
  "exp is huge": token({ ...claims, exp: 1e300 }),
  "exp is 0": token({ ...claims, exp: 0 }),
  "no exp": token({ ...claims, exp: undefined }),
  "exp is past": token({ ...claims, exp: now - 500 }),
  "exp within the skew": token({ ...claims, exp: now - 30 }),
  "exp is far": token({ ...claims, exp: now + 9000 }),
  "jti is a number": token({ ...claims, jti: 5 }),
  "aud is a number": token({ ...claims, aud: 5 }),
  "aud is a list": token({ ...claims, aud: ["x", "aud"] }),
  "aud is a list with a number": token({ ...claims, aud: ["aud", 5] }),
  "no aud": token({ ...claims, aud: undefined }),
  "other aud": token({ ...claims, aud: "no" }),
  "aud is a URL": token({ ...claims, aud: "https://aud/" }),
  "aud is an http URL": token({ ...claims, aud: "http://aud" }),
  "other sub": token({ ...claims, sub: "x" }),
  "no sub": token({ ...claims, sub: undefined }),
  "other sub, other aud": token({ ...claims, sub: "x", aud: "no" }),
  "other sub, past": token({ ...claims, sub: "x", exp: 1 }),
  "far, other aud": token({ ...claims, exp: now + 9000, aud: "no" }),
  "bad signature base64": `${goodHeader}.${goodPayload}.!!`,
  "other issuer": token({ ...claims, iss: "other" }),
  "no issuer": token({ ...claims, iss: undefined }),
  "other key": token(claims, { key: keys.other.privateKey }),
  "other kid": token(claims, { kid: "zz" }),
  "right kid": token(claims, { kid: "r1" }),
  "critical header": token(claims, { header: { alg: "RS256", crit: ["x"] } }),
  "padded header": `${goodHeader}==.${goodPayload}.${goodSignature}`,
  "standard base64": `${goodHeader}.${base64url({ ...claims, sub: "s?>?>?>???" }).replaceAll("_", "/")}.c`,
  "signed as ES256 by RSA": token(claims, { header: { alg: "ES256" }, alg: "RS256" }),
};

for (const payload of [
  { iss: "iss", aud: "aud" },
  { iss: "iss", aud: "aud", x: 1 },
  { iss: "iss", aud: "aud", x: 12 },
]) {
  const raw = base64url(payload);
  const text = `${goodHeader}.${raw}${"=".repeat((4 - (raw.length % 4)) % 4)}`;
  ODD[`padded payload ${raw.length % 4}`] =
    `${text}.${signature(text, "RS256", keys.rsa.privateKey).toString("base64url")}`;
}

const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "HS256",
  "HS384",
  "HS512",
  "EdDSA",
];

const rich = {
  ...claims,
  a: { b: "nested" },
  num: 5,
  neg: -5,
  f: 1.5,
  bool: true,
  nul: null,
  arr: [1, "a"],
  obj: { x: 1 },
  uni: "é€😀",
  big: 1e18,
  huge: 1e22,
  empty: "",
  scope: "a  b c",
  permission: ["x"],
  nested: { scope: "a b" },
};

const tokensEverywhere = (listener: string): readonly Case[] => [
  { listener, name: "good", headers: bearer(good) },
  { listener, name: "q", headers: bearer(otherIssuer) },
  { listener, name: "none" },
  { listener, name: "expired", headers: bearer(expired) },
  { listener, name: "unknown issuer", headers: bearer(token({ iss: "zz" })) },
  { listener, name: "junk", headers: bearer("a.b") },
  { listener, name: "good and q in the query", headers: bearer(good), path: `/x?access_token=${otherIssuer}` },
  { listener, name: "expired and q in the query", headers: bearer(expired), path: `/x?access_token=${otherIssuer}` },
  { listener, name: "good and expired in the query", headers: bearer(good), path: `/x?access_token=${expired}` },
];

const CASES: readonly Case[] = [
  ...["plain", "subjects", "requireExpiration", "skew"].flatMap((listener) => [
    { listener, name: "good", headers: bearer(good) },
    ...Object.entries(ODD).map(([name, text]) => ({ listener, name, headers: bearer(text) })),
  ]),
  ...ALGORITHMS.map((alg) => ({ listener: "keys", name: alg, headers: bearer(token(claims, { alg })) })),
  { listener: "oneAlg", name: "RS256", headers: bearer(good) },
  { listener: "oneAlg", name: "RS512", headers: bearer(token(claims, { alg: "RS512" })) },
  { listener: "someBadKeys", name: "good", headers: bearer(good) },
  ...["remote", "remote", "remoteBad", "remoteError", "remoteRetried"].map((listener) => ({
    listener,
    name: "good",
    headers: bearer(good),
  })),
  ...Object.entries({
    "with prefix": `x-a: Tok ${good}\r\n`,
    "prefix later": `x-a: xx Tok   ${good}\r\n`,
    "no prefix": `x-a: ${good}\r\n`,
    "prefix in other case": `x-a: tok ${good}\r\n`,
    "only the prefix": "x-a: Tok !!\r\n",
    plain: `x-b: ${good}\r\n`,
    twice: `x-b: ${good}\r\nx-b: ${good}\r\n`,
    "one of two is bad": `x-b: ${good}\r\nx-b: ${expired}\r\n`,
    "two headers, one bad": `x-a: Tok ${good}\r\nx-b: ${expired}\r\n`,
    empty: "x-b: \r\n",
    cookie: `cookie: a=b; ck=${good}; c=d\r\nx-sub: spoof\r\n`,
    "quoted cookie": `cookie: ck="${good}"\r\n`,
    "two cookies": `cookie: ck=${expired}\r\ncookie: ck=${good}\r\n`,
    "elsewhere, with a forged claim": `${bearer(good)}x-sub: spoof\r\n`,
  }).map(([name, headers]) => ({ listener: "locations", name, headers })),
  ...Object.entries({
    "in the query": `/x?a=1&tk=${good}&b=%2F&c`,
    "twice in the query": `/x?tk=${good}&tk=${expired}&z`,
    "encoded in the query": `/x?tk=${good.replace(".", "%2E")}&u=a+b&U=%41`,
    "alone in the query": `/x?tk=${good}`,
    "two parameters": `/x?t2=${expired}&tk=${good}`,
  }).map(([name, path]) => ({ listener: "locations", name, path })),
  { listener: "plain", name: "bearer in lower case", headers: `authorization: bearer ${good}\r\n` },
  { listener: "plain", name: "basic", headers: "authorization: Basic abc\r\n" },
  { listener: "plain", name: "with a comma", headers: `${bearer(`${good},Basic x`)}` },
  { listener: "plain", name: "with a tail", headers: bearer(`${good} x`) },
  { listener: "plain", name: "long URI", headers: bearer("x"), path: `/x?${"y".repeat(400)}` },
  { listener: "plain", name: "HEAD", headers: bearer(expired), method: "HEAD" },
  { listener: "plain", name: "gRPC", headers: "content-type: application/grpc\r\n", method: "POST" },
  { listener: "missingOrOne", name: "good", headers: `x-a: ${good}\r\n` },
  { listener: "missingOrOne", name: "header bad, query good", headers: `x-a: ${expired}\r\n`, path: `/x?tk=${good}` },
  { listener: "missingOrOne", name: "header good, query bad", headers: `x-a: ${good}\r\n`, path: `/x?tk=${expired}` },
  { listener: "missingOrOne", name: "other issuer", headers: `x-a: ${otherIssuer}\r\n` },
  { listener: "missingOrOne", name: "none" },
  {
    listener: "forwarding",
    name: "rich",
    headers: `${bearer(token(rich, { header: { alg: "RS256", x: [1] } }))}x-payload: s\r\n`,
  },
  { listener: "forwarding", name: "line break", headers: bearer(token({ ...claims, sub: "a\r\nx-evil: b" })) },
  { listener: "forwarding", name: "NUL", headers: bearer(token({ ...claims, sub: "a\u0000b" })) },
  { listener: "forwarding", name: "tab", headers: bearer(token({ ...claims, sub: "a\tb" })) },
  ...["1", "2", "other", "3", "bad", "bad"].map((name) => ({
    listener: "cache",
    name,
    headers: bearer(name === "bad" ? expired : name === "other" ? token({ ...claims, x: 1 }) : good),
  })),
  { listener: "stripped", name: "expired", headers: bearer(expired) },
  { listener: "stripped", name: "none" },
  { listener: "prefixed", name: "none" },
  {
    listener: "cors",
    name: "preflight",
    headers: "origin: http://x\r\naccess-control-request-method: GET\r\n",
    method: "OPTIONS",
  },
  { listener: "cors", name: "no preflight", headers: "origin: http://x\r\n", method: "OPTIONS" },
  ...["asIstio", "missingOrFailed", "otherAudience"].flatMap(tokensEverywhere),
  // With two tokens ours is stricter: see the authenticator.
  ...tokensEverywhere("missing").filter(({ path }) => path === undefined),
  { listener: "otherAudience", name: "other", headers: bearer(token({ ...claims, aud: "other" })) },
  { listener: "all", name: "both", headers: `x-a: ${good}\r\nx-b: ${otherIssuer}\r\n` },
  { listener: "all", name: "one", headers: `x-a: ${good}\r\n` },
  { listener: "all", name: "one bad", headers: `x-a: ${good}\r\nx-b: ${expired}\r\n` },
  { listener: "byPath", name: "needed", path: "/need" },
  { listener: "byPath", name: "not needed", path: "/none" },
  { listener: "byPath", name: "no rule", path: "/x" },
  { listener: "perRoute", name: "off", path: "/off" },
  { listener: "perRoute", name: "by name", path: "/a", headers: bearer(expired) },
  { listener: "perRoute", name: "wrong name", path: "/wrong" },
  { listener: "perRoute", name: "the rest", path: "/rest" },
];

const FORMAT =
  "%REQ(X-CASE)%|%RESPONSE_CODE%|%RESPONSE_CODE_DETAILS%|%RESPONSE_FLAGS%|%DYNAMIC_METADATA(envoy.filters.http.jwt_authn)%\n";

function bootstrap(log: string, upstream: number, keyServer: number): unknown {
  const route = { match: { prefix: "/" }, route: { cluster: "up" } };
  const at = (prefix: string, fields: Json): Json => ({
    match: { prefix },
    route: { cluster: "up" },
    ...perRoute(fields),
  });
  const listeners = Object.entries(FILTERS).map(([name, fields]) =>
    httpListener(name, {
      routes:
        name === "perRoute"
          ? [
              at("/off", { disabled: true }),
              at("/a", { requirement_name: "a" }),
              at("/wrong", { requirement_name: "zz" }),
              route,
            ]
          : [route],
      accessLogPath: log,
      accessLogFormat: FORMAT,
      httpFilters: [
        {
          name: "envoy.filters.http.jwt_authn",
          typed_config: {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            ...fields,
          },
        },
      ],
    }),
  );
  return bootstrapOf({
    listeners,
    clusters: [staticCluster("up", `127.0.0.1:${upstream}`), staticCluster("keys", `127.0.0.1:${keyServer}`)],
  });
}

async function seenBy(proxy: Running): Promise<Readonly<Record<string, unknown>>> {
  const seen: Record<string, unknown> = {};
  for (const [index, { listener, name, headers = "", path = "/x?q=1", method = "GET" }] of CASES.entries()) {
    const head = `${method} ${path} HTTP/1.1\r\nhost: h.example\r\nx-case: ${index}\r\n${headers}connection: close\r\n\r\n`;
    const answer = await exchange(proxy.ports.get(listener) ?? 0, head);
    seen[`${index} ${listener}: ${name}`] = comparable(answer);
  }
  const lines = await proxy.logged(CASES.length);
  for (const line of lines) {
    const [index = "", ...rest] = line.split("|");
    const metadata = rest.slice(3).join("|");
    seen[`log ${index}`] = [...rest.slice(0, 3), metadata === "-" ? undefined : JSON.parse(metadata)];
  }
  const counts = (await proxy.page("/stats")).filter((line) => /\.jwt_authn\./.test(line));
  return { ...seen, counts: counts.toSorted() };
}

describe.skipIf(envoy.missing !== undefined)("envoy.filters.http.jwt_authn beside a real Envoy", () => {
  const servers: TestServer[] = [];
  let theirs: Readonly<Record<string, unknown>> = {};
  let ours: Readonly<Record<string, unknown>> = {};

  beforeAll(async () => {
    const upstream = await serve(echo);
    const keyServer = await serve((request, response) => {
      response.statusCode = request.url === "/error" ? 500 : 200;
      response.end(request.url === "/bad" ? "xx" : JSON.stringify({ keys: [jwk("rsa")] }));
    });
    servers.push(upstream, keyServer);
    const make = (log: string): unknown => bootstrap(log, upstream.port, keyServer.port);
    const [real, own] = await Promise.all([startTheirs(make), startOurs(make)]);
    try {
      theirs = await seenBy(real);
      ours = await seenBy(own);
    } finally {
      real.stop();
      own.stop();
    }
  }, 120_000);

  afterAll(() => {
    for (const server of servers) server.close();
  });

  test("the same answers, forwarded requests, details, metadata and counts", () => {
    expect(Object.keys(theirs).length).toBe(2 * CASES.length + 1);
    expect(ours).toEqual(theirs);
  });
});
