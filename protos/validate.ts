/** The `(validate.rules)` that Envoy's messages carry, interpreted from the descriptors. */
import type { Message } from "@bufbuild/protobuf";
import type { Problem } from "#lib/problem.ts";
import { checkMessage } from "./check-message.ts";

export interface ValidateOptions {
  /** Also what is inside each `google.protobuf.Any`, as Envoy does when it opens one. */
  readonly throughAny?: boolean;
}

/**
 * Every broken constraint as a problem `invalid-value` with its path in snake_case and Envoy's words:
 * `Proto constraint validation failed (ClusterValidationError.Name: value length must be at least 1 characters)`.
 */
export function validateMessage(message: Message, path = "", options: ValidateOptions = {}): Problem[] {
  return checkMessage(message, path, { unknown: false, rules: true, throughAny: options.throughAny === true });
}
