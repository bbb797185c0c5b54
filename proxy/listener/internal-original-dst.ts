/** `original_dst` on an internal listener: both addresses come from what was given along, as nothing was redirected. */
import type { SocketAddress } from "#lib/connection.ts";
import { parseIp } from "../http/cidr.ts";
import type { AcceptedFacts } from "./listener-filters.ts";

const NAMESPACE = "envoy.filters.listener.original_dst";
const LOCAL_STATE = `${NAMESPACE}.local_ip`;
const REMOTE_STATE = `${NAMESPACE}.remote_ip`;

/** Metadata `local` first, then filter state; what is no `ip:port` is no address. */
export function restoreOfInternal(facts: AcceptedFacts): void {
  const local =
    addressOf(facts.dynamicMetadata.get(NAMESPACE)?.["local"]) ?? addressOf(facts.filterState.get(LOCAL_STATE));
  if (local !== undefined) {
    facts.localAddress = local;
    facts.isLocalAddressRestored = true;
  }
  const remote = addressOf(facts.filterState.get(REMOTE_STATE));
  if (remote !== undefined) facts.readdress(remote);
}

/** `ip:port` or `[ip]:port`. */
function addressOf(value: unknown): SocketAddress | undefined {
  const found = typeof value === "string" ? /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(value) : null;
  if (found === null) return undefined;
  const address = found[1] ?? found[2] ?? "";
  const port = Number(found[3]);
  return parseIp(address) === undefined || port > 65_535 ? undefined : { kind: "ip", address, port };
}
