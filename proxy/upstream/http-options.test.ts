import { describe, expect, test } from "vitest";
import { HeaderMap } from "../http/header-map.ts";
import { createWorld, staticCluster } from "./testing/world.ts";

const options = (fields: object): object => ({
  typedExtensionProtocolOptions: {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
      explicitHttpConfig: { httpProtocolOptions: {} },
      ...fields,
    },
  },
});

describe("HttpProtocolOptions", () => {
  test("L-43: error_matcher says which responses are errors", () => {
    const world = createWorld();
    const header = (value: string): object => ({
      httpResponseHeadersMatch: { headers: [{ name: ":status", stringMatch: { exact: value } }] },
    });
    const errorMatcher = {
      orMatch: { rules: [header("429"), { andMatch: { rules: [header("500"), { notMatch: header("503") }] } }] },
    };
    expect(world.add(staticCluster("c", ["10.0.0.1:80"], options({ outlierDetection: { errorMatcher } })))).toEqual([]);
    const { isErrorResponse } = world.cluster("c").httpOptions;
    const judged = [200, 429, 500, 503].map((status) => isErrorResponse?.(HeaderMap.of([[":status", String(status)]])));
    expect(judged).toEqual([false, true, true, false]);
  });

  test("an error_matcher over bodies is refused", () => {
    const errorMatcher = { httpResponseGenericBodyMatch: { patterns: [{ stringMatch: "x" }] } };
    const problems = createWorld().add(
      staticCluster("c", ["10.0.0.1:80"], options({ outlierDetection: { errorMatcher } })),
    );
    expect(problems[0]).toMatchObject({ code: "unsupported-field", message: /headers of responses only/ });
  });

  test("override_auto_sni_header and max_connection_duration_jitter are read", () => {
    const world = createWorld();
    const fields = {
      commonHttpProtocolOptions: { maxConnectionDuration: "10s", maxConnectionDurationJitter: { value: 50 } },
      upstreamHttpProtocolOptions: { autoSni: true, overrideAutoSniHeader: "X-Sni" },
    };
    expect(world.add(staticCluster("c", ["10.0.0.1:80"], options(fields)))).toEqual([]);
    expect(world.cluster("c").httpOptions.autoSniHeader).toBe("x-sni");
    expect(world.cluster("c").config.http.maxConnectionDurationJitter).toBe(50);
  });
});

describe("track_cluster_stats", () => {
  test("timeout budgets and sizes are recorded for each exchange, and only where they are asked for", () => {
    const world = createWorld();
    world.add(
      staticCluster("c", ["10.0.0.1:80"], { trackClusterStats: { timeoutBudgets: true, requestResponseSizes: true } }),
    );
    world.add(staticCluster("d", ["10.0.0.1:80"]));
    expect(world.cluster("d").stats.tracked).toBeUndefined();
    world.cluster("c").stats.tracked?.onExchange({
      requestHeaders: HeaderMap.of([[":path", "/abc"]]),
      responseHeaders: HeaderMap.of([[":status", "200"]]),
      requestBytes: 7,
      responseBytes: 9,
      elapsedMs: 50,
      globalMs: 200,
      tryElapsedMs: 40,
      perTryMs: 0,
    });
    const names = world.store
      .histograms()
      .map(({ name }) => name)
      .filter((name) => /budget|upstream_r[qs]_(headers|body)/.test(name))
      .toSorted();
    expect(names).toEqual([
      "cluster.c.upstream_rq_body_size",
      "cluster.c.upstream_rq_headers_count",
      "cluster.c.upstream_rq_headers_size",
      "cluster.c.upstream_rq_timeout_budget_per_try_percent_used",
      "cluster.c.upstream_rq_timeout_budget_percent_used",
      "cluster.c.upstream_rs_body_size",
      "cluster.c.upstream_rs_headers_count",
      "cluster.c.upstream_rs_headers_size",
    ]);
  });
});
