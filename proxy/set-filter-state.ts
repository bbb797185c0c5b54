/** `FilterStateValue`: objects that the filters `set_filter_state` write, of a stream or of a connection. */
import type { MessageReader } from "#protos/reader.ts";
import type { FilterStateValue } from "#protos/gen/envoy/extensions/filters/common/set_filter_state/v3/value_pb.js";
import { parseFormatString } from "./observability/access-log/parse.ts";
import { formatEnvironment } from "./observability/access-log/format.ts";
import type { FormatContext } from "./observability/access-log/types.ts";
import { shareWithUpstream } from "./filter-state.ts";
import type { Runtime } from "#lib/runtime.ts";

/** Writes one object. */
export interface FilterStateSetter {
  /** Once a configuration. */
  create(runtime: Runtime): (context: FormatContext, state: Map<string, unknown>) => void;
}

/**
 * What may be made of a text here: texts for access logs, hashing and authorization, and the objects that parts of this
 * proxy read. Any other object would be set and then ignored: it is refused by name.
 */
const factories: ReadonlySet<string> = new Set([
  "envoy.string",
  "envoy.hashable_string",
  "envoy.tcp_proxy.cluster",
  "envoy.tcp_proxy.disable_tunneling",
  "envoy.filters.listener.original_dst.local_ip",
  "envoy.filters.listener.original_dst.remote_ip",
  "envoy.ratelimit.hits_addend",
]);

/** Reads a list; what can't be read is on the reader's list of problems. */
export function parseFilterStateValues(readers: readonly MessageReader<FilterStateValue>[]): FilterStateSetter[] {
  return readers.map(parseOne).filter((setter) => setter !== undefined);
}

function parseOne(reader: MessageReader<FilterStateValue>): FilterStateSetter | undefined {
  const key = reader.get("key").value ?? "";
  const named = reader.get("factoryKey");
  const factory = named === "" ? key : named;
  const value = reader.get("value");
  const skipIfEmpty = reader.get("skipIfEmpty");
  reader.ignore("readOnly", "no other filter here writes an object that a configuration has set");
  const sharing = ([undefined, "once", "transitive"] as const)[reader.get("sharedWithUpstream")];
  reader.finish();
  if (key === "") reader.invalid("key", "object_key is required");
  if (!factories.has(factory))
    reader.unsupported(
      named === "" ? "key" : "factoryKey",
      `'${factory}' does not have an object factory here; use one of ${[...factories].join(", ")} as factory_key`,
    );
  const format = value.case === "formatString" ? parseFormatString(reader.oneof("value", value.value)) : undefined;
  if (value.case === undefined) reader.invalid("value", "format_string is required");
  if (format === undefined) return undefined;
  return {
    create(runtime) {
      const write = format({ environment: formatEnvironment(runtime) }).value;
      if (write === undefined) throw new Error("a format that was checked is right");
      return (context, state) => {
        const text = write(context);
        if (text === "" && skipIfEmpty) return;
        state.set(key, text);
        if (sharing !== undefined) shareWithUpstream(state, key, sharing);
      };
    },
  };
}
