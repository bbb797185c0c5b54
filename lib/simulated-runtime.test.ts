import { describe, expect, test } from "vitest";
import type { Connection } from "./connection.ts";
import { ANYWHERE } from "./simulated-network.ts";
import { simulatedRuntime, type SimulatedRuntime } from "./simulated-runtime.ts";

const PORT = { kind: "ip", address: "10.0.0.2", port: 80 } as const;

/** A client at 10.0.0.1 and a server at 10.0.0.2 that notes when bytes come. */
async function setUp(seed = 1) {
  const runtime: SimulatedRuntime = simulatedRuntime({ seed });
  const client = runtime.at("10.0.0.1");
  const server = runtime.at("10.0.0.2");
  const heard: [number, string][] = [];
  const accepted: Connection[] = [];
  let serverError: Error | undefined;
  await server.network.listen({ address: { ...PORT, address: "0.0.0.0" } }, (connection) => {
    accepted.push(connection);
    connection.handler = {
      onData: (chunk) => heard.push([runtime.clock.monotonic(), chunk.toString()]),
      onClose: (error) => (serverError = error),
    };
  });
  const connect = () => {
    const state = {
      connectedMs: undefined as number | undefined,
      closedMs: undefined as number | undefined,
      error: undefined as Error | undefined,
      connection: undefined as unknown as Connection,
    };
    state.connection = client.network.connect(
      { address: PORT },
      {
        onConnect: () => (state.connectedMs = runtime.clock.monotonic()),
        onData() {},
        onClose: (error) => {
          state.closedMs = runtime.clock.monotonic();
          state.error = error;
        },
      },
    );
    return state;
  };
  return { runtime, world: runtime.world, connect, heard, accepted, serverError: () => serverError };
}

describe("simulated clock", () => {
  test("stands still until it is moved, and runs events in their order", async () => {
    const { clock, advance } = simulatedRuntime();
    const ran: string[] = [];
    clock.setTimer(20, () => ran.push("20"));
    clock.setTimer(10, () => {
      ran.push("10");
      clock.setTimer(5, () => ran.push("15"));
      void Promise.resolve().then(() => ran.push("microtask of 10"));
    });
    clock.setTimer(10, () => ran.push("10 again"));
    expect(ran).toEqual([]);
    await advance(12);
    expect(ran).toEqual(["10", "microtask of 10", "10 again"]);
    const before = clock.now();
    await advance(8);
    expect(ran.slice(3)).toEqual(["15", "20"]);
    expect(clock.now() - before).toBe(8);
  });

  test("an hour costs no more than its events", async () => {
    const { clock, advance } = simulatedRuntime();
    let fired = 0;
    clock.wheel.schedule(3_600_000, () => fired++);
    await advance(3_600_001);
    expect(fired).toBe(1);
  });
});

describe("simulated chance", () => {
  test("the same seed gives the same run, another seed another", () => {
    const draw = (seed: number) => {
      const { random } = simulatedRuntime({ seed });
      return [random.float(), random.uint32(), random.uint64(), random.uuid(), [...random.bytes(4)]];
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
  });

  test("floats spread evenly over [0, 1)", () => {
    const { random } = simulatedRuntime({ seed: 3 });
    const buckets = Array.from({ length: 10 }, () => 0);
    for (let i = 0; i < 10_000; i++) {
      const bucket = Math.floor(random.float() * 10);
      buckets[bucket] = (buckets[bucket] ?? 0) + 1;
    }
    for (const count of buckets) expect(count).toBeGreaterThan(850);
  });

  test("UUIDs are of version 4", () => {
    expect(simulatedRuntime().random.uuid()).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
  });
});

describe("simulated network", () => {
  test("latency counts each way", async () => {
    const { runtime, world, connect, heard } = await setUp();
    world.link("10.0.0.1", "10.0.0.2", { latencyMs: 25 });
    const client = connect();
    await runtime.advance(49);
    expect(client.connectedMs).toBeUndefined();
    await runtime.advance(1);
    expect(client.connectedMs).toBe(50);
    client.connection.write("a");
    await runtime.advance(25);
    expect(heard).toEqual([[75, "a"]]);
  });

  test("jitter never changes the order of bytes", async () => {
    const { runtime, world, connect, heard } = await setUp(5);
    world.link(ANYWHERE, ANYWHERE, { latencyMs: 10, jitterMs: 100 });
    const client = connect();
    await runtime.advance(300);
    for (let i = 0; i < 20; i++) client.connection.write(`${i} `);
    await runtime.advance(5000);
    expect(heard.map(([, text]) => text).join("")).toBe(Array.from({ length: 20 }, (_, i) => `${i} `).join(""));
  });

  test("loss delays, as retransmission does, and loses nothing", async () => {
    const { runtime, world, connect, heard } = await setUp(11);
    const client = connect();
    await runtime.settle();
    world.link("10.0.0.1", "10.0.0.2", { loss: 0.5 });
    for (let i = 0; i < 10; i++) client.connection.write(String(i));
    await runtime.advance(0);
    expect(heard.length).toBeLessThan(10);
    await runtime.advance(600_000);
    expect(heard.map(([, text]) => text).join("")).toBe("0123456789");
  });

  test("a run with loss is the same for the same seed", async () => {
    const run = async (seed: number) => {
      const { runtime, world, connect, heard } = await setUp(seed);
      world.link(ANYWHERE, ANYWHERE, { latencyMs: 3, jitterMs: 9, loss: 0.3 });
      const client = connect();
      for (let i = 0; i < 10; i++) client.connection.write(String(i));
      await runtime.advance(600_000);
      return heard;
    };
    expect(await run(1)).toEqual(await run(1));
    expect(await run(1)).not.toEqual(await run(2));
  });

  test("nothing passes a partition; what was sent arrives after it is healed", async () => {
    const { runtime, world, connect, heard } = await setUp();
    const client = connect();
    await runtime.settle();
    world.partition("10.0.0.2", "10.0.0.1");
    client.connection.write("late");
    await runtime.advance(5000);
    expect(heard).toEqual([]);
    world.heal("10.0.0.1", "10.0.0.2");
    await runtime.advance(10_000);
    expect(heard.map(([, text]) => text)).toEqual(["late"]);
  });

  test("connecting across a partition hangs, and the system gives up after two minutes", async () => {
    const { runtime, world, connect } = await setUp();
    world.partition("10.0.0.1", ANYWHERE);
    const client = connect();
    await runtime.advance(120_000);
    expect(client.closedMs).toBeUndefined();
    await runtime.advance(300_000);
    expect(client.error).toMatchObject({ code: "ETIMEDOUT" });
  });

  test("reset ends every connection between two addresses, at both ends", async () => {
    const { runtime, world, connect, serverError } = await setUp();
    const client = connect();
    await runtime.settle();
    expect(world.reset("10.0.0.1", "10.0.0.2")).toBe(2);
    await runtime.settle();
    expect(client.error).toMatchObject({ code: "ECONNRESET" });
    expect(serverError()).toMatchObject({ code: "ECONNRESET" });
    expect(world.openConnections).toBe(0);
  });

  test("a chunk that is kept without being copied turns to rubbish", async () => {
    const { runtime, connect, accepted } = await setUp();
    const client = connect();
    await runtime.settle();
    let kept: Buffer | undefined;
    (accepted[0] as Connection).handler = { onData: (chunk) => (kept = chunk), onClose() {} };
    client.connection.write("precious");
    await runtime.settle();
    expect(kept?.toString()).not.toBe("precious");
  });

  test("a peer that is gone answers with a reset", async () => {
    const { runtime, connect, accepted } = await setUp();
    const client = connect();
    await runtime.settle();
    accepted[0]?.destroy();
    client.connection.handler = { ...client.connection.handler, onEnd() {} };
    await runtime.settle();
    client.connection.write("anybody there?");
    await runtime.settle();
    expect(client.error).toMatchObject({ code: "ECONNRESET" });
  });

  test("loopback belongs to each host alone, and an address has one owner", async () => {
    const runtime = simulatedRuntime();
    const a = runtime.at("10.0.0.1");
    const b = runtime.at("10.0.0.2");
    const port = { kind: "ip", address: "127.0.0.1", port: 80 } as const;
    await a.network.listen({ address: port }, () => {});
    await b.network.listen({ address: port }, () => {});
    await expect(b.network.listen({ address: { ...port, address: "10.0.0.1" } }, () => {})).rejects.toMatchObject({
      code: "EADDRNOTAVAIL",
    });
  });

  test("names are answered after their latency; a failing one with its error", async () => {
    const { runtime, world } = await setUp();
    world.names.set("svc", [
      { address: "10.0.0.2", family: 4 },
      { address: "fd00::2", family: 6 },
    ]);
    world.names.set("broken", new Error("SERVFAIL"));
    world.resolveLatencyMs = 30;
    const answers: unknown[] = [];
    void runtime.network.resolve("svc").then((found) => answers.push(found.length));
    void runtime.network.resolve("svc", 6).then((found) => answers.push(found[0]?.address));
    runtime.network.resolve("broken").catch((error: Error) => answers.push(error.message));
    await runtime.advance(29);
    expect(answers).toEqual([]);
    await runtime.advance(1);
    expect(answers).toEqual([2, "fd00::2", "SERVFAIL"]);
  });
});
