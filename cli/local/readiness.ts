/** Waiting for processes: a port that accepts, an admin page that says LIVE. */
import net from "node:net";
import { request } from "undici";
import type { PlacedAddress } from "#control-plane/model/proxy-node.ts";

const LOOK_EVERY_MS = 80;

/** Asks again until `isSo` or until `signal` aborts; false when it was aborted. */
export async function until(isSo: () => boolean | Promise<boolean>, signal: AbortSignal): Promise<boolean> {
  while (!signal.aborted) {
    if (await isSo()) return true;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  return false;
}

export function accepts({ address, port }: PlacedAddress): () => Promise<boolean> {
  return () =>
    new Promise((resolve) => {
      const socket = net.connect({ host: address, port });
      socket.once("connect", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
}

export function answersReady({ address, port }: PlacedAddress): () => Promise<boolean> {
  return async () => {
    try {
      const response = await request(`http://${address}:${port}/ready`);
      await response.body.dump();
      return response.statusCode === 200;
    } catch {
      return false;
    }
  };
}
