import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { createTransportFactory } from "../tls/transport-factory.ts";
import { parseRouteConfiguration } from "../router/parse-route-config.ts";
import { standardHttpFilters } from "../http/filters/standard-filters.ts";
import { createWorld } from "./testing/world.ts";
import { parseAssignment } from "./config/assignment.ts";
import { parseCluster } from "./config/parse-cluster.ts";
import { MessageReader } from "#protos/reader.ts";
import type { ClusterLoadAssignment } from "#protos/gen/envoy/config/endpoint/v3/endpoint_pb.js";
import type { Problem } from "#lib/problem.ts";

const folder = join(import.meta.dirname, "../../../shared/oracle");
const isThere = existsSync(folder);
if (!isThere) console.log("skipped: the oracle folder is not beside the checkout");

interface Answer {
  readonly clusters: unknown[];
  readonly endpoints: unknown[];
  readonly routes: unknown[];
}

const cases: readonly (readonly [string, Answer])[] = isThere
  ? readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".json"))
      .map((file) => [file, JSON.parse(readFileSync(join(folder, file), "utf8")) as Answer] as const)
      .filter(([, answer]) => Array.isArray(answer.clusters) && Array.isArray(answer.endpoints))
  : [];

describe.skipIf(!isThere)("what istiod sends", () => {
  const runtime = simulatedRuntime({ seed: 1 });
  const scope = createStatsStore().root;
  const transports = createTransportFactory({ runtime, scope, secrets: { subscribe: () => ({ close() {} }) } });

  test.each(cases)("clusters of %s are taken", (_file, answer) => {
    for (const json of answer.clusters) {
      const message = messageFromJson("envoy.config.cluster.v3.Cluster", json);
      expect(message.problems).toEqual([]);
      const parsed = parseCluster(message.value as never, { transports, scope });
      // TLS that trusts anybody (`insecureSkipVerify`) is taken, with a warning.
      expect(parsed.problems.filter(({ code }) => code !== "unverified-upstream")).toEqual([]);
      expect(parsed.value).toBeDefined();
    }
  });

  test.each(cases)("clusters of %s become active with their endpoints", async (_file, answer) => {
    const world = createWorld();
    for (const json of answer.clusters as { readonly name: string }[])
      expect(world.add(json).filter(({ code }) => code !== "unverified-upstream")).toEqual([]);
    for (const json of answer.endpoints as { readonly clusterName: string }[])
      expect(world.xds.answer(json.clusterName, json)).toEqual([]);
    await world.runtime.advance(1000);
    const left = world.manager.all().filter(({ state }) => state !== "active");
    // Without an SDS server secrets do not come: those wait, all others serve.
    expect(left.filter(({ cluster }) => cluster.config.transports.all.every(({ isReady }) => isReady))).toEqual([]);
    expect(world.manager.all()).toHaveLength(answer.clusters.length);
    world.manager.close();
  });

  test.each(cases)("endpoints of %s are taken", (_file, answer) => {
    for (const json of answer.endpoints) {
      const message = messageFromJson("envoy.config.endpoint.v3.ClusterLoadAssignment", json);
      const problems: Problem[] = [];
      parseAssignment(new MessageReader(message.value as ClusterLoadAssignment, "", problems), false);
      expect(problems).toEqual([]);
    }
  });

  test.each(cases)("routes of %s are taken", (_file, answer) => {
    for (const json of answer.routes) {
      const message = messageFromJson("envoy.config.route.v3.RouteConfiguration", json);
      expect(message.problems).toEqual([]);
      const parsed = parseRouteConfiguration(message.value as never, { filters: standardHttpFilters().all });
      expect(parsed.problems).toEqual([]);
    }
  });
});
