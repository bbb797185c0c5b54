import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Connection } from "./connection.ts";
import { memoryPipe } from "./memory-connection.ts";
import { SimulatedClock } from "./simulated-clock.ts";

const A = { kind: "internal", listener: "a", path: "envoy://a/" } as const;
const B = { kind: "internal", listener: "b", path: "envoy://b/" } as const;

function setUp(bufferBytes?: number) {
  const clock = new SimulatedClock();
  const pipe = memoryPipe({ clock, clientAddress: A, serverAddress: B, bufferBytes, ids: { next: 1 } });
  return { ...pipe, settle: () => clock.advance(0), heard: [hear(pipe.client), hear(pipe.server)] as const };
}

function hear(connection: Connection) {
  const heard = { text: "", events: [] as string[] };
  connection.handler = {
    onData: (chunk) => void (heard.text += chunk.toString("latin1")),
    onEnd: () => void heard.events.push("end"),
    onDrain: () => void heard.events.push("drain"),
    onClose: (error) => void heard.events.push(error === undefined ? "close" : `close ${error.message}`),
  };
  return heard;
}

describe("a connection in memory", () => {
  test("what is written arrives in order, and never within the write", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.boolean(), fc.string({ unit: "grapheme-ascii" }))), async (writes) => {
        const { client, server, settle, heard } = setUp();
        const sent: [string, string] = ["", ""];
        for (const [isClient, text] of writes) {
          const before = heard[0].text + heard[1].text;
          (isClient ? client : server).write(text);
          expect(heard[0].text + heard[1].text).toBe(before);
          sent[isClient ? 1 : 0] += text;
        }
        await settle();
        expect([heard[0].text, heard[1].text]).toEqual(sent);
      }),
    );
  });

  test("each side ends by itself, and the connection is over when both have", async () => {
    const { client, server, settle, heard } = setUp();
    client.write("last");
    client.end();
    await settle();
    expect(heard[1]).toEqual({ text: "last", events: ["end"] });
    server.write("answer");
    server.end();
    await settle();
    expect(heard[0]).toEqual({ text: "answer", events: ["end", "close"] });
    expect(heard[1].events).toEqual(["end", "close"]);
    expect([client.isClosed, server.isClosed]).toEqual([true, true]);
  });

  test("a side that is destroyed leaves what it wrote; a reset does not", async () => {
    const gone = setUp();
    gone.client.write("kept");
    gone.client.destroy();
    await gone.settle();
    expect(gone.heard[1]).toEqual({ text: "kept", events: ["end", "close"] });
    const reset = setUp();
    reset.client.write("lost");
    reset.client.reset();
    await reset.settle();
    expect(reset.heard[1]).toEqual({ text: "", events: ["close read ECONNRESET"] });
    expect(reset.heard[0].events).toEqual(["close"]);
  });

  test("a reader that pauses holds the writer back, and lets it on when all is read", async () => {
    const { client, server, settle, heard } = setUp(10);
    server.pause();
    expect(client.write("12345")).toBe(true);
    expect(client.write("678901")).toBe(false);
    await settle();
    expect(client.bufferedBytes).toBe(11);
    expect(heard[1].text).toBe("");
    server.resume();
    await settle();
    expect(heard[1].text).toBe("12345678901");
    expect(heard[0].events).toEqual(["drain"]);
    expect(client.bufferedBytes).toBe(0);
  });

  test("bytes that were put back come first, for the handler that is there then", async () => {
    const { client, server, settle } = setUp();
    server.handler = {
      onData(chunk) {
        server.unshift(Buffer.concat([Buffer.from("again:"), chunk]));
        hearAgain = hear(server);
      },
      onClose: () => undefined,
    };
    let hearAgain = { text: "", events: [] as string[] };
    client.write("one");
    client.write("two");
    await settle();
    expect(hearAgain.text).toBe("again:onetwo");
  });

  test("an end waits for what is unread", async () => {
    const { client, server, settle, heard } = setUp();
    server.pause();
    client.write("x");
    client.end();
    await settle();
    expect(heard[1]).toEqual({ text: "", events: [] });
    server.resume();
    await settle();
    expect(heard[1]).toEqual({ text: "x", events: ["end"] });
  });

  test("the client may be told to count as another", () => {
    const { server } = setUp();
    server.readdress?.({ kind: "ip", address: "10.0.0.1", port: 1 });
    expect(server.remoteAddress).toEqual({ kind: "ip", address: "10.0.0.1", port: 1 });
    expect(server.directRemoteAddress).toEqual(A);
  });
});
