import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { needEnvoy } from "../needs.ts";
import { startEnvoy, type RealEnvoy } from "./envoy.ts";
import { httpWorld, type HttpWorld } from "#proxy/http/testing/http-world.ts";

const host = "Host: a\r\n";
const get = (fields: string): string => `GET / HTTP/1.1\r\n${fields}\r\n`;
const post = (fields: string, body = ""): string => `POST / HTTP/1.1\r\n${host}${fields}\r\n${body}`;
const chunked = "Transfer-Encoding: chunked\r\n";

/** The same bytes to both: the answers must be equal, but for what changes from run to run. */
const same: Readonly<Record<string, string>> = {
  "a request": get(host),
  "a direct response": `GET /direct HTTP/1.1\r\n${host}\r\n`,
  "HEAD of a direct response": `HEAD /direct HTTP/1.1\r\n${host}\r\n`,
  "no host": get(""),
  "HTTP/1.0": `GET / HTTP/1.0\r\n${host}\r\n`,
  "HTTP/1.0 without host": "GET / HTTP/1.0\r\n\r\n",
  "HTTP/1.2": `GET / HTTP/1.2\r\n${host}\r\n`,
  "HTTP/2.0": `GET / HTTP/2.0\r\n${host}\r\n`,
  "HTTP/0.9": "GET /\r\n\r\n",
  "an absolute target": "GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
  "an absolute target without path": "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
  "an absolute target with user information": "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
  "an absolute target with another scheme": `GET ftp://a/ HTTP/1.1\r\n${host}\r\n`,
  "an absolute https target": "GET https://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
  "a relative target": `GET foo HTTP/1.1\r\n${host}\r\n`,
  "* for GET": `GET * HTTP/1.1\r\n${host}\r\n`,
  "* for OPTIONS": `OPTIONS * HTTP/1.1\r\n${host}\r\n`,
  CONNECT: `CONNECT a:80 HTTP/1.1\r\n${host}\r\n`,
  "a fragment": `GET /a#b HTTP/1.1\r\n${host}\r\n`,
  "%00 in the path": `GET /a%00b HTTP/1.1\r\n${host}\r\n`,
  "dot segments": `GET /a/../b HTTP/1.1\r\n${host}\r\n`,
  "dot segments above the root": `GET /../../b HTTP/1.1\r\n${host}\r\n`,
  "space before a colon": "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
  "space in a name": get(`${host}X y: a\r\n`),
  "space before a name": "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
  "no colon": get(`${host}foo\r\n`),
  "an empty name": get(`${host}: foo\r\n`),
  "a pseudo header": get(`${host}:path: /x\r\n`),
  "NUL in a value": get(`${host}X: a\0b\r\n`),
  "a control in a value": get(`${host}X: a\x01b\r\n`),
  "DEL in a value": get(`${host}X: a\x7fb\r\n`),
  "tabs around and in a value": get(`${host}X:\ta\tb\t\r\n`),
  "bytes above ASCII in a value": get(`${host}X: \xe9\xff\r\n`),
  "bytes above ASCII in the path": `GET /\xe9 HTTP/1.1\r\n${host}\r\n`,
  "characters that no path has": `GET /!"$&'()*+,;<=>@[]^_\`{|}~?"<>^\`{|} HTTP/1.1\r\n${host}\r\n`,
  "a space in the path": `GET /a b HTTP/1.1\r\n${host}\r\n`,
  "a control in the path": `GET /\x01 HTTP/1.1\r\n${host}\r\n`,
  "a method that is no token": `G(T / HTTP/1.1\r\n${host}\r\n`,
  "a method of one's own": `FOO / HTTP/1.1\r\n${host}\r\n`,
  "a method in lower case": `get / HTTP/1.1\r\n${host}\r\n`,
  "empty lines before": `\r\n\r\n${get(host)}`,
  "length +1": post("Content-Length: +1\r\n", "a"),
  "length 0x1": post("Content-Length: 0x1\r\n", "a"),
  "length -1": post("Content-Length: -1\r\n", "a"),
  "length beyond all": post("Content-Length: 99999999999999999999999\r\n", "a"),
  "a list of lengths": post("Content-Length: 1, 1\r\n", "a"),
  "the same length twice": post("Content-Length: 1\r\nContent-Length: 1\r\n", "a"),
  "two lengths": post("Content-Length: 1\r\nContent-Length: 2\r\n", "ab"),
  "an empty length": post("Content-Length:\r\n"),
  "a length with a space": post("Content-Length: 1 1\r\n", "a"),
  "a length with a zero before": post("Content-Length: 01\r\n", "a"),
  "length and chunked": post(`Content-Length: 5\r\n${chunked}`, "0\r\n\r\n"),
  "chunked and length": post(`${chunked}Content-Length: 5\r\n`, "0\r\n\r\n"),
  chunks: post(chunked, "3\r\nabc\r\n0\r\n\r\n"),
  "a chunk extension": post(chunked, "3;a=b\r\nabc\r\n0\r\n\r\n"),
  "space after a chunk size": post(chunked, "3 \r\nabc\r\n0\r\n\r\n"),
  "space before a chunk size": post(chunked, " 3\r\nabc\r\n0\r\n\r\n"),
  "a chunk size with 0x": post(chunked, "0x3\r\nabc\r\n0\r\n\r\n"),
  "LF-only chunk lines": post(chunked, "3\nabc\n0\n\n"),
  "a chunk size beyond all": post(chunked, "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
  "a trailer": post(chunked, "3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"),
  "Chunked in capitals": post("Transfer-Encoding: Chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
  "coding gzip": post("Transfer-Encoding: gzip\r\n", "0\r\n\r\n"),
  "codings gzip, chunked": post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
  "chunked twice": post(chunked + chunked, "0\r\n\r\n"),
  "chunked, chunked": post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
  "coding identity": post("Transfer-Encoding: identity\r\n"),
  "a tab before chunked": post("Transfer-Encoding:\tchunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
  "HTTP/1.0 with chunked": `POST / HTTP/1.0\r\n${host}${chunked}\r\n0\r\n\r\n`,
  "Expect: 100-continue": post("Expect: 100-continue\r\nContent-Length: 1\r\n", "a"),
  "Expect in capitals": post("Expect: 100-Continue\r\nContent-Length: 1\r\n", "a"),
  "Expect something else": post("Expect: foo\r\nContent-Length: 1\r\n", "a"),
  "a body with GET": get(`${host}Content-Length: 3\r\n`).concat("abc"),
  "Connection: close": `GET /direct HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
  "Connection that names a field": get(`${host}Connection: x-foo, keep-alive\r\nx-foo: 1\r\nx-bar: 2\r\n`),
  "Connection that names x-forwarded-for": get(`${host}Connection: x-forwarded-for\r\nx-forwarded-for: 1\r\n`),
  "Connection that names a pseudo header": get(`${host}Connection: :path\r\n`),
  "hop-by-hop fields": get(`${host}Keep-Alive: 5\r\nTE: trailers, deflate\r\nUpgrade: foo\r\nTrailer: x\r\n`),
  "Proxy-Connection: close": get(`${host}Proxy-Connection: close\r\n`),
  "TE named by Connection": get(`${host}TE: trailers\r\nConnection: te\r\n`),
  "an upgrade to h2c": get(`${host}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n`),
  "an upgrade that is not enabled": get(`${host}Connection: Upgrade\r\nUpgrade: foo\r\n`),
  "101 fields": get(host + "x: 1\r\n".repeat(101)),
  "100 fields": get(host + Array.from({ length: 99 }, (_, i) => `x-${i}: 1\r\n`).join("")),
  "a head of 60 KiB": get(`${host}x: ${"a".repeat(61_500)}\r\n`),
  "a path of 60 KiB": `GET /${"a".repeat(61_500)} HTTP/1.1\r\n${host}\r\n`,
  "an underscore in a name": get(`${host}x_y: 1\r\n`),
  "a host with a slash": "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
  "a host with a space": "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
  "a host with a user": "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
  "a host with a port": "GET / HTTP/1.1\r\nHost: a:80\r\n\r\n",
  "a host in capitals": "GET / HTTP/1.1\r\nHost: ABC\r\n\r\n",
  "Envoy's own headers from outside": get(
    `${host}x-request-id: foo\r\nx-envoy-internal: true\r\nx-envoy-retry-on: 5xx\r\nx-forwarded-proto: ftp\r\n`,
  ),
  "TLS on a plain port": "\x16\x03\x01\x00\x05hello\r\n\r\n",
};

/** What Envoy lets pass and we refuse, on purpose: each could be read in two ways by the next hop. */
const stricter: Readonly<Record<string, string>> = {
  "an empty host": "GET / HTTP/1.1\r\nHost:\r\n\r\n",
  "two hosts": get(`${host}Host: b\r\n`),
  "a list of hosts": "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
  "the same host twice": get(`${host}${host}`),
  "a host that differs from the target": `GET http://b/ HTTP/1.1\r\n${host}\r\n`,
  "an absolute target with only a query": "GET http://b?x=1 HTTP/1.1\r\nHost: a\r\n\r\n",
  "bare LF lines": "GET / HTTP/1.1\nHost: a\n\n",
  "a bare LF among CRLF": "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
  "a bare CR in a value": get(`${host}X: a\rb\r\n`),
  "obs-fold": get(`${host}X: a\r\n b\r\n`),
  "tabs in the request line": `GET\t/ HTTP/1.1\r\n${host}\r\n`,
  "two spaces in the request line": `GET  / HTTP/1.1\r\n${host}\r\n`,
  "a space after the version": `GET / HTTP/1.1 \r\n${host}\r\n`,
  "a control in a chunk extension": post(chunked, "3;a=\0b\r\nabc\r\n0\r\n\r\n"),
  "an overlong chunk extension": post(chunked, `3;a=${"x".repeat(70_000)}\r\nabc\r\n0\r\n\r\n`),
  "a chunk longer than its size": post(chunked, "3\r\nabcd\r\n0\r\n\r\n"),
  "a length among trailers": post(chunked, "3\r\nabc\r\n0\r\ncontent-length: 1\r\n\r\n"),
};

const manager = {
  stat_prefix: "in",
  normalize_path: true,
  upgrade_configs: [{ upgrade_type: "websocket" }],
  route_config: {
    virtual_hosts: [
      {
        name: "all",
        domains: ["*"],
        routes: [
          { match: { prefix: "/direct" }, direct_response: { status: 200, body: { inline_string: "hello" } } },
          { match: { prefix: "/" }, route: { cluster: "up" } },
        ],
      },
    ],
  },
  http_filters: [
    {
      name: "envoy.filters.http.router",
      typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    },
  ],
};

/** The upstream shows what it was sent. */
function echo(request: string): string {
  return `HTTP/1.1 200 OK\r\nx-up: 1\r\ncontent-length: ${request.length}\r\n\r\n${request}`;
}

function normalized(answer: string): string {
  return answer
    .replace(/date: [^\r]+/, "date: D")
    .replaceAll(/x-request-id: [0-9a-f-]{36}/g, "x-request-id: ID")
    .replace(/x-envoy-upstream-service-time: \d+/, "x-envoy-upstream-service-time: N");
}

const need = needEnvoy();
if (need.missing !== undefined) process.stderr.write(`tests beside a real Envoy are skipped: ${need.missing}\n`);

describe.skipIf(need.missing !== undefined)("HTTP/1.1, byte by byte, beside a real Envoy", () => {
  let envoy: RealEnvoy;
  let ours: HttpWorld;
  beforeAll(async () => {
    envoy = await startEnvoy(need.path, manager, echo);
    ours = await httpWorld({ manager });
    await ours.serve(80, (request) => echo(request));
  });
  afterAll(() => envoy.stop());

  test.concurrent.each(Object.entries(same))("the same: %s", async (_what, bytes) => {
    const theirs = normalized(await envoy.exchange(bytes));
    expect(theirs).not.toBe("");
    expect(normalized(await ours.exchange(bytes))).toBe(theirs);
  });

  test.concurrent.each(Object.entries(stricter))("stricter: %s", async (_what, bytes) => {
    expect(await envoy.exchange(bytes)).toMatch(/^HTTP\/1\.1 (200|404) /);
    expect(await ours.exchange(bytes)).toMatch(/^HTTP\/1\.1 400 /);
  });
});
