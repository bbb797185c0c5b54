/** The wire of Istio's TCP metadata exchange: a magic number, a length, and an Any with who one is. */
import { create, fromBinary, toBinary, type JsonObject } from "@bufbuild/protobuf";
import type { Any, Struct } from "@bufbuild/protobuf/wkt";
import { messageToJson } from "#protos/json.ts";
import { schema } from "#protos/registry.ts";
import { encodedMetadata } from "../http/filters/istio-peer-metadata.ts";
import { peerFromNodeMetadata, type PeerMetadata } from "../observability/peer.ts";

const MAGIC = 0x3d230467;
const HEADER_BYTES = 8;
const STRUCT_URL = "type.googleapis.com/google.protobuf.Struct";
const METADATA_KEY = "x-envoy-peer-metadata";
const ID_KEY = "x-envoy-peer-metadata-id";
/** What a peer says of itself is a few hundred bytes; nobody may make us keep more than this. */
export const MAX_EXCHANGE_BYTES: number = 1024 * 1024;

/** What is sent first, made once a configuration. */
export function encodeExchange(
  node: { readonly id: string; readonly metadata: Readonly<Record<string, unknown>> },
  additionalLabels: readonly string[],
): Buffer {
  const structType = schema<Struct>("google.protobuf.Struct");
  const own = fromBinary(structType, Buffer.from(encodedMetadata(node.metadata, additionalLabels), "base64"));
  const struct = create(structType, {
    fields: {
      [METADATA_KEY]: { kind: { case: "structValue", value: own } },
      [ID_KEY]: { kind: { case: "stringValue", value: node.id } },
    },
  } as Parameters<typeof create<typeof structType>>[1]);
  const anyType = schema<Any>("google.protobuf.Any");
  const any = toBinary(anyType, create(anyType, { typeUrl: STRUCT_URL, value: toBinary(structType, struct) }));
  const message = Buffer.alloc(HEADER_BYTES + any.length);
  message.writeUInt32BE(MAGIC, 0);
  message.writeUInt32BE(any.length, 4);
  message.set(any, HEADER_BYTES);
  return message;
}

export type ExchangeReading =
  | { readonly kind: "more" }
  /** The peer does not take part: everything is data. */
  | { readonly kind: "no-header" }
  /** `rest` is data; `peer` is undefined when it could not be read. */
  | { readonly kind: "header"; readonly peer: PeerMetadata | undefined; readonly rest: Buffer };

/** Looks at all bytes since the beginning. */
export function readExchange(bytes: Buffer): ExchangeReading {
  for (let i = 0; i < Math.min(bytes.length, 4); i++)
    if (bytes[i] !== ((MAGIC >>> (24 - 8 * i)) & 0xff)) return { kind: "no-header" };
  if (bytes.length < HEADER_BYTES) return { kind: "more" };
  const length = bytes.readUInt32BE(4);
  if (length > MAX_EXCHANGE_BYTES) return { kind: "no-header" };
  if (bytes.length < HEADER_BYTES + length) return { kind: "more" };
  const end = HEADER_BYTES + length;
  return { kind: "header", peer: peerOf(bytes.subarray(HEADER_BYTES, end)), rest: bytes.subarray(end) };
}

function peerOf(bytes: Buffer): PeerMetadata | undefined {
  try {
    const any = fromBinary(schema<Any>("google.protobuf.Any"), bytes);
    const struct = fromBinary(schema<Struct>("google.protobuf.Struct"), any.value);
    const metadata = (messageToJson(struct) as JsonObject)[METADATA_KEY];
    if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) return undefined;
    return peerFromNodeMetadata(metadata);
  } catch {
    return undefined;
  }
}
