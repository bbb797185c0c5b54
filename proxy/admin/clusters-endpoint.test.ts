import { describe, expect, test } from "vitest";
import { clustersEndpoint, type ClusterView } from "./clusters-endpoint.ts";

const threshold = { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 3 };

const cluster: ClusterView = {
  name: "outbound|80||a",
  observabilityName: "a",
  addedViaApi: true,
  edsServiceName: "a.b",
  thresholds: { default: threshold, high: threshold },
  outlier: {
    successRateAverage: -1,
    successRateEjectionThreshold: -1,
    localOriginSuccessRateAverage: -1,
    localOriginSuccessRateEjectionThreshold: -1,
  },
  hosts: [
    {
      address: { kind: "ip", address: "::1", port: 80 },
      hostname: "h",
      weight: 2,
      locality: { region: "r", zone: "", subZone: "" },
      canary: false,
      priority: 1,
      stats: {
        cxActive: 1,
        cxTotal: 2,
        cxConnectFail: 0,
        rqActive: 0,
        rqPendingActive: 0,
        rqError: 1,
        rqSuccess: 3,
        rqTimeout: 0,
        rqTotal: 4,
      },
      health: { flags: "/failed_outlier_check/failed_eds_health", eds: "UNHEALTHY" },
      successRate: 75,
      localOriginSuccessRate: -1,
    },
  ],
};

async function page(query = ""): Promise<string> {
  return (await clustersEndpoint(() => [cluster]).handle({ method: "GET", query: new URLSearchParams(query) })).body;
}

describe("/clusters", () => {
  test("as text, line by line", async () => {
    const host = "outbound|80||a::[::1]:80::";
    expect((await page()).split("\n")).toEqual([
      "outbound|80||a::observability_name::a",
      "outbound|80||a::outlier::success_rate_average::-1",
      "outbound|80||a::outlier::success_rate_ejection_threshold::-1",
      "outbound|80||a::outlier::local_origin_success_rate_average::-1",
      "outbound|80||a::outlier::local_origin_success_rate_ejection_threshold::-1",
      ...["default", "high"].flatMap((priority) => [
        `outbound|80||a::${priority}_priority::max_connections::1024`,
        `outbound|80||a::${priority}_priority::max_pending_requests::1024`,
        `outbound|80||a::${priority}_priority::max_requests::1024`,
        `outbound|80||a::${priority}_priority::max_retries::3`,
      ]),
      "outbound|80||a::added_via_api::true",
      "outbound|80||a::eds_service_name::a.b",
      `${host}cx_active::1`,
      `${host}cx_connect_fail::0`,
      `${host}cx_total::2`,
      `${host}rq_active::0`,
      `${host}rq_error::1`,
      `${host}rq_pending_active::0`,
      `${host}rq_success::3`,
      `${host}rq_timeout::0`,
      `${host}rq_total::4`,
      `${host}hostname::h`,
      `${host}health_flags::/failed_outlier_check/failed_eds_health`,
      `${host}weight::2`,
      `${host}region::r`,
      `${host}zone::`,
      `${host}sub_zone::`,
      `${host}canary::false`,
      `${host}priority::1`,
      `${host}success_rate::75`,
      `${host}local_origin_success_rate::-1`,
      "",
    ]);
  });

  test("as JSON: defaults left out, counters as text", async () => {
    const { cluster_statuses: statuses } = JSON.parse(await page("format=json")) as { cluster_statuses: unknown[] };
    expect(statuses).toMatchObject([
      {
        name: "outbound|80||a",
        added_via_api: true,
        eds_service_name: "a.b",
        circuit_breakers: { thresholds: [{ max_connections: 1024 }, { priority: "HIGH" }] },
        host_statuses: [
          {
            address: { socket_address: { address: "::1", port_value: 80 } },
            health_status: { failed_outlier_check: true, eds_health_status: "UNHEALTHY" },
            success_rate: { value: 75 },
            weight: 2,
            hostname: "h",
            priority: 1,
            locality: { region: "r" },
          },
        ],
      },
    ]);
    const [{ host_statuses: hosts } = { host_statuses: [] }] = statuses as { host_statuses: { stats: unknown[] }[] }[];
    expect(hosts[0]?.stats.slice(0, 2)).toEqual([{ name: "cx_connect_fail" }, { value: "2", name: "cx_total" }]);
    expect(hosts[0]?.stats[6]).toEqual({ type: "GAUGE", value: "1", name: "cx_active" });
    expect(JSON.stringify(statuses)).not.toContain("success_rate_ejection_threshold");
  });

  test("a cluster that talks TLS with anybody says so", async () => {
    const endpoint = clustersEndpoint(() => [{ ...cluster, isUnverified: true }]);
    const { body } = await endpoint.handle({ method: "GET", query: new URLSearchParams() });
    expect(body).toContain("\noutbound|80||a::upstream_tls_unverified::true\n");
    expect(await page()).not.toContain("unverified");
  });

  test("filter chooses by name", async () => {
    expect(await page("filter=nope")).toBe("");
    expect(await page("filter=(")).toContain("Invalid re2 regex");
  });
});
