/** Clusters: weights, headers, mirrors, subsets, hash policies (R-28 … ). */
import type { Case, Json } from "../harness/case.ts";
import { answer, cluster, forward, get, http2, request } from "../harness/requests.ts";

const two = { "-x": cluster("b"), "-y": cluster("c") };
const weighted = (clusters: readonly Json[], more: Json = {}): Json =>
  forward({ weighted_clusters: { clusters, ...more } });
const weight = (suffix: string, value: number, more: Json = {}): Json => ({
  name: `{id}${suffix}`,
  weight: value,
  ...more,
});
const set = (key: string, value: string, action?: string): Json => ({
  header: { key, value },
  ...(action === undefined ? {} : { append_action: action }),
});
/** Hashed by names, because the backends of the two proxies have other ports. */
const byHostname = (policy: string): Json => ({
  type: "STRICT_DNS",
  lb_policy: policy,
  common_lb_config: { consistent_hashing_lb_config: { use_hostname_for_hashing: true } },
  load_assignment: {
    cluster_name: "{id}",
    endpoints: [
      {
        lb_endpoints: ["a", "b", "c"].map((name) => ({
          endpoint: {
            hostname: `host-${name}`,
            address: { socket_address: { address: "127.0.0.1", port_value: `port:${name}` } },
          },
        })),
      },
    ],
  },
});

export const choiceCases: readonly Case[] = [
  {
    name: "R-28: cluster_header",
    routes: [forward({ cluster_header: "x-to" })],
    clusters: two,
    exchanges: [
      get("/", { "x-to": "{id}-x" }),
      get("/", { "X-To": "{id}-y" }),
      get("/", { "x-to": "nobody" }),
      get("/"),
      get("/", { "x-to": "" }),
      get("/", { "x-to": ["{id}-x", "{id}-y"] }),
    ],
  },
  ...["SERVICE_UNAVAILABLE", "NOT_FOUND", "INTERNAL_SERVER_ERROR"].map((code): Case => ({
    name: `R-28: a cluster that is not there: ${code}`,
    routes: [forward({ cluster_header: "x-to", cluster_not_found_response_code: code })],
    exchanges: [get("/", { "x-to": "nobody" }), get("/")],
  })),
  {
    name: "R-29: one weight has it all",
    routes: [weighted([weight("-x", 0), weight("-y", 100)])],
    clusters: two,
    exchanges: [get("/"), get("/"), get("/")],
  },
  {
    name: "R-29: a header's number picks the cluster",
    routes: [weighted([weight("-x", 30), weight("-y", 70)], { header_name: "x-n" })],
    clusters: two,
    exchanges: ["0", "29", "30", "99", "100", "129", "130", "18446744073709551615"].map((n) => get("/", { "x-n": n })),
  },
  {
    name: "R-29: weights by the hash policy",
    routes: [
      forward({
        weighted_clusters: { clusters: [weight("-x", 50), weight("-y", 50)], use_hash_policy: true },
        hash_policy: [{ header: { header_name: "x-k" } }],
      }),
    ],
    clusters: two,
    exchanges: ["a", "b", "c", "d", "e", "f", "g"].map((k) => get("/", { "x-k": k })),
  },
  {
    name: "R-29: a cluster of a weight by header",
    routes: [weighted([{ cluster_header: "x-to", weight: 1 }])],
    clusters: two,
    exchanges: [get("/", { "x-to": "{id}-y" }), get("/", { "x-to": "no" }), get("/")],
  },
  {
    name: "R-31: mutations of a weight, of route, virtual host and configuration",
    routeConfig: {
      request_headers_to_add: [set("x-l", "config"), set("x-o", "config", "OVERWRITE_IF_EXISTS_OR_ADD")],
      response_headers_to_add: [set("x-r", "config"), set("x-ro", "config", "OVERWRITE_IF_EXISTS_OR_ADD")],
    },
    virtualHost: {
      request_headers_to_add: [set("x-l", "host"), set("x-o", "host", "OVERWRITE_IF_EXISTS_OR_ADD")],
      response_headers_to_add: [set("x-r", "host"), set("x-ro", "host", "OVERWRITE_IF_EXISTS_OR_ADD")],
    },
    routes: [
      forward(
        {
          weighted_clusters: {
            clusters: [
              weight("-x", 1, {
                request_headers_to_add: [set("x-l", "weight"), set("x-o", "weight", "OVERWRITE_IF_EXISTS_OR_ADD")],
                response_headers_to_add: [set("x-r", "weight"), set("x-ro", "weight", "OVERWRITE_IF_EXISTS_OR_ADD")],
                request_headers_to_remove: ["x-gone"],
                response_headers_to_remove: ["x-backend"],
                host_rewrite_literal: "weight.test",
              }),
            ],
          },
        },
        {
          request_headers_to_add: [set("x-l", "route"), set("x-o", "route", "OVERWRITE_IF_EXISTS_OR_ADD")],
          response_headers_to_add: [set("x-r", "route"), set("x-ro", "route", "OVERWRITE_IF_EXISTS_OR_ADD")],
        },
      ),
    ],
    clusters: two,
    exchanges: [get("/", { "x-gone": "1", "x-l": "sent" })],
  },
  {
    name: "R-31: the most specific mutation wins when asked to",
    routeConfig: {
      most_specific_header_mutations_wins: true,
      request_headers_to_add: [set("x-l", "config"), set("x-o", "config", "OVERWRITE_IF_EXISTS_OR_ADD")],
      response_headers_to_add: [set("x-ro", "config", "OVERWRITE_IF_EXISTS_OR_ADD")],
    },
    virtualHost: {
      request_headers_to_add: [set("x-l", "host"), set("x-o", "host", "OVERWRITE_IF_EXISTS_OR_ADD")],
      response_headers_to_add: [set("x-ro", "host", "OVERWRITE_IF_EXISTS_OR_ADD")],
    },
    routes: [
      forward(
        {},
        {
          request_headers_to_add: [set("x-l", "route"), set("x-o", "route", "OVERWRITE_IF_EXISTS_OR_ADD")],
          response_headers_to_add: [set("x-ro", "route", "OVERWRITE_IF_EXISTS_OR_ADD")],
        },
      ),
    ],
    exchanges: [get("/")],
  },
  {
    name: "R-35: a mirror gets a copy",
    routes: [forward({ request_mirror_policies: [{ cluster: "{id}-x" }] })],
    clusters: two,
    sees: 4,
    exchanges: [get("/m?q", { "x-a": "1" }), request("POST", "/b", {}, "some body")],
  },
  {
    name: "R-35: a mirror keeps the host's port, and the suffix may be left out",
    routes: [
      forward(
        {
          request_mirror_policies: [
            { cluster: "{id}-x" },
            { cluster: "{id}-y", disable_shadow_host_suffix_append: true },
          ],
        },
        { request_headers_to_add: [set("x-added", "1")] },
      ),
    ],
    clusters: two,
    sees: 3,
    exchanges: [get("/", { host: "{id}.test:8080" })],
  },
  {
    name: "R-35: a mirror by header, and one that is never taken",
    routes: [
      forward({
        request_mirror_policies: [
          { cluster_header: "x-to" },
          { cluster: "{id}-y", runtime_fraction: { default_value: { numerator: 0 } } },
        ],
      }),
    ],
    clusters: two,
    sees: 3,
    exchanges: [get("/", { "x-to": "{id}-x" }), get("/")],
  },
  {
    name: "R-35: a mirror after rewrites",
    routes: [
      forward({
        prefix_rewrite: "/new/",
        host_rewrite_literal: "new.test",
        request_mirror_policies: [{ cluster: "{id}-x" }],
      }),
    ],
    clusters: two,
    sees: 2,
    exchanges: [get("/p?q")],
  },
  {
    name: "R-35: mirrors of the virtual host, and of the configuration",
    routeConfig: { request_mirror_policies: [{ cluster: "{id}-y" }] },
    virtualHost: { request_mirror_policies: [{ cluster: "{id}-x" }] },
    clusters: two,
    sees: 2,
    exchanges: [get("/")],
  },
  {
    name: "R-35: mirrors of the configuration alone",
    routeConfig: { request_mirror_policies: [{ cluster: "{id}-y" }] },
    clusters: two,
    sees: 2,
    exchanges: [get("/")],
  },
  {
    name: "R-35: a mirror that fails is nobody's business",
    routes: [forward({ request_mirror_policies: [{ cluster: "{id}-x" }] })],
    clusters: { "-x": cluster("none") },
    exchanges: [get("/")],
  },
  {
    name: "R-35: mutations of the mirrored request",
    routes: [
      forward({
        request_mirror_policies: [
          {
            cluster: "{id}-x",
            request_headers_mutations: [{ append: { header: { key: "x-mirror", value: "1" } } }, { remove: "x-a" }],
            host_rewrite_literal: "mirror.test",
          },
        ],
      }),
    ],
    clusters: two,
    sees: 2,
    exchanges: [get("/", { "x-a": "1" })],
  },
  {
    name: "R-36: metadata_match picks the subset",
    routes: [
      forward({ metadata_match: { filter_metadata: { "envoy.lb": { v: "2" } } } }, { match: { prefix: "/two" } }),
      forward({ metadata_match: { filter_metadata: { "envoy.lb": { v: "9" } } } }, { match: { prefix: "/nine" } }),
      forward(
        {
          weighted_clusters: {
            clusters: [weight("", 1, { metadata_match: { filter_metadata: { "envoy.lb": { v: "1" } } } })],
          },
          metadata_match: { filter_metadata: { "envoy.lb": { v: "2" } } },
        },
        { match: { prefix: "/one" } },
      ),
    ],
    clusters: {
      "": {
        lb_subset_config: { fallback_policy: "NO_FALLBACK", subset_selectors: [{ keys: ["v"] }] },
        load_assignment: {
          cluster_name: "{id}",
          endpoints: [
            {
              lb_endpoints: ["a", "b"].map((name, i) => ({
                endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: `port:${name}` } } },
                metadata: { filter_metadata: { "envoy.lb": { v: String(i + 1) } } },
              })),
            },
          ],
        },
      },
    },
    exchanges: [get("/two"), get("/one"), get("/nine")],
  },
  ...(
    [
      ["header", [{ header: { header_name: "x-k" } }], ["a", "b", "c", "d"].map((k) => get("/", { "x-k": k }))],
      [
        "header with several values",
        [{ header: { header_name: "x-k" } }],
        [get("/", { "x-k": ["a", "b"] }), get("/", { "x-k": ["b", "a"] })],
      ],
      [
        "header rewritten",
        [{ header: { header_name: "x-k", regex_rewrite: { pattern: { regex: "^(.).*" }, substitution: "\\1" } } }],
        [get("/", { "x-k": "abc" }), get("/", { "x-k": "axx" }), get("/", { "x-k": "b" })],
      ],
      ["query parameter", [{ query_parameter: { name: "q" } }], ["a", "b", "c", ""].map((k) => get(`/?q=${k}`))],
      ["cookie", [{ cookie: { name: "c" } }], ["a", "b", "c"].map((k) => get("/", { cookie: `x=1; c=${k}` }))],
      ["source address", [{ connection_properties: { source_ip: true } }], [get("/"), get("/")]],
      [
        "two policies",
        [{ header: { header_name: "x-k" } }, { query_parameter: { name: "q" } }],
        [get("/?q=1", { "x-k": "a" }), get("/?q=2", { "x-k": "a" }), get("/?q=3", { "x-k": "b" })],
      ],
      [
        "a terminal policy",
        [{ header: { header_name: "x-k" }, terminal: true }, { query_parameter: { name: "q" } }],
        [get("/?q=1", { "x-k": "a" }), get("/?q=2", { "x-k": "a" }), get("/?q=2")],
      ],
    ] as const
  ).map(([what, policy, exchanges]): Case => ({
    name: `R-101: the hash of ${what}`,
    routes: [forward({ hash_policy: policy })],
    clusters: { "": byHostname("RING_HASH") },
    exchanges,
  })),
  ...(
    [
      ["hostnames", "RING_HASH"],
      ["hostnames, Maglev", "MAGLEV"],
    ] as const
  ).map(([what, policy]): Case => ({
    name: `R-101: the host of a hash, by ${what}`,
    routes: [forward({ hash_policy: [{ header: { header_name: "x-k" } }, { query_parameter: { name: "q" } }] })],
    clusters: {
      "": byHostname(policy),
    },
    exchanges: Array.from({ length: 12 }, (_, i) => get(`/?q=${i}`, { "x-k": `key-${i}` })),
  })),
  {
    name: "R-102: a cookie is made where there is none",
    routes: [forward({ hash_policy: [{ cookie: { name: "c", ttl: "60s", path: "/p" } }] })],
    clusters: { "": { lb_policy: "RING_HASH", ...cluster("a") } },
    exchanges: [get("/"), get("/", { cookie: "c=1" }), get("/", { cookie: 'c="1"' })],
    blur: [[/c="[0-9a-f]+"/g, 'c="H"']],
  },
  {
    name: "R-102: a session cookie, and one with attributes",
    routes: [
      forward({ hash_policy: [{ cookie: { name: "c", ttl: "0s" } }] }, { match: { prefix: "/s" } }),
      forward({
        hash_policy: [
          {
            cookie: {
              name: "c",
              ttl: "5s",
              path: "/",
              attributes: [{ name: "SameSite", value: "Strict" }, { name: "Secure" }],
            },
          },
        ],
      }),
    ],
    clusters: { "": { lb_policy: "RING_HASH", ...cluster("a") } },
    exchanges: [get("/s"), get("/a")],
    blur: [[/c="[0-9a-f]+"/g, 'c="H"']],
  },
  {
    name: "R-102: no cookie without ttl",
    routes: [forward({ hash_policy: [{ cookie: { name: "c" } }] })],
    clusters: { "": { lb_policy: "RING_HASH", ...cluster("a") } },
    exchanges: [get("/")],
  },
  {
    name: "R-123: no healthy host",
    clusters: { "": cluster([]) },
    exchanges: [get("/"), http2("/"), http2("/", { "content-type": "application/grpc" }), request("HEAD", "/")],
  },
  {
    name: "R-123: a connection that is refused",
    clusters: { "": cluster("none") },
    exchanges: [get("/"), http2("/"), request("POST", "/", {}, "body")],
  },
  {
    name: "R-123: circuit breakers: no request may wait",
    clusters: {
      "": cluster("a", { circuit_breakers: { thresholds: [{ max_pending_requests: 0, max_connections: 1 }] } }),
    },
    exchanges: [get("/")],
  },
  {
    name: "R-88: x-envoy-upstream-canary and others of the upstream",
    answers: answer(
      200,
      {
        "x-envoy-upstream-canary": "true",
        "x-envoy-upstream-healthchecked-cluster": "z",
        "x-envoy-immediate-health-check-fail": "1",
        "x-envoy-decorator-operation": "op",
      },
      "x",
    ),
    exchanges: [get("/")],
  },
  {
    name: "R-36: high priority has its own circuit breaker",
    routes: [forward({ priority: "HIGH" })],
    clusters: {
      "": cluster("a", {
        circuit_breakers: {
          thresholds: [{ priority: "HIGH", max_requests: 0, max_connections: 0, max_pending_requests: 0 }],
        },
      }),
    },
    exchanges: [get("/")],
  },
];
