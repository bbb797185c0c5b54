/** The control plane's live events (`/debug/events`): one JSON object a line, read again after every break. */
import { request } from "undici";
import type { PlacedAddress } from "#control-plane/model/proxy-node.ts";

export type MeshEvent = Readonly<Record<string, unknown>> & { readonly type: string };

/** Calls `onEvent` until `signal` aborts. */
export async function followEvents(
  debug: () => PlacedAddress | undefined,
  onEvent: (event: MeshEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const at = debug();
    if (at !== undefined) await readOnce(at, onEvent, signal);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function readOnce(
  { address, port }: PlacedAddress,
  onEvent: (event: MeshEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  try {
    const response = await request(`http://${address}:${port}/debug/events`, {
      signal,
      bodyTimeout: 0,
      headersTimeout: 5000,
    });
    let rest = "";
    for await (const chunk of response.body) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const event = parseEvent(line);
        if (event !== undefined) onEvent(event);
      }
    }
  } catch {
    // The control plane is gone or not there yet: the caller looks again.
  }
}

function parseEvent(line: string): MeshEvent | undefined {
  const text = line.startsWith("data:") ? line.slice(5) : line;
  if (!text.trim().startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && "type" in value && typeof value.type === "string")
      return value as MeshEvent;
  } catch {
    // A comment or a half line.
  }
  return undefined;
}
