import { describe, expect, test } from "vitest";
import { messageFromJson } from "./json.ts";
import { validateMessage } from "./validate.ts";

const any = "type.googleapis.com/envoy.extensions.filters";
const HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

function broken(typeName: string, json: object): string[] {
  const { value, problems } = messageFromJson(typeName, json);
  if (value === undefined) throw new Error(JSON.stringify(problems));
  return validateMessage(value).map(({ message }) => message.replace("Proto constraint validation failed ", ""));
}

function clusterError(json: object): string[] {
  return broken("envoy.config.cluster.v3.Cluster", { name: "a", ...json });
}

function routeError(route: object, host: object = {}): string | undefined {
  const action = "direct_response" in route ? {} : { route: { cluster: "a" } };
  const hosts = [{ name: "a", domains: ["*"], routes: [{ match: { prefix: "/" }, ...action, ...route }], ...host }];
  const [message] = broken(HCM, { stat_prefix: "a", route_config: { virtual_hosts: hosts } });
  return message?.replace(/^\(.*\| caused by /, "").replace(/\)$/, "");
}

/** Each text is what Envoy 1.40 says of the same configuration. */
describe("(validate.rules) in Envoy's words", () => {
  test.each([
    [{ name: "" }, "(ClusterValidationError.Name: value length must be at least 1 characters)"],
    [{ connect_timeout: "0s" }, "(ClusterValidationError.ConnectTimeout: value must be greater than 0s)"],
    [{ dns_refresh_rate: "0.0001s" }, "(ClusterValidationError.DnsRefreshRate: value must be greater than 1ms)"],
    [{ lb_policy: 77 }, "(ClusterValidationError.LbPolicy: value must be one of the defined enum values)"],
    [
      { common_lb_config: { healthy_panic_threshold: { value: 200 } } },
      "(ClusterValidationError.CommonLbConfig: embedded message failed validation | caused by CommonLbConfigValidationError." +
        "HealthyPanicThreshold: embedded message failed validation | caused by PercentValidationError.Value: value must be inside range [0, 100])",
    ],
    [
      { outlier_detection: { max_ejection_percent: 101 } },
      "(ClusterValidationError.OutlierDetection: embedded message failed validation | caused by OutlierDetectionValidationError." +
        "MaxEjectionPercent: value must be less than or equal to 100)",
    ],
    [
      { least_request_lb_config: { choice_count: 1 } },
      "(ClusterValidationError.LeastRequestLbConfig: embedded message failed validation | caused by LeastRequestLbConfigValidationError." +
        "ChoiceCount: value must be greater than or equal to 2)",
    ],
    [
      { load_assignment: { cluster_name: "x", endpoints: [{ lb_endpoints: [{ endpoint: { address: {} } }] }] } },
      "(ClusterValidationError.LoadAssignment: embedded message failed validation | caused by ClusterLoadAssignmentValidationError." +
        "Endpoints[0]: embedded message failed validation | caused by LocalityLbEndpointsValidationError.LbEndpoints[0]: embedded " +
        "message failed validation | caused by LbEndpointValidationError.Endpoint: embedded message failed validation | caused by " +
        'EndpointValidationError.Address: embedded message failed validation | caused by field: "address", reason: is required)',
    ],
  ])("cluster %j", (json, message) => {
    expect(clusterError(json)).toEqual([message]);
  });

  test.each([
    [{ match: {} }, 'field: "path_specifier", reason: is required'],
    [
      { match: { prefix: "/", headers: [{ name: "" }] } },
      "HeaderMatcherValidationError.Name: value length must be at least 1 characters",
    ],
    [
      { match: { path_separated_prefix: "/a/" } },
      'RouteMatchValidationError.PathSeparatedPrefix: value does not match regex pattern "^[^?#]+[^?#/]$"',
    ],
    [
      { direct_response: { status: 99 } },
      "DirectResponseActionValidationError.Status: value must be inside range [200, 600)",
    ],
    [
      { route: { cluster: "a", retry_policy: { retry_back_off: { base_interval: "0s" } } } },
      "RetryBackOffValidationError.BaseInterval: value must be greater than 0s",
    ],
    [{ route: { cluster: "a", hash_policy: [{}] } }, 'field: "policy_specifier", reason: is required'],
    [
      { route: { weighted_clusters: { clusters: [] } } },
      "WeightedClusterValidationError.Clusters: value must contain at least 1 item(s)",
    ],
    [
      { route: { cluster: "a", prefix_rewrite: "a\nb" } },
      'RouteActionValidationError.PrefixRewrite: value does not match regex pattern "^[^\\x00\\n\\r]*$"',
    ],
  ])("route %j", (json, message) => {
    expect(routeError(json)).toBe(message);
  });

  test("a list in a list names its place", () => {
    expect(routeError({}, { request_headers_to_remove: ["ok", "a\nb"] })).toBe(
      'VirtualHostValidationError.RequestHeadersToRemove[1]: value does not match regex pattern "^[^\\x00\\n\\r]*$"',
    );
  });

  test("values of a list, items that repeat, a range of durations", () => {
    expect(broken("envoy.extensions.filters.http.router.v3.Router", { strict_check_headers: ["a"] })).toEqual([
      "(RouterValidationError.StrictCheckHeaders[0]: value must be in list [x-envoy-upstream-rq-timeout-ms " +
        "x-envoy-upstream-rq-per-try-timeout-ms x-envoy-max-retries x-envoy-retry-grpc-on x-envoy-retry-on])",
    ]);
    const buckets = { match: { prefix: "a" }, buckets: [1, 1, -1] };
    expect(broken("envoy.config.metrics.v3.HistogramBucketSettings", buckets)).toEqual([
      "(HistogramBucketSettingsValidationError.Buckets[1]: repeated value must contain unique items)",
      "(HistogramBucketSettingsValidationError.Buckets[2]: value must be greater than 0)",
    ]);
    expect(broken("envoy.config.bootstrap.v3.Bootstrap", { stats_flush_interval: "0.0001s" })).toEqual([
      "(BootstrapValidationError.StatsFlushInterval: value must be inside range [1ms, 5m0s))",
    ]);
    expect(broken(HCM, { stat_prefix: "a", route_config: {}, max_request_headers_kb: 0 })).toEqual([
      "(HttpConnectionManagerValidationError.MaxRequestHeadersKb: value must be inside range (0, 8192])",
    ]);
  });

  test("a rule that newer Envoys dropped or added counts as they have it", () => {
    const cares = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";
    expect(broken(cares, {})).toEqual([]);
    expect(broken(cares, { query_tries: 0 })).toEqual([
      "(CaresDnsResolverConfigValidationError.QueryTries: value must be greater than or equal to 1)",
    ]);
  });
});

test("what is in an Any counts when asked for, with a chain of its own", () => {
  const { value } = messageFromJson("envoy.config.listener.v3.Filter", {
    name: "f",
    typed_config: { "@type": `${any}.network.tcp_proxy.v3.TcpProxy`, stat_prefix: "", cluster: "a" },
  });
  if (value === undefined) throw new Error("no filter");
  expect(validateMessage(value)).toEqual([]);
  expect(validateMessage(value, "filters[0]", { throughAny: true })).toMatchObject([
    {
      path: "filters[0].typed_config.stat_prefix",
      message:
        "Proto constraint validation failed (TcpProxyValidationError.StatPrefix: value length must be at least 1 characters)",
    },
  ]);
});
