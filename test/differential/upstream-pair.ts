/** What tests of clusters look at on both sides: hosts with their health and their requests, and statistics. */
import { request } from "node:http";
import { afterAll, beforeAll, describe } from "vitest";
import { needEnvoy } from "../needs.ts";
import type { Json } from "./harness/case.ts";
import { startSide, type Side } from "./harness/side.ts";

const type = "type.googleapis.com/envoy.extensions";

export interface HostSeen {
  readonly health: Json;
  readonly requests: number;
}

/** Hosts of a cluster by `address:port`. */
export async function hostsOf(side: Side, cluster: string): Promise<Readonly<Record<string, HostSeen>>> {
  const page = JSON.parse(await side.admin("/clusters?format=json")) as {
    readonly cluster_statuses: readonly {
      readonly name: string;
      readonly host_statuses?: readonly {
        readonly address: { readonly socket_address: { readonly address: string; readonly port_value: number } };
        readonly health_status: Json;
        readonly stats: readonly { readonly name: string; readonly value?: string }[];
      }[];
    }[];
  };
  const hosts = page.cluster_statuses.find(({ name }) => name === cluster)?.host_statuses ?? [];
  return Object.fromEntries(
    hosts.map(({ address, health_status, stats }) => [
      `${address.socket_address.address}:${address.socket_address.port_value}`,
      { health: health_status, requests: Number(stats.find(({ name }) => name === "rq_total")?.value ?? 0) },
    ]),
  );
}

/** Counters and gauges whose names fit; the prefix `cluster.<name>.` is kept. */
export async function statsOf(side: Side, pattern: RegExp): Promise<Readonly<Record<string, number>>> {
  const lines = (await side.admin("/stats")).split("\n").map((line) => line.split(": "));
  return Object.fromEntries(
    lines.flatMap(([name = "", value = ""]) =>
      pattern.test(name) && /^\d+$/.test(value) ? [[name, Number(value)]] : [],
    ),
  );
}

/** A listener whose requests go to the cluster that the path names: `/a/…` to `a`. */
export function byPath(clusters: readonly string[]): Json {
  const routes = clusters.map((cluster) => ({ match: { prefix: `/${cluster}/` }, route: { cluster } }));
  const manager = {
    "@type": `${type}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "main",
    http_filters: [{ name: "router", typed_config: { "@type": `${type}.filters.http.router.v3.Router` } }],
    route_config: { name: "r", virtual_hosts: [{ name: "v", domains: ["*"], routes }] },
  };
  return {
    name: "main",
    address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
    filter_chains: [{ filters: [{ name: "http", typed_config: manager }] }],
  };
}

/** One GET on a connection of its own; its status. */
export function ask(side: Side, path: string, host = "a.test"): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: "127.0.0.1", port: side.port("main"), path, headers: { host }, agent: false },
      (answer) => {
        answer.resume();
        answer.once("end", () => resolve(answer.statusCode ?? 0));
      },
    );
    sent.once("error", reject).end();
  });
}

/** Both programs on one bootstrap; the tests get them by a function. */
export function describeUpstreams(
  name: string,
  bootstrap: () => Promise<Json>,
  tests: (both: () => readonly [envoy: Side, ours: Side]) => void,
): void {
  const envoy = needEnvoy();
  if (envoy.missing !== undefined) console.log(`skipped: ${envoy.missing}`);
  describe.skipIf(envoy.missing !== undefined)(name, () => {
    let sides: readonly [Side, Side] | undefined;
    beforeAll(async () => {
      const config = {
        admin: { address: { socket_address: { address: "127.0.0.1", port_value: 0 } } },
        ...(await bootstrap()),
      };
      sides = await Promise.all([
        startSide({ name: "envoy", binary: envoy.path }, config, () => undefined),
        startSide({ name: "ours" }, config, () => undefined),
      ]);
    }, 30_000);
    afterAll(() => Promise.all(sides?.map((side) => side.stop()) ?? []));
    tests(() => {
      if (sides === undefined) throw new Error("not started");
      return sides;
    });
  });
}

export function lbEndpoints(...addresses: readonly string[]): Json[] {
  return addresses.map((text) => {
    const [address = "", port = ""] = text.split(":");
    return { endpoint: { address: { socket_address: { address, port_value: Number(port) } } } };
  });
}

export function cluster(name: string, endpoints: readonly Json[], more: Json = {}): Json {
  return { name, type: "STATIC", load_assignment: { cluster_name: name, endpoints }, ...more };
}
