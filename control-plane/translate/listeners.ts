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
import { specOf } from "./spec/spec.ts";
import type { SidecarSpec } from "./spec/sidecar.ts";
import { reportExtensions } from "./traffic-extensions.ts";
import { report, type View } from "./view.ts";

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
  reportEgressProxy(view);
  if (view.proxy.placement !== undefined) return placedListeners(view);
  return [...outboundListeners(view), virtualOutbound(view), virtualInbound(view), ...boundInbound(view)];
}

function reportEgressProxy(view: View): void {
  const { sidecar } = view.scope;
  if (sidecar === undefined || specOf<SidecarSpec>(sidecar).outboundTrafficPolicy?.egressProxy === undefined) return;
  const message = "An egress proxy for unknown traffic is not known here: it is let through or refused as mode says.";
  report(view, "warning", "no-effect", sidecar, "spec.outboundTrafficPolicy.egressProxy", message);
}
