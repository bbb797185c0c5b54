/** A client with everything around it faked, for tests of the state machine. */
import { simulatedRuntime, type SimulatedRuntime } from "#lib/simulated-runtime.ts";
import { createStatsStore } from "../../observability/stats-store.ts";
import type { StatsScope } from "../../observability/stats.ts";
import { createXdsClient, type AdsClientOptions } from "../ads-client.ts";
import type { XdsClient } from "../types.ts";
import { createFakeTransport, type FakeTransport } from "./fake-transport.ts";
import { testNode } from "./resources.ts";

export interface TestClient {
  readonly client: XdsClient;
  readonly transport: FakeTransport;
  readonly runtime: SimulatedRuntime;
  readonly scope: StatsScope;
  /** Ends the stream and waits until the client has opened the next. */
  readonly reconnect: () => Promise<void>;
}

export function testClient(options: Partial<AdsClientOptions> = {}): TestClient {
  const runtime = simulatedRuntime();
  const transport = createFakeTransport();
  const scope = createStatsStore().root;
  const client = createXdsClient({ runtime, scope, node: testNode(), transport, ...options });
  return {
    client,
    transport,
    runtime,
    scope,
    reconnect: async () => {
      transport.stream.handler.onEnd("UNAVAILABLE: gone");
      await runtime.advance(30_000);
    },
  };
}
