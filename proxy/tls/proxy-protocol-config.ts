/** Which TLVs of a PROXY header are passed on, from `ProxyProtocolPassThroughTLVs`. */
import type { MessageReader } from "#protos/reader.ts";
import type { ProxyProtocolPassThroughTLVs } from "#protos/gen/envoy/config/core/v3/proxy_protocol_pb.js";

export interface PassThroughTlvs {
  matches(type: number): boolean;
}

/** `INCLUDE_ALL` is the default of the message; without a message none is passed on. */
export function parsePassThroughTlvs(reader: MessageReader<ProxyProtocolPassThroughTLVs> | undefined): PassThroughTlvs {
  if (reader === undefined) return { matches: () => false };
  const isAll = reader.get("matchType") === 0;
  const types = new Set(reader.get("tlvType"));
  reader.finish();
  return { matches: (type) => isAll || types.has(type) };
}
