/** `admin`. */
import type { SocketAddress } from "#lib/connection.ts";
import type { Admin } from "#protos/gen/envoy/config/bootstrap/v3/bootstrap_pb.js";
import type { Address } from "#protos/gen/envoy/config/core/v3/address_pb.js";
import type { MessageReader } from "#protos/reader.ts";
import type { AdminModel } from "./model.ts";

/** Undefined without an address: Envoy has no admin interface then. */
export function parseAdmin(reader: MessageReader<Admin>): AdminModel | undefined {
  reader.ignore("profilePath", "there is no CPU profiler in the admin interface");
  reader.ignore("ignoreGlobalConnLimit", "connections of the admin interface never count against the limit");
  const accessLog = reader.get("accessLog");
  const addressReader = reader.child("address");
  const address = addressReader === undefined ? undefined : parseAddress(addressReader);
  // Envoy's older form of a file access log; the null device is what people write there.
  if (reader.get("accessLogPath") !== "" && reader.message.accessLogPath !== "/dev/null") {
    reader.unsupported("accessLogPath", "access_log_path is deprecated in Envoy: use admin.access_log");
  }
  reader.finish();
  return address === undefined ? undefined : { address, accessLog };
}

function parseAddress(reader: MessageReader<Address>): SocketAddress | undefined {
  const address = reader.get("address");
  reader.finish();
  switch (address.case) {
    case "pipe":
      return { kind: "pipe", path: address.value.path };
    case "socketAddress": {
      const socket = reader.oneof("address", address.value);
      const ip = socket.get("address");
      const port = socket.get("portSpecifier");
      if (socket.get("protocol") !== 0) socket.unsupported("protocol", "the admin interface listens on TCP only");
      socket.ignore("ipv4Compat", "an IPv6 wildcard address accepts IPv4 as the system is set up");
      socket.finish();
      if (port.case === "portValue") return { kind: "ip", address: ip, port: port.value };
      socket.invalid("portSpecifier", "a port_value is needed");
      return undefined;
    }
    case "envoyInternalAddress":
      reader.unsupported("address");
      return undefined;
    case undefined:
      return undefined;
  }
}
