import fc from "fast-check";
import { describe, test } from "vitest";
import { strict as assert } from "node:assert";
import type { Message } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { simulatedRuntime, type SimulatedRuntime } from "#lib/simulated-runtime.ts";
import { createMessage } from "#protos/registry.ts";
import type { Cluster } from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import type { RouteConfiguration } from "#protos/gen/envoy/config/route/v3/route_pb.js";
import { createStatsStore } from "../observability/stats-store.ts";
import { createXdsClient } from "./ads-client.ts";
import type { AdsTransport } from "./ads-transport.ts";
import { cluster, route, testNode } from "./testing/resources.ts";
import { ServerCore, type ServedStream } from "./testing/server-core.ts";
import { TypeUrl, type XdsClient, type XdsSubscription } from "./types.ts";

/** A server on the other side of a network that delivers in order, later. */
function transportTo(server: ServerCore, runtime: SimulatedRuntime, isDelta: boolean): AdsTransport {
  const later = (deliver: () => void): void => void runtime.clock.setTimer(1, deliver);
  return {
    open: (handler) => {
      let isOpen = true;
      const stream: ServedStream = {
        write: (response) => later(() => isOpen && handler.onMessage(response)),
        end: () =>
          later(() => {
            if (!isOpen) return;
            isOpen = false;
            handler.onEnd("UNAVAILABLE: cut");
          }),
      };
      const { onRequest, onEnd } = server.onStream(stream, isDelta);
      later(() => isOpen && handler.onConnect());
      return {
        send: (request) => later(() => isOpen && onRequest(request)),
        close: () => {
          isOpen = false;
          onEnd();
        },
      };
    },
  };
}

/** Name → variant; 0 is a resource that the client has to refuse. */
type Wanted = Readonly<Record<string, number>>;

type Step =
  | { readonly kind: "clusters"; readonly wanted: Wanted }
  | { readonly kind: "routes"; readonly wanted: Wanted }
  | { readonly kind: "watch" | "unwatch"; readonly name: string }
  | { readonly kind: "cut" | "pause" | "resume" | "wait" };

const name = fc.constantFrom("a", "b");
const wanted = fc.dictionary(name, fc.integer({ min: 0, max: 2 }), { maxKeys: 2 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("clusters" as const, "routes" as const), wanted }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("watch" as const, "unwatch" as const), name }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("wait" as const, "wait" as const, "cut" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("pause" as const, "resume" as const) }) },
);

function clusterMessage([key, variant]: readonly [string, number]): Cluster {
  const message = cluster(key, `variant-${variant}`);
  if (variant === 0) message.connectTimeout = createMessage<Duration>("google.protobuf.Duration");
  return message;
}

function routeMessage([key, variant]: readonly [string, number]): RouteConfiguration {
  // A header name with a newline breaks a rule.
  return route(key, variant === 0 ? "a\nb" : `variant-${variant}`);
}

/** What a client has been given. */
class Mirror {
  readonly clusters = new Map<string, string>();
  readonly routes = new Map<string, string | undefined>();
  readonly #watched = new Map<string, XdsSubscription>();
  readonly #client: XdsClient;

  constructor(client: XdsClient) {
    this.#client = client;
    client.wildcard(
      TypeUrl.cluster,
      {
        onUpdate: (added, removed) => {
          for (const key of removed) this.clusters.delete(key);
          for (const { name: key, message } of added) this.clusters.set(key, (message as Cluster).altStatName);
          return [];
        },
        onFetchTimeout: () => assert.fail("there is no timeout"),
      },
      0,
    );
  }

  watch(key: string): void {
    if (this.#watched.has(key)) return;
    this.routes.set(key, undefined);
    const watcher = {
      onResource: ({ message }: { readonly message: Message }) => {
        this.routes.set(key, (message as RouteConfiguration).vhostHeader);
        return [];
      },
      onAbsent: (reason: string) => {
        if (reason === "removed") this.routes.set(key, undefined);
      },
    };
    this.#watched.set(key, this.#client.resource(TypeUrl.route, key, watcher, 0));
  }

  unwatch(key: string): void {
    this.#watched.get(key)?.close();
    this.#watched.delete(key);
    this.routes.delete(key);
  }
}

async function run(isDelta: boolean, steps: readonly Step[]): Promise<void> {
  const runtime = simulatedRuntime({ logLevel: "off" });
  const server = new ServerCore();
  const client = createXdsClient({
    runtime,
    scope: createStatsStore().root,
    node: testNode(),
    transport: transportTo(server, runtime, isDelta),
    protocol: isDelta ? "delta" : "sotw",
  });
  const mirror = new Mirror(client);
  let clusters: Wanted = {};
  let routes: Wanted = {};
  let pauses = 0;
  for (const each of steps) {
    switch (each.kind) {
      case "clusters":
        clusters = each.wanted;
        server.set(TypeUrl.cluster, Object.entries(clusters).map(clusterMessage));
        break;
      case "routes":
        routes = each.wanted;
        server.set(TypeUrl.route, Object.entries(routes).map(routeMessage));
        break;
      case "watch":
        mirror.watch(each.name);
        break;
      case "unwatch":
        mirror.unwatch(each.name);
        break;
      case "cut":
        server.endStreams();
        break;
      case "pause":
        client.pause(TypeUrl.route);
        pauses++;
        break;
      case "resume":
        if (pauses > 0) client.resume(TypeUrl.route);
        pauses = Math.max(0, pauses - 1);
        break;
      case "wait":
        await runtime.advance(5);
    }
  }
  while (pauses-- > 0) client.resume(TypeUrl.route);
  await runtime.advance(120_000);

  for (const [key, variant] of Object.entries(clusters)) {
    if (variant > 0) assert.equal(mirror.clusters.get(key), `variant-${variant}`, `cluster ${key}`);
  }
  for (const [key, altStatName] of mirror.clusters) {
    assert.ok(key in clusters, `cluster ${key} is gone at the server`);
    assert.notEqual(altStatName, "variant-0", `cluster ${key} was to be refused`);
  }
  for (const [key, header] of mirror.routes) {
    const variant = routes[key];
    if (variant !== undefined && variant > 0) assert.equal(header, `variant-${variant}`, `route ${key}`);
    // State of the world never says that a route is gone.
    if (variant === undefined && isDelta) assert.equal(header, undefined, `route ${key} is gone at the server`);
    assert.notEqual(header, "a\nb", `route ${key} was to be refused`);
  }
  client.close();
}

describe.each([
  ["delta", true],
  ["state of the world", false],
])("%s: whatever happens, in the end the client has what the server has", (_, isDelta) => {
  test("updates, refusals, subscriptions, pauses and lost streams in any order", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40, size: "max" }), (steps) => run(isDelta, steps)),
      {
        numRuns: 1000,
      },
    );
  });
});
