/** The dynamic forward proxy beside a real Envoy: its filter, its cluster, its cache of names. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, expect, test } from "vitest";
import type { Json } from "./harness/case.ts";
import { ask, byPath, describeUpstreams, statsOf } from "./upstream-pair.ts";

const server = createServer((request, response) => {
  response.writeHead(request.headers.host?.startsWith("a.") === true ? 421 : 200).end("ok");
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as AddressInfo;
afterAll(() => server.close().closeAllConnections());

const type = "type.googleapis.com/envoy.extensions";
const cache = { name: "names", dns_lookup_family: "V4_ONLY", max_hosts: 5 };

function withFilter(listener: Json): Json {
  const text = JSON.stringify(listener);
  const filter = {
    name: "dfp",
    typed_config: { "@type": `${type}.filters.http.dynamic_forward_proxy.v3.FilterConfig`, dns_cache_config: cache },
  };
  const rewrite = {
    dfp: {
      "@type": `${type}.filters.http.dynamic_forward_proxy.v3.PerRouteConfig`,
      host_rewrite_literal: `localhost:${port}`,
    },
  };
  return JSON.parse(
    text
      .replace('"http_filters":[', `"http_filters":[${JSON.stringify(filter)},`)
      .replace(
        '"routes":[',
        `"routes":[${JSON.stringify({ match: { prefix: "/fixed/" }, route: { cluster: "names" }, typed_per_filter_config: rewrite })},`,
      ),
  ) as Json;
}

describeUpstreams(
  "dynamic forward proxy, beside a real Envoy",
  () =>
    Promise.resolve({
      static_resources: {
        listeners: [withFilter(byPath(["names"]))],
        clusters: [
          {
            name: "names",
            lb_policy: "CLUSTER_PROVIDED",
            cluster_type: {
              name: "envoy.clusters.dynamic_forward_proxy",
              typed_config: {
                "@type": `${type}.clusters.dynamic_forward_proxy.v3.ClusterConfig`,
                dns_cache_config: cache,
              },
            },
          },
        ],
      },
    }),
  (both) => {
    test.each<[string, string]>([
      ["/names/", `localhost:${port}`],
      ["/names/", `localhost:${port}`],
      ["/names/", `127.0.0.1:${port}`],
      ["/names/", `LOCALHOST:${port}`],
      ["/fixed/", "a.test"],
      ["/names/", "nobody.invalid"],
      ["/names/", "127.0.0.1:1"],
      ["/names/", `127.0.0.2:${port}`],
      ["/names/", "one-too-many.invalid"],
    ])(
      "%s of %s",
      async (path, host) => {
        const [envoy, ours] = await Promise.all(both().map((side) => ask(side, path, host)));
        expect(ours).toBe(envoy);
      },
      15_000,
    );

    test("what the cache counted", async () => {
      // What counts as a failed query is the resolver's affair: c-ares there, the system's here.
      const pattern = /^dns_cache\.names\.(host_(added|overflow)|num_hosts|dns_rq_pending_overflow)$/;
      const [envoy, ours] = await Promise.all(both().map((side) => statsOf(side, pattern)));
      expect(ours).toEqual(envoy);
    });
  },
);
