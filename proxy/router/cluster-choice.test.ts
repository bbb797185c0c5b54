import { describe, expect, test } from "vitest";
import type { Cluster } from "../upstream/types.ts";
import { clusterFor, match, problemsOf, tableOf, tableOfRoutes } from "./testing/routes.ts";
import type { ForwardRoute } from "./types.ts";

const to = (cluster: string, extra: object = {}): object => ({ route: { cluster, ...extra } });
const all = { prefix: "/" };

describe("choice of the cluster", () => {
  test("R-28: cluster_header", () => {
    const table = tableOfRoutes([
      { match: all, route: { clusterHeader: "X-Cluster", clusterNotFoundResponseCode: "NOT_FOUND" } },
    ]);
    expect(clusterFor(table, { "x-cluster": "a" })).toBe("a");
    expect(match(table)).toMatchObject({ clusterName: "", clusterNotFoundStatus: 404 });
  });

  const weighted = (extra: object = {}): ReturnType<typeof tableOf> =>
    tableOfRoutes([
      {
        match: all,
        route: {
          weightedClusters: {
            clusters: [
              { name: "a", weight: 30 },
              { name: "b", weight: 70 },
            ],
            ...extra,
          },
        },
      },
    ]);

  test("R-29: weights share the stream's random value", () => {
    const found = [0n, 29n, 30n, 99n, 100n, 2n ** 64n - 1n].map((random) => clusterFor(weighted(), {}, random));
    expect(found).toEqual(["a", "a", "b", "b", "a", "a"]);
  });

  test("R-29: a header may give the value, where it appears once and is a number", () => {
    const table = weighted({ headerName: "x-random" });
    expect(clusterFor(table, { "x-random": "42" }, 0n)).toBe("b");
    expect(clusterFor(table, { "x-random": "many" }, 0n)).toBe("a");
    expect(clusterFor(table, {}, 0n)).toBe("a");
  });

  test("R-29: weights of zero together are refused", () => {
    const none = {
      virtualHosts: [
        {
          name: "v",
          domains: ["*"],
          routes: [{ match: all, route: { weightedClusters: { clusters: [{ name: "a", weight: 0 }] } } }],
        },
      ],
    };
    expect(problemsOf(none)).toEqual([
      expect.stringContaining("Sum of weights in the weighted_cluster must be greater than 0"),
    ]);
  });

  test("R-30: one object for each cluster, whatever the request", () => {
    const table = weighted();
    expect(match(table, {}, 1n)).toBe(match(table, { ":path": "/other" }, 2n));
    expect(match(table, {}, 1n)).not.toBe(match(table, {}, 31n));
  });

  test("R-36: metadata_match of the weighted cluster wins over the route's", () => {
    const lb = (fields: object): object => ({ filterMetadata: { "envoy.lb": fields } });
    const table = tableOfRoutes([
      {
        match: all,
        route: {
          metadataMatch: lb({ version: "1", zone: "a" }),
          weightedClusters: { clusters: [{ name: "a", weight: 1, metadataMatch: lb({ version: "2" }) }] },
        },
      },
    ]);
    expect(match(table)).toMatchObject({ metadataMatch: { version: "2", zone: "a" } });
  });

  test("R-35: mirror policies of the route, else of the virtual host, else of the configuration", () => {
    const mirror = (cluster: string): object => ({
      requestMirrorPolicies: [{ cluster, runtimeFraction: { defaultValue: { numerator: 10 } } }],
    });
    const table = tableOfRoutes(
      [
        { match: { prefix: "/r" }, ...to("c", mirror("route")) },
        { match: all, ...to("c") },
      ],
      mirror("host"),
    );
    const names = ["/r", "/x"].map((path) =>
      (match(table, { ":path": path }) as ForwardRoute).mirrors.map((one) => one.clusterName),
    );
    expect(names).toEqual([["route"], ["host"]]);
    const [policy] = (match(table) as ForwardRoute).mirrors;
    expect([policy?.shouldMirror(9n, undefined), policy?.shouldMirror(10n, undefined)]).toEqual([true, false]);
  });

  test("X-67: unknown clusters are a problem only where they are to be validated", () => {
    const json = {
      virtualHosts: [
        {
          name: "v",
          domains: ["*"],
          routes: [
            { match: all, ...to("known") },
            { match: all, ...to("unknown") },
          ],
        },
      ],
    };
    const clusters = { get: (name: string) => (name === "known" ? ({} as Cluster) : undefined) };
    expect(problemsOf(json, { clusters })).toEqual([]);
    const expected = ["virtual_hosts[0].routes[1].route.cluster: route: unknown cluster 'unknown'"];
    expect(problemsOf(json, { clusters, validateClusters: true })).toEqual(expected);
    expect(problemsOf({ ...json, validateClusters: true }, { clusters })).toEqual(expected);
    expect(tableOf(json).clusterNames).toEqual(["known", "unknown"]);
  });
});
