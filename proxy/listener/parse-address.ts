/** `envoy.config.core.v3.Address` of a listening socket. */
import { MessageReader } from "#protos/reader.ts";
import { parseIp } from "../http/cidr.ts";
import type { Address } from "#protos/gen/envoy/config/core/v3/address_pb.js";
import type { ListenAddress } from "./model.ts";

/** Undefined when it has problems, which are on the reader's list. */
export function parseListenAddress(reader: MessageReader<Address>): ListenAddress | undefined {
  const specifier = reader.get("address");
  const at = reader.at("address");
  reader.finish();
  if (specifier.case === "pipe") {
    const pipe = new MessageReader(specifier.value, at, reader.problems);
    const path = pipe.get("path");
    const mode = pipe.get("mode");
    pipe.finish();
    return { address: { kind: "pipe", path }, ipv4Compat: false, mode };
  }
  if (specifier.case !== "socketAddress") {
    if (specifier.case === undefined) reader.invalid("address", "needs a socket_address or a pipe");
    else reader.unsupported("address");
    return undefined;
  }
  const socket = new MessageReader(specifier.value, at, reader.problems);
  const address = socket.get("address");
  const port = socket.get("portSpecifier");
  const ipv4Compat = socket.get("ipv4Compat");
  if (socket.get("protocol") !== 0) socket.unsupported("protocol", "only TCP is supported");
  if (socket.get("networkNamespaceFilepath") !== "") socket.unsupported("networkNamespaceFilepath");
  if (socket.get("resolverName") !== "")
    socket.unsupported("resolverName", "listeners bind to IP addresses; remove it");
  socket.finish();
  if (parseIp(address) === undefined) {
    socket.invalid("address", `malformed IP address: ${address}. A listener binds to an IP address`);
    return undefined;
  }
  if (port.case !== "portValue") {
    socket.invalid("portSpecifier", "port_value must be set");
    return undefined;
  }
  return { address: { kind: "ip", address, port: port.value }, ipv4Compat, mode: 0 };
}
