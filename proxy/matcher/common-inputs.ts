/** Inputs that every matcher may ask for, whatever it is about. */
import type { Message } from "@bufbuild/protobuf";
import type { MessageReader } from "#protos/reader.ts";
import type { Config as EnvironmentInput } from "#protos/gen/envoy/extensions/matching/common_inputs/environment_variable/v3/input_pb.js";
import type { FilterStateInput } from "#protos/gen/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.js";

/** Reads `environment_variable.v3.Config`, known from the start; undefined when the message is another one. */
export function parseEnvironmentInput(
  message: Message,
  reader: MessageReader<Message>,
): (() => string | undefined) | undefined {
  if (message.$typeName !== "envoy.extensions.matching.common_inputs.environment_variable.v3.Config") return undefined;
  const environment = reader as MessageReader<EnvironmentInput>;
  const value = process.env[environment.get("name")];
  environment.finish();
  return () => value;
}

/** Reads `FilterStateInput`: an object of the filter state as text; undefined when the message is another one. */
export function parseFilterStateInput(
  message: Message,
  reader: MessageReader<Message>,
): ((state: ReadonlyMap<string, unknown> | undefined) => string | undefined) | undefined {
  if (message.$typeName !== "envoy.extensions.matching.common_inputs.network.v3.FilterStateInput") return undefined;
  const state = reader as MessageReader<FilterStateInput>;
  const key = state.get("key");
  state.finish();
  return (objects) => {
    const value = objects?.get(key);
    return value === undefined || typeof value === "string" ? value : JSON.stringify(value);
  };
}
