/** Listeners of one proxy (§4.3). */
import { patchedListeners } from "./envoy-filter/listener-patches.ts";
import { reportCustomActions } from "./external-authorization.ts";
import { gatewayListeners } from "./gateway-listeners.ts";
import { boundInbound, virtualInbound } from "./inbound-listeners.ts";
import { byText, type JsonObject } from "./json.ts";
import { outboundListeners, virtualOutbound } from "./outbound-listeners.ts";
import { placedListeners } from "./placed-listeners.ts";
import { reportMissingKeys } from "./request-authentication.ts";
import { reportDenials } from "./security-policies.ts";
import { reportExtensions } from "./traffic-extensions.ts";
import type { View } from "./view.ts";

/** Sorted by name. */
export function listeners(view: View): readonly JsonObject[] {
  if (view.proxy.type === "waypoint") return [];
  reportDenials(view);
  reportCustomActions(view);
  reportMissingKeys(view);
  reportExtensions(view);
  const all = view.proxy.type === "router" ? gatewayListeners(view) : sidecarListeners(view);
  return patchedListeners(
    view,
    all.filter((listener) => listener !== undefined),
  ).toSorted((a, b) => byText(String(a["name"]), String(b["name"])));
}

function sidecarListeners(view: View): readonly (JsonObject | undefined)[] {
  if (view.proxy.placement !== undefined) return placedListeners(view);
  return [...outboundListeners(view), virtualOutbound(view), virtualInbound(view), ...boundInbound(view)];
}
