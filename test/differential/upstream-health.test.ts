/** Active health checks beside a real Envoy: what each says of the hosts, as backends change. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import type { Json } from "./harness/case.ts";
import { cluster, describeUpstreams, hostsOf, lbEndpoints, statsOf } from "./upstream-pair.ts";

type Mode = "good" | "refuses" | "fails at once" | "is degraded" | "is silent" | "wants a retry" | "closes";
let mode: Mode = "good";

const servers: Server[] = [];
async function serve(follows: boolean): Promise<number> {
  const server = createServer((_request, response) => {
    const now = follows ? mode : "good";
    if (now === "is silent") return;
    if (now === "closes") return void response.socket?.destroy();
    const status = now === "refuses" || now === "fails at once" ? 503 : now === "wants a retry" ? 500 : 200;
    const headers: Record<string, string> = {};
    if (now === "fails at once") headers["x-envoy-immediate-health-check-fail"] = "true";
    if (now === "is degraded") headers["x-envoy-degraded"] = "true";
    response.writeHead(status, headers).end("pong");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  servers.push(server);
  return (server.address() as AddressInfo).port;
}
afterAll(() => {
  for (const server of servers) server.close().closeAllConnections();
});

const check = {
  timeout: "0.15s",
  interval: "0.1s",
  no_traffic_interval: "0.1s",
  unhealthy_threshold: 2,
  healthy_threshold: 2,
};
const names = ["http", "tcp", "payload", "retry", "both", "body", "closed", "skipped"];

describeUpstreams(
  "active health checks, beside a real Envoy",
  async () => {
    const steady = `127.0.0.1:${await serve(false)}`;
    const changing = `127.0.0.1:${await serve(true)}`;
    const with_ = (name: string, more: Json, hosts = [steady, changing]): Json =>
      cluster(name, [{ lb_endpoints: lbEndpoints(...hosts) }], {
        health_checks: [{ ...check, ...more }],
      });
    const http = { path: "/" };
    const hex = (text: string): Json => ({ text: Buffer.from(text).toString("hex") });
    const [skipped] = lbEndpoints(changing) as { endpoint: Json }[];
    const unchecked = {
      endpoint: { ...skipped?.endpoint, health_check_config: { disable_active_health_check: true } },
    };
    return {
      static_resources: {
        clusters: [
          with_("http", { http_health_check: http }),
          with_("tcp", { tcp_health_check: {} }),
          with_("payload", {
            tcp_health_check: { send: hex("GET / HTTP/1.0\r\n\r\n"), receive: [hex("200 OK"), hex("pong")] },
          }),
          with_("retry", { http_health_check: { ...http, retriable_statuses: [{ start: 500, end: 501 }] } }),
          with_("body", { http_health_check: { ...http, receive: [hex("pong")] } }),
          with_("closed", { tcp_health_check: {} }, ["127.0.0.1:1"]),
          cluster("skipped", [{ lb_endpoints: [unchecked] }], {
            health_checks: [{ ...check, http_health_check: http }],
          }),
          cluster("both", [{ lb_endpoints: lbEndpoints(changing) }], {
            health_checks: [
              { ...check, name: "a", http_health_check: http },
              { ...check, name: "b", tcp_health_check: {} },
            ],
          }),
        ],
      },
    };
  },
  (both) => {
    const healthOf = async (index: 0 | 1): Promise<unknown> => {
      const side = both()[index];
      const all = await Promise.all(names.map((name) => hostsOf(side, name)));
      return all.map((hosts, at) => [names[at], Object.values(hosts).map(({ health }) => health)]);
    };

    test.each<Mode>([
      "good",
      "refuses",
      "good",
      "fails at once",
      "good",
      "is degraded",
      "wants a retry",
      "is silent",
      "good",
      "closes",
      "good",
    ])("what is said of a backend that %s", async (next) => {
      mode = next;
      // Two rounds of checks beyond the thresholds, with their timeouts.
      await sleep(1200);
      const [envoy, ours] = await Promise.all([healthOf(0), healthOf(1)]);
      expect(ours).toEqual(envoy);
    });

    test("the same statistics", async () => {
      const [envoy, ours] = await Promise.all(
        both().map((side) => statsOf(side, /health_check|membership_(?!change)/)),
      );
      expect(Object.keys(ours ?? {}).toSorted()).toEqual(Object.keys(envoy ?? {}).toSorted());
      const gauges = (stats: Readonly<Record<string, number>> = {}) =>
        // Envoy's gauge of degraded hosts does not go down again.
        Object.entries(stats).filter(([name]) => /\.healthy$|membership_/.test(name));
      expect(gauges(ours)).toEqual(gauges(envoy));
      expect(ours?.["cluster.http.health_check.success"]).toBeGreaterThan(20);
    });
  },
);
