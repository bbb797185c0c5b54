/** One suite over the real and the simulated network: what `Network` and `Connection` promise. */
import { afterEach, describe, expect, test } from "vitest";
import type { Connection, ConnectionHandler, SocketAddress } from "./connection.ts";
import { nodeRuntime } from "./node-runtime.ts";
import { ListenError, type ListeningSocket, type Runtime } from "./runtime.ts";
import { simulatedRuntime } from "./simulated-runtime.ts";

interface World {
  readonly name: string;
  make(): { readonly runtime: Runtime; readonly until: (what: () => boolean) => Promise<void> };
}

const worlds: readonly World[] = [
  {
    name: "node",
    make: () => ({
      runtime: nodeRuntime({ writeLog() {} }),
      until: async (what) => {
        while (!what()) await new Promise((resolve) => setTimeout(resolve, 1));
      },
    }),
  },
  {
    name: "simulated",
    make: () => {
      const runtime = simulatedRuntime();
      return {
        runtime,
        until: async (what) => {
          for (let i = 0; i < 10_000 && !what(); i++) await runtime.advance(1);
          expect(what()).toBe(true);
        },
      };
    },
  },
];

/** Keeps what it hears. */
class Recorder implements ConnectionHandler {
  readonly events: string[] = [];
  text = "";
  bytes = 0;
  error: Error | undefined;
  isClosed = false;
  onConnect(): void {
    this.events.push("connect");
  }
  onData(chunk: Buffer): void {
    if (this.events.at(-1) !== "data") this.events.push("data");
    this.bytes += chunk.length;
    if (this.text.length < 1000) this.text += chunk.toString("latin1", 0, 1000);
  }
  onEnd(): void {
    this.events.push("end");
  }
  onDrain(): void {
    this.events.push("drain");
  }
  onClose(error?: Error): void {
    this.events.push("close");
    this.isClosed = true;
    this.error = error;
  }
}

const open: ListeningSocket[] = [];
afterEach(async () => {
  for (const socket of open.splice(0)) await socket.close();
});

describe.each(worlds)("$name network", (world) => {
  const loopback: SocketAddress = { kind: "ip", address: "127.0.0.1", port: 0 };

  async function pair(address = loopback) {
    const { runtime, until } = world.make();
    let server: Connection | undefined;
    const serverSide = new Recorder();
    const listening = await runtime.network.listen({ address }, (connection) => {
      server = connection;
      connection.handler = serverSide;
    });
    open.push(listening);
    const clientSide = new Recorder();
    const client = runtime.network.connect({ address: listening.address }, clientSide);
    await until(() => server !== undefined && clientSide.events.includes("connect"));
    return { runtime, until, server: server as Connection, serverSide, client, clientSide, listening };
  }

  test("listening on port 0 tells the real port", async () => {
    const { listening } = await pair();
    expect(listening.address.kind === "ip" && listening.address.port).toBeGreaterThan(0);
  });

  test("both ends know both addresses", async () => {
    const { client, server } = await pair();
    expect(client.remoteAddress).toEqual(server.localAddress);
    expect(client.localAddress).toEqual(server.remoteAddress);
    expect(client.id).not.toBe(server.id);
    client.destroy();
  });

  test("a string is written one byte a character", async () => {
    const { client, serverSide, until } = await pair();
    client.write("h\u00e9llo");
    await until(() => serverSide.bytes === 5);
    expect(serverSide.text).toBe("h\u00e9llo");
    client.destroy();
  });

  test("either side may end its half and hear the other's rest", async () => {
    const { client, clientSide, server, serverSide, until } = await pair();
    client.write("question");
    client.end();
    await until(() => serverSide.events.includes("end"));
    expect(serverSide.text).toBe("question");
    server.write("answer");
    server.end();
    await until(() => clientSide.isClosed && serverSide.isClosed);
    expect(clientSide.text).toBe("answer");
    expect(clientSide.events).toEqual(["connect", "data", "end", "close"]);
    expect(clientSide.error).toBeUndefined();
    expect(serverSide.error).toBeUndefined();
  });

  test("without onEnd the connection is ended", async () => {
    const { client, clientSide, server, until } = await pair();
    let isClosed = false;
    server.handler = { onData() {}, onClose: () => (isClosed = true) };
    client.end();
    await until(() => isClosed && clientSide.isClosed);
    expect(clientSide.events).toContain("end");
  });

  test("destroy closes at once; onClose comes last, once, with the error that was given", async () => {
    const { client, clientSide, serverSide, server, until } = await pair();
    const error = new Error("no more");
    client.destroy(error);
    client.destroy();
    await until(() => clientSide.isClosed && serverSide.events.includes("end"));
    expect(clientSide.error).toBe(error);
    expect(clientSide.events.filter((event) => event === "close")).toHaveLength(1);
    expect(client.isClosed).toBe(true);
    server.destroy();
    await until(() => serverSide.isClosed);
  });

  test("reset reaches the peer as ECONNRESET", async () => {
    const { client, serverSide, clientSide, until } = await pair();
    client.reset();
    await until(() => serverSide.isClosed && clientSide.isClosed);
    expect(serverSide.error).toMatchObject({ code: "ECONNRESET" });
    expect(clientSide.error).toBeUndefined();
  });

  test("a refused connection is closed with ECONNREFUSED and was never connected", async () => {
    const { runtime, until } = world.make();
    const listening = await runtime.network.listen({ address: loopback }, () => {});
    await listening.close();
    const side = new Recorder();
    runtime.network.connect({ address: listening.address }, side);
    await until(() => side.isClosed);
    expect(side.events).toEqual(["close"]);
    expect(side.error).toMatchObject({ code: "ECONNREFUSED" });
  });

  test("an address that is taken is refused with its name and the way out", async () => {
    const { listening, runtime, client } = await pair();
    const again = runtime.network.listen({ address: listening.address }, () => {});
    await expect(again).rejects.toBeInstanceOf(ListenError);
    await expect(again).rejects.toMatchObject({ code: "EADDRINUSE" });
    await expect(again).rejects.toThrow(/127\.0\.0\.1:\d+.*already in use/);
    client.destroy();
  });

  test("pause stops onData; one resume undoes any number of pauses", async () => {
    const { client, serverSide, server, runtime, until } = await pair();
    server.pause();
    server.pause();
    client.write("late");
    let isLater = false;
    runtime.clock.setTimer(30, () => (isLater = true));
    await until(() => isLater);
    expect(serverSide.bytes).toBe(0);
    server.resume();
    await until(() => serverSide.text === "late");
    client.destroy();
  });

  test("a slow reader makes write return false, and onDrain follows when it reads again", async () => {
    const { client, clientSide, server, serverSide, until } = await pair();
    server.pause();
    let written = 0;
    while (client.write(Buffer.alloc(65_536, 0x61))) written += 65_536;
    written += 65_536;
    // The kernel takes some: go on until what is buffered stays.
    while (client.bufferedBytes < 1_000_000) {
      client.write(Buffer.alloc(1_000_000, 0x61));
      written += 1_000_000;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(client.bufferedBytes).toBeGreaterThan(0);
    server.resume();
    await until(() => clientSide.events.includes("drain") && serverSide.bytes === written);
    expect(client.bufferedBytes).toBe(0);
    client.destroy();
  });

  test("bytes put back come first, to the new handler, even before the end", async () => {
    const { client, server, until } = await pair();
    const second = new Recorder();
    server.handler = {
      onData: (chunk) => {
        server.handler = second;
        server.unshift(chunk);
      },
      onClose() {},
    };
    client.write("hello ");
    await until(() => second.text === "hello ");
    client.write("world");
    client.end();
    await until(() => second.events.includes("end"));
    expect(second.text).toBe("hello world");
    client.destroy();
    server.destroy();
  });

  test("bytes put back while paused wait for resume", async () => {
    const { client, server, runtime, until } = await pair();
    const second = new Recorder();
    server.handler = {
      onData: (chunk) => {
        server.pause();
        server.handler = second;
        server.unshift(chunk);
      },
      onClose() {},
    };
    client.write("held");
    client.end();
    let isLater = false;
    runtime.clock.setTimer(30, () => (isLater = true));
    await until(() => isLater);
    expect(second.events).toEqual([]);
    server.resume();
    await until(() => second.events.includes("end"));
    expect(second.events).toEqual(["data", "end"]);
    server.destroy();
  });

  test("the handler may be replaced at any time", async () => {
    const { client, server, serverSide, until } = await pair();
    client.write("one");
    await until(() => serverSide.text === "one");
    const second = new Recorder();
    server.handler = second;
    client.write("two");
    await until(() => second.text === "two");
    expect(serverSide.text).toBe("one");
    client.destroy();
  });

  test("a pipe carries bytes both ways, and its reset ends it", async () => {
    const path = `/tmp/glassmesh-network-${process.pid}-${world.name}.sock`;
    const { client, server, serverSide, clientSide, until } = await pair({ kind: "pipe", path });
    client.write("to server");
    server.write("to client");
    await until(() => serverSide.text === "to server" && clientSide.text === "to client");
    client.reset();
    await until(() => serverSide.isClosed || serverSide.events.includes("end"));
    server.destroy();
  });

  test("IPv6 works, and is written in brackets", async () => {
    const { client, serverSide, until } = await pair({ kind: "ip", address: "::1", port: 0 });
    client.write("six");
    await until(() => serverSide.text === "six");
    expect(client.remoteAddress).toMatchObject({ address: "::1" });
    client.destroy();
  });

  test("closing the listening socket leaves open connections alone and refuses new ones", async () => {
    const { client, serverSide, listening, runtime, until } = await pair();
    await listening.close();
    client.write("still here");
    await until(() => serverSide.text === "still here");
    const late = new Recorder();
    runtime.network.connect({ address: listening.address }, late);
    await until(() => late.isClosed);
    expect(late.error).toMatchObject({ code: "ECONNREFUSED" });
    client.destroy();
  });

  test("a name is resolved; one that does not exist is an error", async () => {
    const { runtime, until } = world.make();
    let found: unknown;
    void runtime.network.resolve("localhost", 4).then((addresses) => (found = addresses));
    await until(() => found !== undefined);
    expect(found).toMatchObject([{ address: "127.0.0.1", family: 4 }]);
    let error: unknown;
    runtime.network.resolve("does-not-exist.invalid").catch((reason: unknown) => (error = reason));
    await until(() => error !== undefined);
    expect(error).toBeInstanceOf(Error);
  });
});
