/** ECDS and RTDS over a real ADS stream, beside a real Envoy: both programs ask the same management server. */
import { afterAll, expect, test } from "vitest";
import type { Message } from "@bufbuild/protobuf";
import { messageFromJson } from "#protos/json.ts";
import type { DeltaDiscoveryRequest, DiscoveryRequest } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { startAdsServer } from "#proxy/xds/testing/ads-server.ts";
import { TypeUrl } from "#proxy/xds/types.ts";
import type { Json } from "./harness/case.ts";
import type { Side } from "./harness/side.ts";
import { ask, cluster, describeUpstreams, lbEndpoints, statsOf } from "./upstream-pair.ts";

const type = "type.googleapis.com/envoy.extensions";
const faultType = `${type}.filters.http.fault.v3.HTTPFault`;
const counted =
  /^(extension_config_discovery\.|runtime\.(?!num_layers|.*_rq_time|.*update_time|.*version|.*update_duration))/;
const stats =
  /(config_reload|config_fail|config_conflict|update_(attempt|success|rejected|failure)|load_(success|error)|num_keys|init_fetch_timeout)$/;

function message(name: string, json: Json): Message {
  const { value, problems } = messageFromJson(name, json);
  if (value === undefined) throw new Error(JSON.stringify(problems));
  return value;
}

const fault = (status: number): Message =>
  message("envoy.config.core.v3.TypedExtensionConfig", {
    name: "ext",
    typed_config: { "@type": faultType, abort: { http_status: status, percentage: { numerator: 100 } } },
  });
const wrongFault = message("envoy.config.core.v3.TypedExtensionConfig", {
  name: "ext",
  typed_config: { "@type": `${type}.filters.http.router.v3.Router` },
});
const layer = (layer: Json): Message => message("envoy.service.runtime.v3.Runtime", { name: "layer", layer });

/** `/runtime` is for those whom a runtime key lets through; `ext` comes over ECDS. */
function listener(): Json {
  const answers = (status: number): Json => ({ direct_response: { status } });
  const manager = {
    "@type": `${type}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "main",
    http_filters: [
      {
        name: "ext",
        config_discovery: { config_source: { ads: {}, resource_api_version: "V3" }, type_urls: [faultType] },
      },
      { name: "router", typed_config: { "@type": `${type}.filters.http.router.v3.Router` } },
    ],
    route_config: {
      name: "r",
      virtual_hosts: [
        {
          name: "v",
          domains: ["*"],
          routes: [
            {
              match: {
                prefix: "/runtime",
                runtime_fraction: { default_value: { numerator: 0 }, runtime_key: "routes.share" },
              },
              ...answers(201),
            },
            { match: { prefix: "/" }, ...answers(200) },
          ],
        },
      ],
    },
  };
  return {
    name: "main",
    address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
    filter_chains: [{ filters: [{ name: "http", typed_config: manager }] }],
  };
}

for (const [api, isDelta] of [
  ["DELTA_GRPC", true],
  ["GRPC", false],
] as const) {
  const server = await startAdsServer();
  server.set(TypeUrl.extensionConfig, [fault(418)]);
  server.set(TypeUrl.runtime, [layer({ "routes.share": 0, other: "text" })]);
  afterAll(() => server.close());
  describeUpstreams(
    `ECDS and RTDS over ${api}, beside a real Envoy`,
    () =>
      Promise.resolve({
        node: { id: "sidecar~127.0.0.1~a~a", cluster: "a" },
        dynamic_resources: {
          ads_config: {
            api_type: api,
            transport_api_version: "V3",
            grpc_services: [{ envoy_grpc: { cluster_name: "ads" } }],
          },
        },
        layered_runtime: {
          layers: [
            { name: "fixed", static_layer: { fixed: 1 } },
            { name: "dynamic", rtds_layer: { name: "layer", rtds_config: { ads: {}, resource_api_version: "V3" } } },
          ],
        },
        static_resources: {
          listeners: [listener()],
          clusters: [
            cluster("ads", [{ lb_endpoints: lbEndpoints(server.address) }], {
              typed_extension_protocol_options: {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                  "@type": `${type}.upstreams.http.v3.HttpProtocolOptions`,
                  explicit_http_config: { http2_protocol_options: {} },
                },
              },
            }),
          ],
        },
      }),
    (both) => {
      const both2 = async (path: string, status: number): Promise<void> => {
        await expect
          .poll(() => Promise.all(both().map((side) => ask(side, path))), { timeout: 10_000 })
          .toEqual([status, status]);
      };
      const seen = async (side: Side) =>
        Object.fromEntries(Object.entries(await statsOf(side, counted)).filter(([name]) => stats.test(name)));
      // Over delta Envoy counts an attempt that its subscriber refuses twice.
      const countedTwice = isDelta ? "extension_config_discovery.http_filter.ext.update_attempt" : "";
      const sameStats = async (): Promise<void> => {
        const differing = async (): Promise<readonly string[]> => {
          const [envoy = {}, ours = {}] = await Promise.all(both().map(seen));
          const names = [...new Set([...Object.keys(envoy), ...Object.keys(ours)])].filter(
            (name) => envoy[name] !== ours[name] && name !== countedTwice,
          );
          return names.map((name) => `${name}: Envoy ${envoy[name]}, ours ${ours[name]}`);
        };
        await expect.poll(differing, { timeout: 5000 }).toEqual([]);
      };
      const refused = (typeUrl: string): number =>
        server.requests.filter(
          (request: DiscoveryRequest | DeltaDiscoveryRequest) =>
            request.typeUrl === typeUrl && request.errorDetail !== undefined,
        ).length;

      test("the first configuration and the first layer are there before the listener serves", async () => {
        await both2("/", 418);
        await sameStats();
      });

      test("updates take effect, and those of another kind leave it alone", async () => {
        server.set(TypeUrl.extensionConfig, [fault(404)]);
        await both2("/", 404);
        server.set(TypeUrl.runtime, [layer({ "routes.share": 100 })]);
        await sameStats();
        await both2("/runtime", 404);
        await sameStats();
      });

      test("a configuration that can't be used is refused, and the one before stays", async () => {
        server.set(TypeUrl.extensionConfig, [wrongFault]);
        await expect.poll(() => refused(TypeUrl.extensionConfig), { timeout: 10_000 }).toBeGreaterThanOrEqual(2);
        await both2("/", 404);
        await sameStats();
      });

      test("a runtime key decides about a route once the filter lets requests through", async () => {
        const quiet = message("envoy.config.core.v3.TypedExtensionConfig", {
          name: "ext",
          typed_config: { "@type": faultType },
        });
        server.set(TypeUrl.extensionConfig, [quiet]);
        await both2("/", 200);
        await both2("/runtime", 201);
        server.set(TypeUrl.runtime, [layer({ "routes.share": 0 })]);
        await both2("/runtime", 200);
        await sameStats();
      });

      test.runIf(isDelta)("what is removed is no longer in force", async () => {
        server.set(TypeUrl.runtime, []);
        server.set(TypeUrl.extensionConfig, []);
        await both2("/", 500);
        await sameStats();
      });
    },
  );
}
