import { describe, expect, test } from "vitest";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import { openExtension, type ExtensionConfigProvider, type ExtensionSubscriber } from "../extension-configs.ts";
import type { RouteConfigProvider } from "../network/filter.ts";
import { directResponse, echo } from "../network/echo.ts";
import { createNetworkFilterRegistry } from "../network/registry.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { createTransportFactory } from "../tls/transport-factory.ts";
import { createListenerManager } from "./listener-manager.ts";

const type = "type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config";

/** A manager with a listener on port 80 whose one filter comes over ECDS. */
async function setUp(discovery: Record<string, unknown> = {}) {
  const runtime = simulatedRuntime();
  const store = createStatsStore();
  const subscribers = new Set<ExtensionSubscriber>();
  const asked: string[] = [];
  const extensionConfigs: ExtensionConfigProvider = {
    subscribe(wanted, subscriber) {
      asked.push(wanted.name);
      subscribers.add(subscriber);
      if (wanted.appliesDefaultWithoutWarming) {
        const opened = openExtension(wanted.defaultConfig, wanted, "");
        if ("$typeName" in opened) subscriber.onConfig(opened);
      }
      return { close: () => void subscribers.delete(subscriber) };
    },
  };
  const routes: RouteConfigProvider = { subscribe: () => ({ close() {} }) };
  const manager = createListenerManager({
    runtime,
    scope: store.root,
    node: { id: "n", cluster: "c", metadata: {}, locality: { region: "", zone: "", subZone: "" } },
    clusters: { get: () => undefined },
    transports: createTransportFactory({
      runtime,
      secrets: { subscribe: () => ({ close() {} }) },
      scope: store.root,
    }),
    filters: createNetworkFilterRegistry([echo, directResponse]),
    routes,
    extensionConfigs,
    accessLogs: { logger: () => undefined },
    drainTimeMs: 0,
  });
  await manager.start();
  const { value } = messageFromJson("envoy.config.listener.v3.Listener", {
    name: "l",
    address: { socket_address: { address: "127.0.0.1", port_value: 80 } },
    filter_chains: [
      { filters: [{ name: "ext", config_discovery: { config_source: { ads: {} }, type_urls: [type], ...discovery } }] },
    ],
  });
  if (value === undefined) throw new Error("not a Listener");
  const { problems } = manager.addOrUpdate(value, "1", { dynamic: true });
  const send = (text: string | undefined) => {
    const config =
      text === undefined
        ? undefined
        : messageFromJson("envoy.extensions.filters.network.direct_response.v3.Config", {
            response: { inline_string: text },
          }).value;
    return [...subscribers].flatMap((subscriber) => [...subscriber.onConfig(config)]);
  };
  const dial = async (): Promise<string> => {
    await runtime.settle();
    let said = "";
    runtime.network.connect(
      { address: { kind: "ip", address: "127.0.0.1", port: 80 } },
      {
        onData: (chunk) => void (said += chunk.toString()),
        onClose: (error) => void (said ||= error?.message ?? "closed"),
      },
    );
    await runtime.settle();
    return said;
  };
  const states = (): string[] => manager.listeners().map(({ state }) => state);
  const missing = (): number | undefined =>
    store.counters().find(({ name }) => name.endsWith("network_extension_config_missing"))?.value;
  return { manager, problems, asked, subscribers, send, dial, states, missing };
}

describe("network filters over ECDS", () => {
  test("a listener warms until the configuration has come; new connections get the newest", async () => {
    const { problems, asked, states, send, dial } = await setUp();
    expect([problems, asked, states()]).toEqual([[], ["ext"], ["warming"]]);
    expect(send("one")).toEqual([]);
    expect(states()).toEqual(["active"]);
    expect(await dial()).toBe("one");
    send("two");
    expect(await dial()).toBe("two");
  });

  test("without any connections are closed", async () => {
    const { send, dial, missing, states } = await setUp();
    send(undefined);
    expect(states()).toEqual(["active"]);
    expect(await dial()).toBe("closed");
    expect(missing()).toBe(1);
  });

  test("a default that is applied at once is not waited for", async () => {
    const { states, dial } = await setUp({
      default_config: { "@type": type, response: { inline_string: "default" } },
      apply_default_config_without_warming: true,
    });
    expect(states()).toEqual(["active"]);
    expect(await dial()).toBe("default");
  });

  test("a listener that goes gives its configuration up", async () => {
    const { manager, send, subscribers } = await setUp();
    send("one");
    manager.close();
    expect(subscribers.size).toBe(0);
  });

  test("the last filter must be one that ends a chain", async () => {
    const { problems } = await setUp({ type_urls: ["envoy.extensions.filters.network.rbac.v3.RBAC"] });
    expect(problems[0]?.message).toMatch(/no filter factory found/);
  });
});
