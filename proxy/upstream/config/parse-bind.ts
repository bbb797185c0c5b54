/** `upstream_bind_config` → the source address of connections, by family. */
import type { SocketAddress } from "#lib/connection.ts";
import type { MessageReader } from "#protos/reader.ts";
import type { BindConfig, SocketAddress as SocketAddressMessage } from "#protos/gen/envoy/config/core/v3/address_pb.js";
import { isIpAddress } from "./ip-address.ts";

export interface UpstreamBind {
  readonly v4: string | undefined;
  readonly v6: string | undefined;
}

/** undefined: the system's choice. */
export function sourceAddress(bind: UpstreamBind | undefined, target: SocketAddress): string | undefined {
  if (bind === undefined || target.kind !== "ip") return undefined;
  return target.address.includes(":") ? bind.v6 : bind.v4;
}

/**
 * Reads the source addresses: the first of the family of the host is taken. One source address alone is for hosts of
 * its own family; Envoy binds it for all, and those of the other family then fail.
 */
export function parseBind(reader: MessageReader<BindConfig>): UpstreamBind {
  const addresses: (string | undefined)[] = [];
  const source = reader.child("sourceAddress");
  if (source !== undefined) addresses.push(parseSource(source));
  const extra = reader.children("extraSourceAddresses");
  const additional = reader.children("additionalSourceAddresses");
  if (source === undefined && extra.length + additional.length > 0)
    reader.invalid("sourceAddress", "extra source addresses need a source_address");
  for (const child of extra) {
    const address = child.child("address");
    if (address !== undefined) addresses.push(parseSource(address));
    child.finish();
  }
  for (const child of additional) addresses.push(parseSource(child));
  if (reader.get("freebind") === true) reader.unsupported("freebind", "an address that is not there can't be bound");
  reader.finish();
  const known = addresses.filter((address) => address !== undefined);
  const families = known.map((address) => address.includes(":"));
  if (new Set(families).size < families.length)
    reader.invalid("extraSourceAddresses", "there can be one source address of each family");
  return {
    v4: known.find((address) => !address.includes(":")),
    v6: known.find((address) => address.includes(":")),
  };
}

/** Port 0 only, as everywhere in Istio. */
function parseSource(reader: MessageReader<SocketAddressMessage>): string | undefined {
  const address = reader.get("address");
  const port = reader.get("portSpecifier");
  reader.ignore("protocol", "connections are TCP");
  reader.finish();
  if (port.case === "portValue" && port.value !== 0)
    reader.unsupported("portSpecifier", "only port 0, any port, can be bound");
  if (isIpAddress(address)) return address;
  reader.invalid("address", `malformed IP address: ${address}`);
  return undefined;
}
