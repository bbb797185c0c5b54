import { describe, expect, test } from "vitest";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { RuntimeLayers } from "../runtime-layers.ts";
import type { ResourceWatcher, XdsClient, XdsResource } from "../xds/types.ts";
import { subscribeRuntimeLayers } from "./runtime-discovery.ts";

function resource(layer: Record<string, unknown>): XdsResource {
  const { value } = messageFromJson("envoy.service.runtime.v3.Runtime", { name: "r", layer });
  if (value === undefined) throw new Error("not a Runtime");
  return { name: "r", version: "1", message: value };
}

function world() {
  const stats = createStatsStore();
  const layers = new RuntimeLayers([{ kind: "rtds", name: "dynamic" }], stats.root);
  const asked: string[] = [];
  let watcher: ResourceWatcher | undefined;
  const client: Partial<XdsClient> = {
    resource(typeUrl, name, own) {
      asked.push(`${typeUrl} ${name}`);
      watcher = own;
      return { close() {} };
    },
  };
  let isReady = false;
  const source = { client: client as XdsClient, initialFetchTimeoutMs: 0 };
  subscribeRuntimeLayers(
    [{ layer: "dynamic", resourceName: "r", source }],
    { layers, scope: stats.root.scope("runtime"), log: nodeRuntime({ logLevel: "off" }).log },
    () => (isReady = true),
  );
  if (watcher === undefined) throw new Error("nothing was asked for");
  return { layers, asked, watcher, isReady: () => isReady };
}

describe("RTDS", () => {
  test("asks for the layer by name, and waits for it", () => {
    const { asked, isReady, watcher, layers } = world();
    expect(asked).toEqual(["type.googleapis.com/envoy.service.runtime.v3.Runtime r"]);
    expect(isReady()).toBe(false);
    expect(watcher.onResource(resource({ a: 5 }))).toEqual([]);
    expect([isReady(), layers.integer("a")]).toEqual([true, 5]);
  });

  test("a layer that can't be used is refused by its key, what was there stays", () => {
    const { watcher, layers } = world();
    watcher.onResource(resource({ a: 5 }));
    expect(watcher.onResource(resource({ a: [1] }))[0]?.message).toContain("Invalid runtime entry value for a");
    expect(layers.integer("a")).toBe(5);
  });

  test("a layer that is removed has no values any more", () => {
    const { watcher, layers } = world();
    watcher.onResource(resource({ a: 5 }));
    watcher.onAbsent("removed");
    expect(layers.integer("a")).toBeUndefined();
  });

  test("a layer that does not come in time is not waited for", () => {
    const { watcher, isReady } = world();
    watcher.onAbsent("timeout");
    expect(isReady()).toBe(true);
  });

  test("without dynamic layers there is nothing to wait for", () => {
    const stats = createStatsStore();
    let isReady = false;
    subscribeRuntimeLayers(
      [],
      { layers: new RuntimeLayers([], stats.root), scope: stats.root, log: nodeRuntime({ logLevel: "off" }).log },
      () => (isReady = true),
    );
    expect(isReady).toBe(true);
  });
});
