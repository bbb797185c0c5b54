/** Listeners of one proxy (§4.3). */
import { boundInbound, virtualInbound } from "./inbound-listeners.ts";
import { byText, type JsonObject } from "./json.ts";
import { outboundListeners, virtualOutbound } from "./outbound-listeners.ts";
import { placedListeners } from "./placed-listeners.ts";
import { reportDenials } from "./security-policies.ts";
import { specOf } from "./spec/spec.ts";
import type { SidecarSpec } from "./spec/sidecar.ts";
import { report, type View } from "./view.ts";

/** Sorted by name. A gateway has those of its Gateway objects, which are not translated yet: none. */
export function listeners(view: View): readonly JsonObject[] {
  if (view.proxy.type !== "sidecar") return [];
  reportDenials(view);
  reportEgressProxy(view);
  const all =
    view.proxy.placement === undefined
      ? [...outboundListeners(view), virtualOutbound(view), virtualInbound(view), ...boundInbound(view)]
      : placedListeners(view);
  return all
    .filter((listener) => listener !== undefined)
    .toSorted((a, b) => byText(String(a["name"]), String(b["name"])));
}

function reportEgressProxy(view: View): void {
  const { sidecar } = view.scope;
  if (sidecar === undefined || specOf<SidecarSpec>(sidecar).outboundTrafficPolicy?.egressProxy === undefined) return;
  const message = "An egress proxy for unknown traffic is not known here: it is let through or refused as mode says.";
  report(view, "warning", "no-effect", sidecar, "spec.outboundTrafficPolicy.egressProxy", message);
}
