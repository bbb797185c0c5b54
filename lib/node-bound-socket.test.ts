import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { hasBoundSockets, intValue } from "./node-bound-socket.ts";
import { nodeNetwork } from "./node-network.ts";
import { ListenError, type ListeningSocket } from "./runtime.ts";

const network = nodeNetwork();
const ip = (address: string, port: number) => ({ kind: "ip", address, port }) as const;
const IP_FREEBIND = { level: 0, name: 15, value: intValue(1) };

async function reached({ address }: ListeningSocket): Promise<boolean> {
  if (address.kind !== "ip") return false;
  const { port } = address;
  return new Promise((resolve) => {
    const socket = connect(port, address.address, () => resolve(true));
    socket.once("error", () => resolve(false)).once("connect", () => socket.destroy());
  });
}

describe.skipIf(!hasBoundSockets())("listening sockets of the system's own calls", () => {
  test.each(["127.0.0.1", "::1"])("options are set before the bind, and connections come: %s", async (address) => {
    const options = { address: ip(address, 0), socketOptions: [{ level: 6, name: 23, value: intValue(16) }] };
    const socket = await network.listen(options, (connection) => connection.destroy());
    expect(await reached(socket)).toBe(true);
    await socket.close();
    expect(await reached(socket)).toBe(false);
  });

  test("an address of nobody is bound with freebind, and refused without", async () => {
    const address = ip("192.0.2.77", 0);
    const socket = await network.listen({ address, socketOptions: [IP_FREEBIND] }, () => undefined);
    await socket.close();
    expect(network.listenProblem?.({ address })).toMatchObject({ code: "EADDRNOTAVAIL" });
  });

  test("an address that is taken is known before anything is opened", async () => {
    const socket = await network.listen({ address: ip("127.0.0.1", 0) }, () => undefined);
    const problem = network.listenProblem?.({ address: socket.address });
    expect(problem).toBeInstanceOf(ListenError);
    expect(problem?.code).toBe("EADDRINUSE");
    await socket.close();
    expect(network.listenProblem?.({ address: socket.address })).toBeUndefined();
  });

  test("a port is shared by those that all ask for it, and by nobody else", async () => {
    const first = await network.listen({ address: ip("127.0.0.1", 0), reusePort: true }, () => undefined);
    const { address } = first;
    expect(network.listenProblem?.({ address, reusePort: true })).toBeUndefined();
    expect(network.listenProblem?.({ address })).toMatchObject({ code: "EADDRINUSE" });
    const second = await network.listen({ address, reusePort: true }, () => undefined);
    await Promise.all([first.close(), second.close()]);
  });

  test("an option that the system does not know is refused with its numbers", async () => {
    const listening = network.listen(
      { address: ip("127.0.0.1", 0), socketOptions: [{ level: 250, name: 1, value: intValue(1) }] },
      () => undefined,
    );
    await expect(listening).rejects.toThrow(/level 250 name 1/);
  });
});
