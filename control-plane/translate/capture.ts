/** How iptables hands connections to a sidecar: at which ports, and whether with the addresses of both ends. */
import type { View } from "./view.ts";

const PORTS = {
  outbound: { key: "proxyListenPort", standard: 15001 },
  inbound: { key: "proxyInboundListenPort", standard: 15006 },
} as const;

/** MeshConfig.proxyListenPort and proxyInboundListenPort. */
export function capturePort(view: View, direction: "inbound" | "outbound"): number {
  const { key, standard } = PORTS[direction];
  const written = Number(view.mesh.meshConfig.raw[key] ?? 0);
  return Number.isInteger(written) && written > 0 ? written : standard;
}

/** TPROXY; undefined for everything else, so that the field is left out. */
export function isTransparent(view: View): true | undefined {
  return view.proxy.interceptionMode === "TPROXY" ? true : undefined;
}
