/** Listeners of one proxy (§4.3). */
import { boundInbound, virtualInbound } from "./inbound-listeners.ts";
import { byText, type JsonObject } from "./json.ts";
import { outboundListeners, virtualOutbound } from "./outbound-listeners.ts";
import { placedListeners } from "./placed-listeners.ts";
import { reportDenials } from "./security-policies.ts";
import type { View } from "./view.ts";

/** Sorted by name. */
export function listeners(view: View): readonly JsonObject[] {
  reportDenials(view);
  const all =
    view.proxy.placement === undefined
      ? [...outboundListeners(view), virtualOutbound(view), virtualInbound(view), ...boundInbound(view)]
      : placedListeners(view);
  return all
    .filter((listener) => listener !== undefined)
    .toSorted((a, b) => byText(String(a["name"]), String(b["name"])));
}
