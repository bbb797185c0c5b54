/** What the control plane found out about manifests and proxies so far (`/debug/findings`). */
import { request } from "undici";
import type { PlacedAddress } from "#control-plane/model/proxy-node.ts";

/** Empty while the control plane does not answer. */
export async function readFindings({ address, port }: PlacedAddress): Promise<readonly unknown[]> {
  try {
    const response = await request(`http://${address}:${port}/debug/findings`, { headersTimeout: 2000 });
    const value: unknown = await response.body.json();
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
