import { describe, expect, test } from "vitest";
import { messageFromJson } from "#protos/json.ts";
import { MessageReader } from "#protos/reader.ts";
import type { Problem } from "#lib/problem.ts";
import type { StatsConfig } from "#protos/gen/envoy/config/metrics/v3/stats_pb.js";
import { DEFAULT_BUCKETS, formatPrometheus } from "./prometheus.ts";
import { parseStatsMatcher } from "./stats-matcher.ts";
import { formatStatsJson, formatStatsText, type HistogramMode } from "./stats-page.ts";
import { createStatsStore } from "./stats-store.ts";
import { createTagger, defaultTagRules, parseTagRules, type TagRules } from "./stats-tags.ts";

function tagged(name: string, rules: TagRules = defaultTagRules()): string {
  const store = createStatsStore();
  store.root.counter(name);
  const [counter] = store.counters();
  if (counter === undefined) throw new Error("no counter");
  const { name: extracted, labels } = createTagger(rules)(counter);
  return `${extracted}{${labels.map(([key, value]) => `${key}=${value}`).join(",")}}`;
}

function statsConfig(json: unknown): { reader: MessageReader<StatsConfig>; problems: Problem[] } {
  const { value, problems } = messageFromJson("envoy.config.metrics.v3.StatsConfig", json);
  expect(problems).toEqual([]);
  const found: Problem[] = [];
  return { reader: new MessageReader(value as StatsConfig, "stats_config", found), problems: found };
}

describe("tags", () => {
  test.each([
    ["cluster.one.upstream_rq_200", "cluster.upstream_rq{envoy_response_code=200,envoy_cluster_name=one}"],
    [
      "cluster.one.external.upstream_rq_2xx",
      "cluster.external.upstream_rq_xx{envoy_response_code_class=2,envoy_cluster_name=one}",
    ],
    ["http.ingress.downstream_rq_total", "http.downstream_rq_total{envoy_http_conn_manager_prefix=ingress}"],
    [
      "listener.127.0.0.1_18080.http.ingress.downstream_rq_2xx",
      "listener.http.downstream_rq_xx{envoy_response_code_class=2,envoy_http_conn_manager_prefix=ingress,envoy_listener_address=127.0.0.1_18080}",
    ],
    [
      "listener.127.0.0.1_18080.worker_0.downstream_cx_total",
      "listener.worker_downstream_cx_total{envoy_worker_id=0,envoy_listener_address=127.0.0.1_18080}",
    ],
    ["listener.admin.downstream_cx_total", "listener.admin.downstream_cx_total{}"],
    ["tcp.p.downstream_cx_total", "tcp.downstream_cx_total{envoy_tcp_prefix=p}"],
    ["cluster_manager.cluster_added", "cluster_manager.cluster_added{}"],
    ["listener.[__1]_80.no_filter_chain_match", "listener.no_filter_chain_match{envoy_listener_address=[__1]_80}"],
    [
      "vhost.v.vcluster.c.upstream_rq_total",
      "vhost.vcluster.upstream_rq_total{envoy_virtual_cluster=c,envoy_virtual_host=v}",
    ],
  ])("%s", (name, expected) => {
    expect(tagged(name)).toBe(expected);
  });

  test("the bootstrap's own tags, as Istio writes them, come in place of the defaults", () => {
    const { reader, problems } = statsConfig({
      use_all_default_tags: false,
      stats_tags: [
        { tag_name: "cluster_name", regex: "^cluster\\.((.+?(\\..+?\\.svc\\.cluster\\.local)?)\\.)" },
        { tag_name: "mesh", fixed_value: "m" },
        { tag_name: "envoy.tcp_prefix" },
      ],
    });
    const rules = parseTagRules(reader);
    expect(problems).toEqual([]);
    expect(tagged("cluster.outbound|80||a.default.svc.cluster.local.upstream_rq_200", rules)).toBe(
      "cluster.upstream_rq_200{cluster_name=outbound|80||a.default.svc.cluster.local,mesh=m}",
    );
    expect(tagged("tcp.p.x", rules)).toBe("tcp.x{envoy_tcp_prefix=p,mesh=m}");
  });

  test.each([
    [{ tag_name: "a", regex: "(" }, "RE2"],
    [{ tag_name: "a", regex: "^abc" }, "needs a group"],
    [{ tag_name: "a" }, "no default regex for name: 'a'"],
  ])("%j is refused", (specifier, message) => {
    const { reader, problems } = statsConfig({ stats_tags: [specifier] });
    parseTagRules(reader);
    expect(problems[0]?.message).toContain(message);
  });
});

describe("stats_matcher", () => {
  test("Istio's inclusion list keeps prefixes, suffixes and expressions", () => {
    const { reader, problems } = statsConfig({
      stats_matcher: {
        inclusion_list: {
          patterns: [
            { prefix: "istiocustom" },
            { suffix: "downstream_cx_active" },
            { safe_regex: { regex: "vhost\\..*\\.route\\..*" } },
          ],
        },
      },
    });
    const matcher = reader.child("statsMatcher");
    const keeps = matcher && parseStatsMatcher(matcher);
    expect(problems).toEqual([]);
    const names = ["istiocustom.x", "http.a.downstream_cx_active", "vhost.a.route.b.c", "cluster.a.x", "vhost.a.x"];
    expect(names.map((name) => keeps?.(name))).toEqual([true, true, true, false, false]);
  });
});

describe("output", () => {
  const store = createStatsStore();
  store.root.counter("cluster.one.upstream_rq_200").add(2);
  store.root.counter("cluster.two.upstream_rq_200").add(1);
  store.root.counter("server.unused");
  store.root.gauge("server.live").set(1);
  store.root.text("cds.version").value = 'v"1"';
  const istio = store.root.scope("istiocustom");
  istio
    .labelled("istio_requests_total", [
      ["reporter", "source"],
      ["a", 'b"\\'],
    ])
    .inc();
  for (const value of [0, 1, 20]) store.root.histogram("http.in.downstream_rq_time").record(value);
  store.root.histogram("http.in.downstream_cx_length_ms");
  store.flush();
  const tagsOf = createTagger(defaultTagRules());
  const options = { tagsOf, includes: () => true, bucketsOf: () => [1, 10, 25], textReadouts: false, summaries: false };

  test("Prometheus: one TYPE line a name, Istio's names without envoy_, values escaped", () => {
    expect(formatPrometheus(store, { ...options, includes: ({ isUsed }) => isUsed }))
      .toBe(`# TYPE envoy_cluster_upstream_rq counter
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="one"} 2
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="two"} 1
# TYPE istio_requests_total counter
istio_requests_total{reporter="source",a="b\\"\\\\"} 1
# TYPE envoy_server_live gauge
envoy_server_live{} 1
# TYPE envoy_http_downstream_rq_time histogram
envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix="in",le="1"} 2
envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix="in",le="10"} 2
envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix="in",le="25"} 3
envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix="in",le="+Inf"} 3
envoy_http_downstream_rq_time_sum{envoy_http_conn_manager_prefix="in"} 21
envoy_http_downstream_rq_time_count{envoy_http_conn_manager_prefix="in"} 3
`);
  });

  test("Prometheus: text readouts when asked", () => {
    const text = formatPrometheus(store, { ...options, textReadouts: true });
    expect(text).toContain('envoy_cds_version{text_value="v\\"1\\""} 0\n');
  });

  const page = (histograms: HistogramMode) => ({
    includes: ({ name }: { readonly name: string }) =>
      name.startsWith("http.") || name.startsWith("cluster.one") || name.startsWith("cds"),
    type: "All" as const,
    histograms,
    bucketsOf: () => DEFAULT_BUCKETS,
  });

  test("text: summary", () => {
    expect(formatStatsText(store, page("summary"))).toBe(`cds.version: "v&quot;1&quot;"
cluster.one.upstream_rq_200: 2
http.in.downstream_cx_length_ms: No recorded values
http.in.downstream_rq_time: P0(0,0) P25(0,0) P50(1.05,1.05) P75(20.5,20.5) P90(20.5,20.5) P95(20.5,20.5) P99(20.5,20.5) P99.5(20.5,20.5) P99.9(20.5,20.5) P100(20.5,20.5)
`);
  });

  test("text: buckets as Envoy names them", () => {
    expect(formatStatsText(store, page("disjoint"))).toContain(
      "B0.5(1,1) B1(1,1) B5(0,0) B10(0,0) B25(1,1) B50(0,0) B100(0,0) B250(0,0) B500(0,0) B1000(0,0) B2500(0,0) B5000(0,0) B10000(0,0) B30000(0,0) B60000(0,0) B300000(0,0) B600000(0,0) B1.8e+06(0,0) B3.6e+06(0,0)\n",
    );
    expect(formatStatsText(store, page("detailed"))).toContain("totals=0,0:1, 1,0.1:1, 20,1:1\n");
  });

  test("JSON: quantiles, null where nothing was recorded", () => {
    const { stats } = JSON.parse(formatStatsJson(store, page("summary"))) as { stats: unknown[] };
    expect(stats[1]).toEqual({ name: "cluster.one.upstream_rq_200", value: 2 });
    expect(stats[2]).toMatchObject({
      histograms: {
        supported_quantiles: [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100],
        computed_quantiles: [
          { name: "http.in.downstream_cx_length_ms", values: Array(10).fill({ cumulative: null, interval: null }) },
          { name: "http.in.downstream_rq_time" },
        ],
      },
    });
  });
});
