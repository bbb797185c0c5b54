/** Which virtual host takes a request (R-01 … R-08). */
import type { Case, Json } from "../harness/case.ts";
import { get, http2, raw, request, requestText, says } from "../harness/requests.ts";

const host = (name: string, domains: readonly string[], more: Json = {}): Json => ({
  name: `{id}-${name}`,
  domains,
  routes: [says(name, { prefix: "/" })],
  ...more,
});
const to = (...hosts: readonly string[]) => hosts.map((one) => get("/", { host: one }));

export const virtualHostCases: readonly Case[] = [
  {
    name: "R-01: exact, then suffix, then prefix, then any",
    routeConfig: {},
    virtualHosts: [
      host("any", ["*"]),
      host("prefix", ["www.*", "www.{id}.*"]),
      host("suffix", ["*.{id}.test", "*.b.{id}.test", "*-x.{id}.test"]),
      host("exact", ["www.{id}.test", "a.b.{id}.test"]),
    ],
    exchanges: to(
      "www.{id}.test",
      "other.{id}.test",
      "x.b.{id}.test",
      "a.b.{id}.test",
      "y-x.{id}.test",
      "www.else.test",
      "www.{id}.else",
      "www.",
      "nobody",
      "{id}.test",
    ),
  },
  {
    name: "R-01: of suffixes and of prefixes the longest wins",
    routeConfig: {},
    virtualHosts: [
      host("short", ["*.com"]),
      host("long", ["*.foo.com"]),
      host("longest", ["*-bar.foo.com"]),
      host("p", ["a.*"]),
      host("pp", ["a.b.*"]),
      host("ppp", ["a.b-*"]),
    ],
    exchanges: to("x.com", "x.foo.com", "x-bar.foo.com", "-bar.foo.com", "a.b.c", "a.x", "a.b-c", "a.b.com", "foo.com"),
  },
  {
    name: "R-02: hosts and domains are compared in lower case",
    routeConfig: {},
    virtualHosts: [host("one", ["WWW.{id}.TEST"]), host("two", ["*.FOO.test"])],
    exchanges: to("www.{id}.test", "WWW.{id}.TEST", "a.foo.test", "A.Foo.Test"),
  },
  {
    name: "R-02: a wildcard stands for one character at least",
    routeConfig: {},
    virtualHosts: [host("one", ["*.foo.test"]), host("two", ["bar.*"]), host("three", ["*baz"])],
    exchanges: to("foo.test", ".foo.test", "a.foo.test", "bar.", "bar.x", "baz", "xbaz"),
  },
  {
    name: "R-03: ports are ignored when asked to be",
    routeConfig: { ignore_port_in_host_matching: true },
    virtualHosts: [host("one", ["{id}.test"]), host("two", ["*.two.test"])],
    exchanges: to("{id}.test", "{id}.test:80", "{id}.test:99999", "a.two.test:1", "{id}.test:", "{id}.test:x"),
  },
  {
    name: "R-03: a port is part of the host otherwise",
    routeConfig: {},
    virtualHosts: [host("one", ["{id}.test"]), host("two", ["{id}.test:81"]), host("three", ["*:82"])],
    exchanges: to("{id}.test", "{id}.test:80", "{id}.test:81", "x:82"),
  },
  {
    name: "R-05: vhost_header names another header",
    routeConfig: { vhost_header: "x-vhost" },
    virtualHosts: [host("one", ["one"]), host("two", ["two"])],
    exchanges: [
      get("/", { "x-vhost": "one" }),
      get("/", { "x-vhost": "TWO" }),
      get("/", { "x-vhost": "three" }),
      get("/"),
      get("/", { host: "one" }),
    ],
  },
  {
    name: "R-06: no route and no virtual host",
    routeConfig: {},
    virtualHosts: [host("one", ["one"], { routes: [says("x", { path: "/x" })] })],
    exchanges: [...to("one", "two"), get("/x", { host: "one" }), request("HEAD", "/", { host: "two" }), http2("/")],
  },
  {
    name: "R-07: require_tls ALL",
    virtualHost: { require_tls: "ALL" },
    exchanges: [
      get("/a?b=c"),
      get("/", { "x-forwarded-proto": "https" }),
      get("/", { "x-forwarded-proto": "HTTPS" }),
      get("/", { host: "{id}.test:80" }),
      get("/", { host: "{id}.test:8080" }),
      get("/", { "x-envoy-internal": "true" }),
    ],
  },
  {
    name: "R-07: require_tls EXTERNAL_ONLY",
    virtualHost: { require_tls: "EXTERNAL_ONLY" },
    manager: {
      use_remote_address: true,
      internal_address_config: { cidr_ranges: [{ address_prefix: "127.0.0.0", prefix_len: 8 }] },
    },
    exchanges: [get("/"), get("/", { "x-forwarded-for": "1.2.3.4" })],
  },
  {
    name: "R-07: require_tls with response headers of virtual host and configuration",
    virtualHost: { require_tls: "ALL", response_headers_to_add: [{ header: { key: "x-v", value: "1" } }] },
    routeConfig: { response_headers_to_add: [{ header: { key: "x-c", value: "2" } }] },
    exchanges: [get("/")],
  },
  {
    name: "R-08: an empty x-forwarded-proto matches no route",
    exchanges: [get("/", { "x-forwarded-proto": "" }), get("/", { "x-forwarded-proto": "ftp" })],
  },
  {
    name: "R-02: hosts with odd characters",
    routeConfig: {},
    virtualHosts: [host("any", ["*"])],
    exchanges: to("[::1]", "[::1]:80", "a%41", "-", "a..b", "a_b", "é", "1.2.3.4:8080"),
  },
  {
    name: "R-02: every character of ASCII in a host",
    routeConfig: {},
    virtualHosts: [host("any", ["*"])],
    exchanges: Array.from({ length: 94 }, (_, i) => String.fromCharCode(i + 33))
      .filter((character) => !"/,".includes(character))
      .map((character) => get("/", { host: `a${character}b` })),
  },
  {
    name: "R-01: over HTTP/2 :authority counts",
    routeConfig: {},
    virtualHosts: [host("one", ["one.test"]), host("two", ["*"])],
    exchanges: [
      http2("/", { ":authority": "one.test" }),
      http2("/", { ":authority": "ONE.test" }),
      http2("/", { ":authority": "one.test:80" }),
    ],
  },
  {
    name: "R-01: HTTP/1.0 without a host goes to the default host",
    manager: { http_protocol_options: { accept_http_10: true, default_host_for_http_10: "{id}.test" } },
    exchanges: [
      raw("GET / HTTP/1.0\r\nx-case: {id}\r\n\r\n"),
      raw("GET / HTTP/1.0\r\nhost: {id}.test\r\nx-case: {id}\r\n\r\n"),
      raw("GET / HTTP/1.0\r\nhost: {id}.test\r\nx-case: {id}\r\nconnection: keep-alive\r\n\r\n"),
    ],
  },
  {
    name: "R-01: HTTP/1.0 without a host and without a default",
    manager: { http_protocol_options: { accept_http_10: true } },
    exchanges: [raw("GET / HTTP/1.0\r\nx-case: {id}\r\n\r\n")],
  },
  { name: "R-06: the default route forwards", exchanges: [get("/x?y", { "x-a": "1" }), http2("/x?y", { "x-a": "1" })] },
  {
    name: "R-06: a body is forwarded",
    exchanges: [request("POST", "/p", {}, "body"), http2("/p", {}, { body: "body" })],
  },
  {
    name: "R-98: an absolute target names the host",
    exchanges: [
      raw(requestText("GET", "http://{id}.test/x?y")),
      raw(requestText("GET", "http://{id}.test")),
      raw(requestText("GET", "HTTP://{id}.test/")),
    ],
  },
];
