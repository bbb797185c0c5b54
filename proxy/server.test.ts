import { describe, expect, test } from "vitest";
import type { Connection } from "#lib/connection.ts";
import { simulatedRuntime, type SimulatedRuntime } from "#lib/simulated-runtime.ts";
import { loadBootstrap } from "./bootstrap/bootstrap.ts";
import { parseCommandLine } from "./options.ts";
import { createProxyServer, type ProxyServer } from "./server.ts";
import { bootstrapOf, httpListener, route, staticCluster } from "./testing/bootstraps.ts";

async function serverOf(
  runtime: SimulatedRuntime,
  bootstrap: unknown,
  ...args: readonly string[]
): Promise<ProxyServer> {
  const loaded = loadBootstrap(JSON.stringify(bootstrap));
  expect(loaded.problems).toEqual([]);
  const command = parseCommandLine(["-c", "bootstrap", ...args]);
  if (loaded.value === undefined || command.kind !== "run") throw new Error("no bootstrap");
  const server = await createProxyServer({ runtime, bootstrap: loaded.value, options: command.options });
  await server.start();
  await runtime.settle();
  await server.live;
  return server;
}

/** One proxy between a listener and an upstream; there is no admin interface, it needs real sockets. */
function bootstrap(listener: string, upstream: string): unknown {
  const { admin: _admin, ...rest } = bootstrapOf({
    clusters: [staticCluster("up", upstream)],
    listeners: [httpListener("in", { address: listener, routes: [route("/", "up", { timeout: "0s" })] })],
  });
  return rest;
}

/** Answers every request with its own name; `answer` false: never. */
async function upstream(runtime: SimulatedRuntime, port: number, name: string, answers = true): Promise<void> {
  await runtime.network.listen({ address: { kind: "ip", address: "10.0.0.1", port } }, (connection) => {
    connection.handler = {
      onData() {
        if (answers) connection.write(`HTTP/1.1 200 OK\r\ncontent-length: ${name.length}\r\n\r\n${name}`);
      },
      onClose() {},
    };
  });
}

interface Client {
  readonly received: () => string;
  readonly isClosed: () => boolean;
  send(): void;
}

function client(runtime: SimulatedRuntime, port: number): Client {
  let text = "";
  let isClosed = false;
  const connection: Connection = runtime.network.connect(
    { address: { kind: "ip", address: "10.0.0.9", port } },
    {
      onData: (chunk) => void (text += chunk.toString("latin1")),
      onClose: () => void (isClosed = true),
    },
  );
  return {
    received: () => text,
    isClosed: () => isClosed,
    send: () => void connection.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
  };
}

describe("createProxyServer", () => {
  test("many proxies live in one process, each with its own statistics", async () => {
    const runtime = simulatedRuntime({ seed: 1 });
    await upstream(runtime, 81, "one");
    await upstream(runtime, 82, "two");
    const first = await serverOf(runtime, bootstrap("10.0.0.9:8001", "10.0.0.1:81"));
    const second = await serverOf(runtime, bootstrap("10.0.0.9:8002", "10.0.0.1:82"));
    const [a, b] = [client(runtime, 8001), client(runtime, 8002)];
    await runtime.settle();
    a.send();
    a.send();
    b.send();
    await runtime.advance(1000);
    expect([a.received().match(/one/g)?.length, b.received().match(/two/g)?.length]).toEqual([2, 1]);
    const counted = (server: ProxyServer): number => server.stats.root.counter("http.in.downstream_rq_2xx").value;
    expect([counted(first), counted(second)]).toEqual([2, 1]);
    await first.stop();
    b.send();
    await runtime.advance(1000);
    expect(counted(second)).toBe(2);
    await second.stop();
  });

  test("X-65: a drain that somebody holds up ends with the drain time", async () => {
    const runtime = simulatedRuntime({ seed: 2 });
    await upstream(runtime, 81, "never", false);
    const server = await serverOf(runtime, bootstrap("10.0.0.9:8001", "10.0.0.1:81"), "--drain-time-s", "30");
    const waiting = client(runtime, 8001);
    await runtime.settle();
    waiting.send();
    await runtime.advance(1000);
    let hasStopped = false;
    void server.stopped.then(() => (hasStopped = true));
    server.drainAndStop();
    expect(server.state).toBe("DRAINING");
    await runtime.advance(29_000);
    expect([waiting.isClosed(), hasStopped]).toEqual([false, false]);
    const late = client(runtime, 8001);
    await runtime.settle();
    expect(late.isClosed()).toBe(true);
    await runtime.advance(2000);
    await server.stopped;
    await runtime.settle();
    expect(waiting.isClosed()).toBe(true);
  });

  test("histograms close their interval every stats_flush_interval", async () => {
    const runtime = simulatedRuntime({ seed: 3 });
    await upstream(runtime, 81, "one");
    const server = await serverOf(runtime, bootstrap("10.0.0.9:8001", "10.0.0.1:81"));
    const one = client(runtime, 8001);
    await runtime.settle();
    one.send();
    await runtime.advance(1000);
    const time = () => server.stats.histograms().find(({ name }) => name === "http.in.downstream_rq_time");
    expect([time()?.interval.total, time()?.cumulative().total]).toEqual([0, 1]);
    await runtime.advance(5000);
    expect([time()?.interval.total, time()?.cumulative().total]).toEqual([1, 1]);
    await runtime.advance(5000);
    expect([time()?.interval.total, time()?.cumulative().total]).toEqual([0, 1]);
    await server.stop();
  });
});
