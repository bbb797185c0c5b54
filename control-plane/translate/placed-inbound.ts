/** The inbound ports of a workload that `glassmesh up` has placed on this machine. */
import type { PlacedAddress } from "../model/proxy-node.ts";
import { type InboundPort, inboundPorts } from "./inbound-ports.ts";
import type { View } from "./view.ts";

export interface PlacedInboundPort {
  readonly inbound: InboundPort;
  readonly bind: PlacedAddress;
  readonly app: PlacedAddress;
}

/** A port that no service names is sniffed, as it would be behind interception. */
export function placedInbound(view: View): readonly PlacedInboundPort[] {
  const named = new Map(inboundPorts(view).map((inbound) => [inbound.targetPort, inbound]));
  return (view.proxy.placement?.inbound ?? []).map(({ port, bind, app }) => ({
    inbound: named.get(port) ?? {
      targetPort: port,
      port: { number: port, name: "", protocol: "auto", targetPort: port },
      service: undefined,
      address: bind.address,
      isBound: true,
      endpoint: undefined,
      pool: undefined,
      sidecar: undefined,
    },
    bind,
    app,
  }));
}
