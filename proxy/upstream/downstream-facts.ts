/** What an upstream transport may tell of a downstream connection or request (PROXY header, internal listeners). */
import { formatAddress, type SocketAddress } from "#lib/connection.ts";
import { sharedState } from "../filter-state.ts";
import type { StreamInfo } from "../stream-info.ts";
import { PROXY_PROTOCOL_STATE, type DownstreamFacts, type ProxiedConnection } from "../tls/types.ts";
import type { Metadata } from "./types.ts";

const NOWHERE: SocketAddress = { kind: "ip", address: "0.0.0.0", port: 0 };

/** Made for a request or a connection to a cluster that `wantsDownstream`, and only then. */
export function downstreamFacts(info: StreamInfo, routeMetadata: Metadata | undefined): DownstreamFacts {
  const source = info.connection?.remoteAddress ?? NOWHERE;
  const destination = info.downstreamLocalAddress ?? info.connection?.localAddress ?? NOWHERE;
  const known = info.filterState?.get(PROXY_PROTOCOL_STATE) as ProxiedConnection | undefined;
  const proxied = known ?? { source, destination, tlvs: [] };
  const filterState = sharedState(info.filterState);
  const metadata = new Map<"request" | "route", Metadata>();
  if (info.dynamicMetadata !== undefined) metadata.set("request", Object.fromEntries(info.dynamicMetadata));
  if (routeMetadata !== undefined) metadata.set("route", routeMetadata);
  return { key: keyOf(proxied, filterState), proxied, filterState, metadata };
}

/** Connections are shared by requests of one downstream connection that say the same. */
function keyOf(
  { source, destination, tlvs }: ProxiedConnection,
  state: ReadonlyMap<string, unknown> | undefined,
): string {
  const parts = [formatAddress(source), formatAddress(destination)];
  for (const { type, value } of tlvs) parts.push(`${type}:${value.toString("hex")}`);
  for (const [key, value] of state ?? [])
    parts.push(`${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return parts.join(" ");
}
