import { describe, expect, test } from "vitest";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { Problem } from "#lib/problem.ts";
import { messageFromJson } from "#protos/json.ts";
import { httpWorld, type HttpWorld, type Json } from "../http/testing/http-world.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { TypeUrl, type ResourceWatcher, type XdsClient } from "../xds/types.ts";
import { ConfigRecords } from "./config-records.ts";
import { createExtensionConfigProvider } from "./extension-config-provider.ts";

const faultType = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
const fault = (status: number): Json => ({
  "@type": faultType,
  abort: { http_status: status, percentage: { numerator: 100 } },
});
const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/** An HTTP world whose filter `ext` waits for what the test sends. */
async function ecdsWorld(discovery: Json = {}) {
  const stats = createStatsStore();
  const runtime = nodeRuntime({ logLevel: "off" });
  const records = new ConfigRecords(runtime.clock);
  const asked: string[] = [];
  let watcher: ResourceWatcher | undefined;
  const xds: Partial<XdsClient> = {
    resource(typeUrl, name, own, timeoutMs) {
      asked.push(`${typeUrl === TypeUrl.extensionConfig ? "ECDS" : typeUrl} ${name} ${timeoutMs}`);
      watcher = own;
      return { close() {} };
    },
  };
  const extensionConfigs = createExtensionConfigProvider({
    clock: runtime.clock,
    log: runtime.log,
    xds: xds as XdsClient,
    records,
    scope: stats.root,
  });
  const config = { config_source: { ads: {} }, type_urls: [faultType], ...discovery };
  const world: HttpWorld = await httpWorld({ extensionConfigs, filters: [{ name: "ext", config_discovery: config }] });
  await world.serve(80, () => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  return {
    world,
    asked,
    records,
    watcher: () => watcher as ResourceWatcher,
    send: (typedConfig: Json, version = "1"): readonly Problem[] => {
      const { value } = messageFromJson("envoy.config.core.v3.TypedExtensionConfig", {
        name: "ext",
        typed_config: typedConfig,
      });
      if (value === undefined) throw new Error("not a TypedExtensionConfig");
      return (watcher as ResourceWatcher).onResource({ name: "ext", version, message: value });
    },
    status: async () => (await world.exchange(get)).slice(9, 12),
    counter: (name: string) =>
      stats.counters().find((one) => one.name === `extension_config_discovery.http_filter.ext.${name}`)?.value,
  };
}

describe("ECDS", () => {
  test("asks by the filter's name; what comes is in force for new streams", async () => {
    const { asked, send, status, counter, records } = await ecdsWorld();
    expect(asked).toEqual(["ECDS ext 15000"]);
    expect(send(fault(418))).toEqual([]);
    expect(await status()).toBe("418");
    send(fault(404), "2");
    expect(await status()).toBe("404");
    expect([counter("config_reload"), counter("config_fail")]).toEqual([2, 0]);
    expect([...records.dynamic.keys()]).toEqual(["ext"]);
  });

  test("without a configuration requests are answered with 500: NFCF", async () => {
    const { watcher, status, world } = await ecdsWorld();
    watcher().onAbsent("timeout");
    expect(await status()).toBe("500");
    expect(world.log).toEqual(["500 NFCF -"]);
  });

  test("what can't be used is refused by name, what was there stays", async () => {
    const { send, status, counter } = await ecdsWorld();
    send(fault(418));
    expect(send({ "@type": faultType, filter_metadata: { a: 1 } })[0]?.path).toBe("typed_config.filter_metadata");
    expect(await status()).toBe("418");
    expect(counter("config_fail")).toBe(1);
  });

  test("a type that was not asked for is refused", async () => {
    const { send } = await ecdsWorld();
    const other = { "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors" };
    expect(send(other)[0]?.message).toMatch(/^Error: filter config has type URL .*Cors but expect .*HTTPFault/);
  });

  test("the default is in force until one comes, and again when it is removed", async () => {
    const { send, status, watcher } = await ecdsWorld({
      default_config: fault(410),
      apply_default_config_without_warming: true,
    });
    expect(await status()).toBe("410");
    send(fault(418));
    expect(await status()).toBe("418");
    watcher().onAbsent("removed");
    expect(await status()).toBe("410");
  });

  test("the default stands in for one that is refused", async () => {
    const { send, status } = await ecdsWorld({ default_config: fault(410) });
    send({ "@type": faultType, filter_metadata: { a: 1 } });
    expect(await status()).toBe("410");
  });

  test.each([
    [
      "a type that no filter has",
      { type_urls: ["envoy.extensions.filters.http.lua.v3.Lua"] },
      "no filter factory found",
    ],
    [
      "a default of another type",
      { default_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors" } },
      "but expect",
    ],
    ["no default to apply", { apply_default_config_without_warming: true }, "has no default config"],
    ["a source that is not ADS", { config_source: { path: "/x" } }, "over ADS"],
  ])("%s is refused", async (_what, discovery, words) => {
    await expect(ecdsWorld(discovery)).rejects.toThrow(words);
  });
});
