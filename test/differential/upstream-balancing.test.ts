/** Where requests go, beside a real Envoy: zones, aggregates, subsets, drops; shares of many requests. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, expect, test } from "vitest";
import type { Json } from "./harness/case.ts";
import type { Side } from "./harness/side.ts";
import { ask, byPath, cluster, describeUpstreams, hostsOf, lbEndpoints, statsOf } from "./upstream-pair.ts";

const server = createServer((_request, response) => response.end("ok"));
await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
const { port } = server.address() as AddressInfo;
afterAll(() => server.close().closeAllConnections());

const type = "type.googleapis.com/envoy.extensions";
const host = (number: number): string => `127.0.0.${number}:${port}`;
const zone = (name: string, hosts: readonly Json[], more: Json = {}): Json => ({
  locality: { region: "r", zone: name },
  lb_endpoints: hosts,
  ...more,
});
const sick = (one: Json): Json => ({ ...one, health_status: "UNHEALTHY" });
const [two, three] = lbEndpoints(host(31), host(32));

const zoned = (sizes: readonly number[]): Json[] =>
  sizes.map((size, z) =>
    zone(`z${z + 1}`, lbEndpoints(...Array.from({ length: size }, (_value, i) => host(10 * (z + 1) + i)))),
  );
const names = ["direct", "residual", "small", "weighted", "all", "spill", "subset"];
const typed = (typed_config: Json): Json => ({
  load_balancing_policy: { policies: [{ typed_extension_config: { name: "p", typed_config } }] },
});
const aggregate = (name: string, clusters: readonly string[]): Json => ({
  name,
  lb_policy: "CLUSTER_PROVIDED",
  cluster_type: {
    name: "envoy.clusters.aggregate",
    typed_config: { "@type": `${type}.clusters.aggregate.v3.ClusterConfig`, clusters },
  },
});

async function askOften(side: Side, name: string, count: number): Promise<Readonly<Record<number, number>>> {
  const statuses: Record<number, number> = {};
  for (let sent = 0; sent < count; sent += 20) {
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(side, `/${name}/`)));
    for (const status of answers) statuses[status] = (statuses[status] ?? 0) + 1;
  }
  return statuses;
}

describeUpstreams(
  "balancing, beside a real Envoy",
  () =>
    Promise.resolve({
      node: { id: "n", cluster: "n", locality: { region: "r", zone: "z1" } },
      cluster_manager: { local_cluster_name: "me" },
      static_resources: {
        listeners: [byPath([...names, "half"])],
        clusters: [
          cluster("me", zoned([2, 1, 1])),
          cluster("direct", zoned([4, 2, 2])),
          cluster("residual", zoned([2, 4, 4])),
          cluster("small", zoned([3, 1, 1])),
          cluster(
            "weighted",
            [
              zone("z1", lbEndpoints(host(10), host(11)), { load_balancing_weight: 1 }),
              zone("z2", lbEndpoints(host(20)), { load_balancing_weight: 3 }),
            ],
            { common_lb_config: { locality_weighted_lb_config: {} } },
          ),
          cluster("one", [{ lb_endpoints: [two, sick(three as Json)] }]),
          cluster("other", [{ lb_endpoints: lbEndpoints(host(40)) }]),
          aggregate("all", ["one", "other"]),
          cluster("spill", [
            { priority: 0, lb_endpoints: [two, sick(three as Json)] },
            { priority: 1, lb_endpoints: lbEndpoints(host(41)) },
          ]),
          cluster(
            "subset",
            [{ lb_endpoints: lbEndpoints(host(50), host(51)) }],
            typed({
              "@type": `${type}.load_balancing_policies.subset.v3.Subset`,
              fallback_policy: "ANY_ENDPOINT",
              subset_selectors: [{ keys: ["version"] }],
              subset_lb_policy: {
                policies: [
                  {
                    typed_extension_config: {
                      name: "r",
                      typed_config: { "@type": `${type}.load_balancing_policies.round_robin.v3.RoundRobin` },
                    },
                  },
                ],
              },
            }),
          ),
          {
            ...cluster("half", []),
            load_assignment: {
              cluster_name: "half",
              endpoints: [{ lb_endpoints: lbEndpoints(host(60)) }],
              policy: { drop_overloads: [{ category: "c", drop_percentage: { numerator: 50 } }] },
            },
          },
        ],
      },
    }),
  (both) => {
    /** The share of each host, of all requests to the cluster (or to the clusters that it stands for). */
    async function shares(side: Side, name: string, owners: readonly string[]): Promise<Map<string, number>> {
      const statuses = await askOften(side, name, 600);
      expect(statuses, side.name).toEqual({ 200: 600 });
      const all = await Promise.all(owners.map((owner) => hostsOf(side, owner)));
      return new Map(
        all.flatMap((hosts) => Object.entries(hosts).map(([address, { requests }]) => [address, requests / 600])),
      );
    }

    test.each<[string, readonly string[]]>([
      ["direct", ["direct"]],
      ["residual", ["residual"]],
      ["small", ["small"]],
      ["weighted", ["weighted"]],
      ["all", ["one", "other"]],
      ["spill", ["spill"]],
      ["subset", ["subset"]],
    ])(
      "%s",
      async (name, owners) => {
        const [envoy, ours] = await Promise.all(both().map((side) => shares(side, name, owners)));
        expect([...(ours ?? [])].length).toBe(envoy?.size);
        for (const [address, share] of envoy ?? [])
          expect(Math.abs((ours?.get(address) ?? -1) - share), `${address}: ${share}`).toBeLessThan(0.09);
      },
      20_000,
    );

    test("the same decisions are counted", async () => {
      const [envoy, ours] = await Promise.all(
        both().map((side) => statsOf(side, /lb_(zone_(cluster_too_small|routing)|local_cluster_not_ok)/)),
      );
      const direct = "cluster.direct.lb_zone_routing_all_directly";
      expect([ours?.[direct], envoy?.[direct]]).toEqual([600, 600]);
      for (const name of ["sampled", "cross_zone"]) {
        const stat = `cluster.residual.lb_zone_routing_${name}`;
        expect(Math.abs((ours?.[stat] ?? 0) - (envoy?.[stat] ?? 0)), stat).toBeLessThan(90);
      }
      const small = "cluster.small.lb_zone_cluster_too_small";
      expect((ours?.[small] ?? 0) > 0).toBe((envoy?.[small] ?? 0) > 0);
    });

    test("drop_overloads drops its share", async () => {
      for (const side of both()) {
        const statuses = await askOften(side, "half", 400);
        expect(Math.abs((statuses[503] ?? 0) - 200), side.name).toBeLessThan(60);
      }
    }, 20_000);
  },
);
