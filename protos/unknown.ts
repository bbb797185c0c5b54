/** What is on the wire that our .proto files do not know. */
import type { Message } from "@bufbuild/protobuf";
import type { Problem } from "#lib/problem.ts";
import { checkMessage } from "./check-message.ts";

/**
 * One problem `unknown-field` for each field number that the message does not have and each enum value that is not
 * declared, recursively, also through Any; an Any that can't be opened is a problem too. Paths are in snake_case.
 */
export function unknownFields(message: Message, path = ""): Problem[] {
  return checkMessage(message, path, { unknown: true, rules: false, throughAny: true });
}
