/** Filters that count something for the whole process: with several threads each would let through as much again. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed } from "#lib/problem.ts";
import type { HTTPFault } from "#protos/gen/envoy/extensions/filters/http/fault/v3/fault_pb.js";

interface Factory {
  readonly name: string;
  parse(message: Message, path: string): Parsed<unknown>;
  parseRoute?(message: Message, path: string): Parsed<unknown>;
}

/** Name → the field that makes it count; "": it always does. */
const COUNTING: ReadonlyMap<string, (message: Message) => string | undefined> = new Map<
  string,
  (message: Message) => string | undefined
>([
  ["envoy.filters.http.local_ratelimit", () => ""],
  ["envoy.filters.network.local_ratelimit", () => ""],
  ["envoy.filters.network.connection_limit", () => ""],
  [
    "envoy.filters.http.fault",
    (message: Message) => ((message as HTTPFault).maxActiveFaults === undefined ? undefined : "max_active_faults"),
  ],
]);

/**
 * The factory itself, or one that refuses what counts for the process.
 * Differs from Envoy: its workers share these counts.
 */
export function countedByProcess<F extends Factory>(factory: F): F {
  const counts = COUNTING.get(factory.name);
  if (counts === undefined) return factory;
  const refused = (message: Message, path: string): Parsed<never> | undefined => {
    const field = counts(message);
    return field === undefined ? undefined : refusal(factory.name, field === "" ? path : `${path}.${field}`);
  };
  const made: Factory = {
    ...factory,
    parse: (message, path) => refused(message, path) ?? factory.parse(message, path),
  };
  if (factory.parseRoute !== undefined)
    made.parseRoute = (message, path) => refused(message, path) ?? factory.parseRoute?.(message, path) ?? NOTHING;
  return made as F;
}

const NOTHING: Parsed<never> = { problems: [] };

function refusal(name: string, path: string): Parsed<never> {
  const message = `${name} counts for the whole process, which it does with one thread only: start the proxy with --concurrency 1, or leave it out`;
  return { problems: [{ code: "unsupported-field", level: "error", path, message }] };
}
