/** Opening `google.protobuf.Any`. */
import { fromBinary, type Message } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Parsed } from "#lib/problem.ts";
import { registry } from "./registry.ts";
import { typeNameOf } from "./type-url.ts";
import { messageFromJson } from "./json.ts";
import type { TypedStruct } from "./gen/xds/type/v3/typed_struct_pb.js";

export { typeUrlOf } from "./type-url.ts";

const typedStructs: ReadonlySet<string> = new Set(["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"]);

/**
 * The message inside an Any. A `TypedStruct` is unwrapped into the message that it describes where that type is known,
 * and given back as it is otherwise. Problems: `unknown-type`, `invalid-value`.
 */
export function unpackAny(any: Any, path: string): Parsed<Message> {
  const opened = openAny(any, path);
  return opened.value === undefined ? opened : unwrapTypedStruct(opened.value, path);
}

/** As `unpackAny`, but a `TypedStruct` stays one. */
export function openAny(any: Any, path: string): Parsed<Message> {
  const desc = registry().getMessage(typeNameOf(any.typeUrl));
  if (desc === undefined) {
    const message =
      any.typeUrl === ""
        ? "an Any without a type_url"
        : `unknown type ${any.typeUrl}: it is not among the types that this build knows`;
    return { problems: [{ code: "unknown-type", level: "error", path, message }] };
  }
  try {
    return { value: fromBinary(desc, any.value), problems: [] };
  } catch (error) {
    const message = `the bytes are not a ${desc.typeName}: ${error instanceof Error ? error.message : String(error)}`;
    return { problems: [{ code: "invalid-value", level: "error", path, message }] };
  }
}

function unwrapTypedStruct(message: Message, path: string): Parsed<Message> {
  if (!typedStructs.has(message.$typeName)) return { value: message, problems: [] };
  const { typeUrl, value } = message as TypedStruct;
  const typeName = typeNameOf(typeUrl);
  if (registry().getMessage(typeName) === undefined) return { value: message, problems: [] };
  return messageFromJson(typeName, value ?? {}, path);
}
