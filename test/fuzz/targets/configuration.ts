/** Configuration as bytes and as text: whatever it says, it is taken or refused; what is taken runs. */
import { toBinary, type DescMessage, type Message } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { Problem } from "#lib/problem.ts";
import { openAny } from "#protos/any.ts";
import { checkMessage } from "#protos/check-message.ts";
import { messageFromJson } from "#protos/json.ts";
import { MessageReader } from "#protos/reader.ts";
import { registry } from "#protos/registry.ts";
import { typeUrlOf } from "#protos/type-url.ts";
import type { RBAC } from "#protos/gen/envoy/config/rbac/v3/rbac_pb.js";
import type { Any } from "@bufbuild/protobuf/wkt";
import { loadBootstrap } from "#proxy/bootstrap/bootstrap.ts";
import { HeaderMap } from "#proxy/http/header-map.ts";
import { standardHttpFilters } from "#proxy/http/filters/standard-filters.ts";
import { parseRbacRules } from "#proxy/rbac/engine.ts";
import { parseRouteConfiguration } from "#proxy/router/parse-route-config.ts";
import { StreamInfo } from "#proxy/stream-info.ts";
import { basesOf } from "#test/compatibility/examples.ts";
import { entries } from "#test/compatibility/entries.ts";
import type { FuzzTarget } from "../fuzz.ts";

function descOf(typeName: string): DescMessage {
  const desc = registry().getMessage(typeName);
  if (desc === undefined) throw new Error(typeName);
  return desc;
}

function bytesOf(typeName: string, json: object): Buffer {
  const { value, problems } = messageFromJson(typeName, json);
  if (value === undefined) throw new Error(JSON.stringify(problems));
  return Buffer.from(toBinary(descOf(typeName), value));
}

/** The message, where the bytes are one that the checks let pass. */
function opened(typeName: string, bytes: Buffer): Message | undefined {
  const any = create(descOf("google.protobuf.Any"), { typeUrl: typeUrlOf(typeName), value: bytes } as never) as Any;
  const { value } = openAny(any, "");
  return value !== undefined && checkMessage(value).length === 0 ? value : undefined;
}

const request = (): HeaderMap =>
  HeaderMap.of({ ":method": "GET", ":path": "/x?y=z", ":authority": "a:80", ":scheme": "http", x: "y" });

const RBAC_TYPE = "envoy.config.rbac.v3.RBAC";

export const rbac: FuzzTarget = {
  name: "rbac",
  dictionary: ["\x1a", "\x0a\x00", "\x18\x01", "x", "/", "(a+)+$", ".*", "10.0.0.0", ":path"],
  seeds: [
    {
      policies: {
        a: {
          permissions: [
            {
              and_rules: { rules: [{ header: { name: "x", string_match: { exact: "y" } } }, { destination_port: 80 }] },
            },
            { not_rule: { any: true } },
          ],
          principals: [
            { authenticated: { principal_name: { suffix: "/sa/x" } } },
            { direct_remote_ip: { address_prefix: "10.0.0.0", prefix_len: 8 } },
          ],
        },
      },
    },
    {
      action: "DENY",
      policies: {
        b: { permissions: [{ url_path: { path: { safe_regex: { regex: "/x.*" } } } }], principals: [{ any: true }] },
      },
    },
    {
      policies: {
        c: {
          permissions: [
            {
              metadata: {
                filter: "f",
                path: [{ key: "k" }],
                value: { list_match: { one_of: { present_match: true } } },
              },
            },
          ],
          principals: [{ or_ids: { ids: [{ any: true }] } }],
        },
      },
    },
  ].map((json) => bytesOf(RBAC_TYPE, json)),
  run(bytes) {
    const message = opened(RBAC_TYPE, bytes);
    if (message === undefined) return;
    const problems: Problem[] = [];
    const rules = parseRbacRules(new MessageReader(message as RBAC, "", problems));
    if (rules === undefined && problems.length === 0) throw new Error("refused without a problem");
    for (const { matches } of rules?.policies ?? []) matches(request(), new StreamInfo());
  },
};

const ROUTE_TYPE = "envoy.config.route.v3.RouteConfiguration";
const filters = standardHttpFilters().all;

export const routes: FuzzTarget = {
  name: "routes",
  dictionary: ["*", "*.a", "a.*", "/", "/x", "(a|b)*", "%REQ(x)%", "{a}", "\x0a\x01", "\x12\x00", "x-y"],
  seeds: [
    {
      name: "a",
      virtual_hosts: [
        {
          name: "v",
          domains: ["*"],
          routes: [
            {
              match: { prefix: "/" },
              route: { cluster: "c", prefix_rewrite: "/z", retry_policy: { retry_on: "5xx", num_retries: 2 } },
            },
          ],
        },
      ],
    },
    {
      name: "b",
      virtual_hosts: [
        {
          name: "v",
          domains: ["a:80", "*.b"],
          routes: [
            {
              match: {
                safe_regex: { regex: "/x.*" },
                headers: [{ name: "x", string_match: { prefix: "y" } }],
                query_parameters: [{ name: "y", present_match: true }],
              },
              route: {
                weighted_clusters: {
                  clusters: [
                    { name: "c", weight: 1 },
                    { name: "d", weight: 3 },
                  ],
                },
                hash_policy: [{ header: { header_name: "x" } }],
              },
            },
            { match: { path: "/r" }, redirect: { host_redirect: "h", strip_query: true } },
          ],
        },
      ],
    },
    {
      name: "c",
      virtual_hosts: [
        {
          name: "v",
          domains: ["*"],
          request_headers_to_add: [{ header: { key: "k", value: "%REQ(x)%" } }],
          routes: [{ match: { connect_matcher: {} }, direct_response: { status: 200, body: { inline_string: "b" } } }],
        },
      ],
    },
  ].map((json) => bytesOf(ROUTE_TYPE, json)),
  run(bytes) {
    const message = opened(ROUTE_TYPE, bytes);
    if (message === undefined) return;
    const { value, problems } = parseRouteConfiguration(message, { filters });
    if (value === undefined && problems.length === 0) throw new Error("refused without a problem");
    value?.match(request(), { streamRandom: 7n, info: new StreamInfo() });
  },
};

const kinds = entries();

/** The first byte chooses the type. */
export const xds: FuzzTarget = {
  name: "xds",
  dictionary: ["\x0a\x00", "\x12\x02\x08\x01", "x", "envoy.filters.http.router", "type.googleapis.com/", "127.0.0.1"],
  seeds: kinds.flatMap(({ typeName }, index) =>
    basesOf(descOf(typeName)).map((base) => Buffer.concat([Buffer.of(index), toBinary(descOf(typeName), base)])),
  ),
  run(bytes) {
    const kind = kinds[(bytes[0] ?? 0) % kinds.length];
    const message = kind === undefined ? undefined : opened(kind.typeName, bytes.subarray(1));
    if (message !== undefined) kind?.parse(message);
  },
};

export const bootstrap: FuzzTarget = {
  name: "bootstrap",
  dictionary: [
    "\n",
    "\n  ",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: ",
    "node",
    "admin",
    "static_resources",
    "clusters",
    "name",
    '"',
    "'",
    "|\n",
    "0x10",
    "yes",
    "~",
    "\t",
    "!!binary ",
  ],
  seeds: [
    "node:\n  id: a\n  cluster: b\nadmin:\n  address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n",
    "static_resources:\n  clusters:\n  - name: a\n    type: STATIC\n    connect_timeout: 1s\n  listeners: []\n",
    '{"node":{"id":"a","cluster":"b"},"layered_runtime":{"layers":[{"name":"x","static_layer":{"a":1}}]}}',
  ].map((text) => Buffer.from(text)),
  run(bytes) {
    const { value, problems } = loadBootstrap(bytes.toString("utf8"));
    if (value === undefined && problems.length === 0) throw new Error("refused without a problem");
  },
};
