/** `envoy.filters.http.set_metadata`: writes constants into the dynamic metadata of every request. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { Config } from "#protos/gen/envoy/extensions/filters/http/set_metadata/v3/set_metadata_pb.js";
import type { FilterStatus, FilterStream, HttpFilter, HttpFilterFactory } from "../filter.ts";
import type { Counter } from "../../observability/stats.ts";

type Struct = Readonly<Record<string, unknown>>;

interface MetadataToSet {
  readonly namespace: string;
  readonly value: Struct;
  readonly allowOverwrite: boolean;
}

export const setMetadata: HttpFilterFactory<readonly MetadataToSet[]> = {
  name: "envoy.filters.http.set_metadata",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config"],
  parse: parseSetMetadata,
  create(entries, { scope }) {
    const overwriteDenied = scope.counter("set_metadata.overwrite_denied");
    return (stream) => new SetMetadataFilter(entries, stream, overwriteDenied);
  },
};

class SetMetadataFilter implements HttpFilter {
  readonly #entries: readonly MetadataToSet[];
  readonly #stream: FilterStream;
  readonly #overwriteDenied: Counter;

  constructor(entries: readonly MetadataToSet[], stream: FilterStream, overwriteDenied: Counter) {
    this.#entries = entries;
    this.#stream = stream;
    this.#overwriteDenied = overwriteDenied;
  }

  decodeHeaders(): FilterStatus {
    const { info } = this.#stream;
    const metadata = (info.dynamicMetadata ??= new Map<string, Record<string, unknown>>());
    for (const { namespace, value, allowOverwrite } of this.#entries) {
      const old = metadata.get(namespace);
      if (old !== undefined && !allowOverwrite) this.#overwriteDenied.inc();
      else metadata.set(namespace, merged(old ?? {}, value));
    }
    return "continue";
  }
}

/** Structs by key, lists at the end, anything else replaced. */
function merged(old: Struct, added: Struct): Record<string, unknown> {
  const result: Record<string, unknown> = { ...old };
  for (const [key, value] of Object.entries(added)) {
    const before = result[key];
    if (Array.isArray(value) && Array.isArray(before))
      result[key] = [...(before as unknown[]), ...(value as unknown[])];
    else if (isStruct(value) && isStruct(before)) result[key] = merged(before, value);
    else result[key] = value;
  }
  return result;
}

function isStruct(value: unknown): value is Struct {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `typed_value` is refused by name. */
function parseSetMetadata(message: Message, path: string): Parsed<readonly MetadataToSet[]> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as Config, path, problems);
  const entries: MetadataToSet[] = [];
  const namespace = reader.get("metadataNamespace");
  const value = reader.get("value");
  if (value !== undefined) entries.push({ namespace, value, allowOverwrite: true });
  for (const one of reader.children("metadata")) {
    const added = one.get("value");
    const entry = { namespace: one.get("metadataNamespace"), allowOverwrite: one.get("allowOverwrite") };
    if (added !== undefined) entries.push({ ...entry, value: added });
    one.finish();
  }
  reader.finish();
  return problems.length > 0 ? { problems } : { value: entries, problems };
}
