import { describe, expect, test } from "vitest";
import { createWorld, staticCluster } from "../testing/world.ts";
import { outlierEventLine } from "./outlier-events.ts";

describe("events of outlier detection", () => {
  test("L-44: an ejection that is not enforced, one that is, and the return", async () => {
    const world = createWorld();
    const outlierDetection = {
      consecutive5xx: 1,
      consecutiveGatewayFailure: 1,
      enforcingConsecutiveGatewayFailure: 0,
      interval: "1s",
      baseEjectionTime: "1s",
      maxEjectionPercent: 100,
    };
    world.add(staticCluster("c", ["10.0.0.1:80"], { outlierDetection }));
    world.cluster("c").chooseHost({})?.outlier.putHttpStatus(503);
    await world.runtime.advance(2001);
    const events = world.lines.map((line) => JSON.parse(line.replace("outliers ", "")) as Record<string, unknown>);
    const common = { cluster_name: "c", upstream_url: "10.0.0.1:80", timestamp: expect.any(String) as string };
    expect(events).toEqual([
      {
        ...common,
        type: "CONSECUTIVE_GATEWAY_FAILURE",
        action: "EJECT",
        num_ejections: 0,
        enforced: false,
        eject_consecutive_event: {},
      },
      {
        ...common,
        type: "CONSECUTIVE_5XX",
        action: "EJECT",
        num_ejections: 1,
        enforced: true,
        eject_consecutive_event: {},
      },
      {
        ...common,
        type: "CONSECUTIVE_5XX",
        action: "UNEJECT",
        num_ejections: 1,
        enforced: false,
        secs_since_last_action: expect.stringMatching(/^[12]$/) as string,
      },
    ]);
  });

  test("ejections by rate say which rates", () => {
    const base = { action: "EJECT", host: "h", numEjections: 1, isEnforced: true, secondsSinceLast: 3.7 } as const;
    const rates = { host: 70.5, average: 97.2, threshold: 90 };
    const line = (type: "success_rate" | "failure_percentage") =>
      JSON.parse(outlierEventLine({ ...base, type, rates }, "c", 0)) as Record<string, unknown>;
    expect(line("success_rate")).toMatchObject({
      secs_since_last_action: "3",
      eject_success_rate_event: {
        host_success_rate: 70,
        cluster_average_success_rate: 97,
        cluster_success_rate_ejection_threshold: 90,
      },
    });
    expect(line("failure_percentage")).toMatchObject({ eject_failure_percentage_event: { host_success_rate: 70 } });
  });
});
