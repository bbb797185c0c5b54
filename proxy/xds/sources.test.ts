import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { simulatedRuntime, type SimulatedRuntime } from "#lib/simulated-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import type { ConfigSource } from "#protos/gen/envoy/config/core/v3/config_source_pb.js";
import { createStatsStore } from "../observability/stats-store.ts";
import { createSubscriptionStats } from "./subscription-stats.ts";
import { createXdsSources, type XdsSources } from "./sources.ts";
import { createFakeTransport } from "./testing/fake-transport.ts";
import { recordingWatcher, recordingWildcard } from "./testing/recorder.ts";
import { testNode } from "./testing/resources.ts";
import { TypeUrl } from "./types.ts";

let folder = "";
let runtime: SimulatedRuntime;
let sources: XdsSources;
const methods: string[] = [];
const store = createStatsStore();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "glassmesh-files-"));
  runtime = simulatedRuntime();
  methods.length = 0;
  const { value } = createXdsSources({
    runtime,
    scope: store.root,
    bootstrap: { ads: undefined, clusters: [], node: testNode(), identity: undefined },
    transportOf: (_source, method) => {
      methods.push(method);
      return { value: createFakeTransport(), problems: [] };
    },
  });
  if (value === undefined) throw new Error("no sources");
  sources = value;
});

afterEach(() => {
  sources.close();
  rmSync(folder, { recursive: true, force: true });
});

function configSource(json: object): ConfigSource {
  const { value, problems } = messageFromJson("envoy.config.core.v3.ConfigSource", json);
  if (value === undefined) throw new Error(JSON.stringify(problems));
  return value as ConfigSource;
}

/** As an editor or a volume mount does it: a whole new file takes the place of the old one. */
function moveIn(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
  return path;
}

const clusters = (version: string, ...names: string[]): string =>
  `version_info: "${version}"\nresources:\n${names
    .map((name) => `- {"@type": ${TypeUrl.cluster}, name: "${name}", connect_timeout: 1s}`)
    .join("\n")}\n`;

describe("path_config_source", () => {
  test("X-77 a file is read, and read again when another takes its place; a bad one keeps the old", async () => {
    const path = moveIn("cds.yaml", clusters("1", "a", "b"));
    const source = sources.open(configSource({ path_config_source: { path } }), TypeUrl.cluster, "cds_config");
    const stats = createSubscriptionStats(store.root.scope("cluster_manager.cds"));
    const handler = recordingWildcard(stats);
    source.value?.client.wildcard(TypeUrl.cluster, handler, 0);
    expect(handler.heard).toEqual([]);
    await runtime.advance(0);
    expect(handler.heard).toEqual([["+a@1", "+b@1"]]);

    moveIn("cds.yaml", clusters("2", "b", "c"));
    await runtime.advance(1100);
    expect(handler.heard.at(-1)).toEqual(["+c@2", "-a"]);

    moveIn("cds.yaml", "resources: [");
    await runtime.advance(1100);
    moveIn("cds.yaml", clusters("3", ""));
    await runtime.advance(1100);
    expect(handler.heard.length).toBe(2);
    expect([stats.updateSuccess.value, stats.updateFailure.value, stats.updateRejected.value]).toEqual([2, 1, 1]);
  });

  test("named resources come out of a file too; the same path is one client", async () => {
    const path = moveIn(
      "eds.json",
      JSON.stringify({ version_info: "1", resources: [{ "@type": TypeUrl.endpoint, cluster_name: "a" }] }),
    );
    const [first, second] = [1, 2].map(
      () => sources.open(configSource({ path }), TypeUrl.endpoint, "eds_config").value,
    );
    expect(first?.client).toBe(second?.client);
    const watcher = recordingWatcher();
    first?.client.resource(TypeUrl.endpoint, "a", watcher, 0);
    await runtime.advance(0);
    expect(watcher.heard).toEqual(["+1"]);
  });
});

describe("config_source", () => {
  test("the default initial_fetch_timeout is 15 s, zero is for ever", () => {
    const open = (json: object): number | undefined =>
      sources.open(configSource(json), TypeUrl.cluster, "x").value?.initialFetchTimeoutMs;
    expect(open({ path: join(folder, "x") })).toBe(15_000);
    expect(open({ path: join(folder, "x"), initial_fetch_timeout: "0s" })).toBe(0);
  });

  test("ads without ads_config is refused", () => {
    const { value, problems } = sources.open(configSource({ ads: {} }), TypeUrl.cluster, "cds_config");
    expect(value).toBeUndefined();
    expect(problems).toMatchObject([{ path: "cds_config.ads" }]);
  });

  test("a stream of one type uses the method of that type", () => {
    const api = (apiType: string): ConfigSource =>
      configSource({
        api_config_source: {
          api_type: apiType,
          transport_api_version: "V3",
          grpc_services: [{ envoy_grpc: { cluster_name: "sds-grpc" } }],
        },
      });
    expect(sources.open(api("GRPC"), TypeUrl.secret, "sds_config").value).toBeDefined();
    expect(sources.open(api("GRPC"), TypeUrl.secret, "sds_config").value).toBeDefined();
    expect(sources.open(api("DELTA_GRPC"), TypeUrl.secret, "sds_config").value).toBeDefined();
    expect(methods).toEqual([
      "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
      "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets",
    ]);
  });

  test.each([
    [{ api_config_source: { api_type: "REST", transport_api_version: "V3", cluster_names: ["a"] } }, "api_type"],
    [
      { api_config_source: { api_type: "GRPC", grpc_services: [{ envoy_grpc: { cluster_name: "a" } }] } },
      "transport_api_version",
    ],
    [
      {
        api_config_source: {
          api_type: "GRPC",
          transport_api_version: "V3",
          grpc_services: [{ google_grpc: { target_uri: "a", stat_prefix: "a" } }],
        },
      },
      "google_grpc",
    ],
    [{ self: {} }, "self"],
  ])("%j is refused by name", (json, field) => {
    const { value, problems } = sources.open(configSource(json), TypeUrl.secret, "sds_config");
    expect(value).toBeUndefined();
    expect(problems.map(({ path }) => path).join(" ")).toContain(field);
  });
});
