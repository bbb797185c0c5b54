/** Options of listening sockets: those with fields of their own, and `socket_options`. */
import type { SocketOption } from "#lib/runtime.ts";
import { hasBoundSockets, intValue } from "#lib/node-bound-socket.ts";
import type { MessageReader } from "#protos/reader.ts";
import type { SocketOption as SocketOptionMessage } from "#protos/gen/envoy/config/core/v3/socket_option_pb.js";
import type { Listener } from "#protos/gen/envoy/config/listener/v3/listener_pb.js";
import type { ListenAddress, ListenerModel } from "./model.ts";

/** Linux: level and name, for IPv4 and for IPv6. */
const IP_LEVEL = { 4: 0, 6: 41 } as const;
const FREEBIND = { 4: 15, 6: 78 } as const;
const TRANSPARENT = { 4: 19, 6: 75 } as const;
const IPPROTO_TCP = 6;
const TCP_FASTOPEN = 23;

/** Problems go to the reader's list. */
export function parseSocketOptions(
  reader: MessageReader<Listener>,
  addresses: readonly ListenAddress[],
): Pick<ListenerModel, "socketOptions" | "mptcp"> {
  const [first] = addresses;
  const family = first?.address.kind === "ip" && first.address.address.includes(":") ? 6 : 4;
  const options: SocketOption[] = [];
  const flag = (name: number): void => void options.push({ level: IP_LEVEL[family], name, value: intValue(1) });
  if (reader.get("freebind") === true) flag(FREEBIND[family]);
  if (reader.get("transparent") === true) flag(TRANSPARENT[family]);
  const queue = reader.get("tcpFastOpenQueueLength");
  if (queue !== undefined) options.push({ level: IPPROTO_TCP, name: TCP_FASTOPEN, value: intValue(queue) });
  for (const option of reader.children("socketOptions")) options.push(...parseOne(option));
  const mptcp = reader.get("enableMptcp");
  if ((options.length > 0 || mptcp) && !hasBoundSockets())
    reader.unsupported(options.length > 0 ? "socketOptions" : "enableMptcp", "socket options need Linux; remove them");
  return { socketOptions: options, mptcp };
}

/** Levels and names are the system's numbers. */
function parseOne(reader: MessageReader<SocketOptionMessage>): readonly SocketOption[] {
  reader.ignore("description", "for people");
  const level = Number(reader.get("level"));
  const name = Number(reader.get("name"));
  const value = reader.get("value");
  reader.ignore("state", "set before the socket is bound, an option is set on the bound and on the listening one too");
  reader.finish();
  if (value.case === undefined) {
    reader.invalid("value", "one of int_value, buf_value must be set");
    return [];
  }
  return [{ level, name, value: value.case === "intValue" ? intValue(Number(value.value)) : Buffer.from(value.value) }];
}
