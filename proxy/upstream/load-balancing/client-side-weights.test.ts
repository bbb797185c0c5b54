import { describe, expect, test } from "vitest";
import { HeaderMap } from "../../http/header-map.ts";
import { createWorld, staticCluster, type World } from "../testing/world.ts";
import { orcaReportOf } from "./orca-report.ts";

const type = "type.googleapis.com/envoy.extensions.load_balancing_policies";
const policyOf = (typedConfig: object): object => ({
  loadBalancingPolicy: { policies: [{ typedExtensionConfig: { name: "p", typedConfig } }] },
});
const clientSide = (fields: object = {}): object => ({
  "@type": `${type}.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin`,
  ...fields,
});
const report = (value: string): HeaderMap => HeaderMap.of([["endpoint-load-metrics", value]]);

/** The share of requests that each of the hosts gets. */
function shares(world: World, count = 3000): number[] {
  const hosts = [...world.cluster("c").hosts()];
  const hits = hosts.map(() => 0);
  for (let i = 0; i < count; i++) {
    const chosen = world.cluster("c").chooseHost({});
    const at = hosts.findIndex((host) => host === chosen);
    hits[at] = (hits[at] ?? 0) + 1;
  }
  return hits.map((hit) => Math.round((hit / count) * 100) / 100);
}

describe("client_side_weighted_round_robin", () => {
  function setUp(fields: object = {}): World {
    const world = createWorld();
    expect(world.add(staticCluster("c", ["10.0.0.1:80", "10.0.0.2:80"], policyOf(clientSide(fields))))).toEqual([]);
    return world;
  }
  function tell(world: World, ...values: string[]): void {
    shares(world, 2);
    for (const [index, host] of [...world.cluster("c").hosts()].entries())
      if (values[index] !== undefined) host.onLoadReport?.(report(values[index]));
  }

  test("without reports all hosts are alike", () => {
    expect(shares(setUp())).toEqual([0.5, 0.5]);
  });

  test("weights are requests by utilization, once reports have come for the blackout period", async () => {
    const world = setUp();
    tell(world, "TEXT application_utilization=0.9,rps_fractional=100", "TEXT cpu_utilization=0.3,rps_fractional=100");
    expect(shares(world)).toEqual([0.5, 0.5]);
    await world.runtime.advance(10_001);
    expect(shares(world)).toEqual([0.25, 0.75]);
  });

  test("errors cost weight, silence ends it", async () => {
    const world = setUp({ blackoutPeriod: "0s", errorUtilizationPenalty: 2, weightExpirationPeriod: "20s" });
    tell(world, "TEXT cpu_utilization=0.1,rps_fractional=10,eps=1", "TEXT cpu_utilization=0.1,rps_fractional=10");
    await world.runtime.advance(1001);
    expect(shares(world)).toEqual([0.25, 0.75]);
    await world.runtime.advance(20_001);
    expect(shares(world)).toEqual([0.5, 0.5]);
  });

  test("a host that does not report is taken for an average one", async () => {
    const world = setUp({ blackoutPeriod: "0s" });
    tell(world, 'JSON {"cpu_utilization":0.5,"rps_fractional":7}');
    await world.runtime.advance(1001);
    expect(shares(world)).toEqual([0.5, 0.5]);
  });

  test("reports out of band are refused", () => {
    const cluster = staticCluster("c", ["10.0.0.1:80"], policyOf(clientSide({ enableOobLoadReport: true })));
    expect(createWorld().add(cluster)[0]?.path).toContain("enable_oob_load_report");
  });
});

describe("endpoint-load-metrics", () => {
  test("text, JSON and bytes say the same", () => {
    const expected = { cpuUtilization: 0.5, rps: 4, eps: 1, named: new Map([["named_metrics.a", 2]]) };
    expect(orcaReportOf(report("TEXT cpu_utilization=0.5,rps_fractional=4,eps=1,named_metrics.a=2"))).toMatchObject(
      expected,
    );
    const json = JSON.stringify({ cpu_utilization: 0.5, rps_fractional: 4, eps: 1, named_metrics: { a: 2 } });
    expect(orcaReportOf(report(`JSON ${json}`))).toMatchObject(expected);
    const double = (tag: number, value: number): Buffer => {
      const bytes = Buffer.alloc(9);
      bytes[0] = tag;
      bytes.writeDoubleLE(value, 1);
      return bytes;
    };
    const entry = Buffer.concat([Buffer.from([0x0a, 1, 0x61]), double(0x11, 2)]);
    const bytes = Buffer.concat([
      double(0x09, 0.5),
      double(0x31, 4),
      double(0x39, 1),
      Buffer.from([0x42, entry.length]),
      entry,
    ]);
    expect(orcaReportOf(report(`BIN ${bytes.toString("base64")}`))).toMatchObject(expected);
    expect(orcaReportOf(HeaderMap.of([["endpoint-load-metrics-bin", bytes.toString("base64")]]))).toMatchObject(
      expected,
    );
  });

  test.each([
    "",
    "TEXT",
    "TEXT a=b",
    "TEXT cpu_utilization=",
    "TEXT eps=1=2",
    "JSON {",
    "JSON null",
    "BIN CQ==",
    "XML <a/>",
    "TEXT __proto__=1",
  ])("%j is no report", (value) => {
    expect(orcaReportOf(report(value))).toBeUndefined();
  });
});

describe("typed policies within others", () => {
  test("wrr_locality splits by the weights of localities and takes only client side weights within", () => {
    const world = createWorld();
    const wrr = (inner: object): object => ({
      "@type": `${type}.wrr_locality.v3.WrrLocality`,
      endpointPickingPolicy: { policies: [{ typedExtensionConfig: { name: "i", typedConfig: inner } }] },
    });
    expect(world.add(staticCluster("c", ["10.0.0.1:80"], policyOf(wrr(clientSide()))))).toEqual([]);
    expect(world.cluster("c").config.balancing.isLocalityWeighted).toBe(true);
    const random = { "@type": `${type}.random.v3.Random` };
    expect(world.add(staticCluster("d", ["10.0.0.1:80"], policyOf(wrr(random))))[0]?.message).toContain(
      "only client_side",
    );
  });

  test("the typed subset policy is the classic one", () => {
    const world = createWorld();
    const subset = {
      "@type": `${type}.subset.v3.Subset`,
      fallbackPolicy: "ANY_ENDPOINT",
      subsetSelectors: [{ keys: ["version"] }],
      subsetLbPolicy: {
        policies: [{ typedExtensionConfig: { name: "r", typedConfig: { "@type": `${type}.random.v3.Random` } } }],
      },
    };
    expect(world.add(staticCluster("c", ["10.0.0.1:80"], policyOf(subset)))).toEqual([]);
    expect(world.cluster("c").config).toMatchObject({
      policy: { kind: "random" },
      subsets: { fallback: "any-endpoint", selectors: [{ keys: ["version"] }] },
    });
  });

  test("a list without a known policy names what it holds", () => {
    const unknown = { "@type": `${type}.pick_first.v3.PickFirst` };
    const [problem] = createWorld().add(staticCluster("c", ["10.0.0.1:80"], policyOf(unknown)));
    expect(problem?.message).toContain("no policy of load_balancing_policy is known here: p");
  });
});
