/** `custom_tags` of a connection manager's tracing. */
import type { HeaderMap } from "../../http/header-map.ts";
import type { MessageReader } from "#protos/reader.ts";
import type {
  CustomTag,
  CustomTag_Environment,
  CustomTag_Header,
  CustomTag_Literal,
  CustomTag_Metadata,
} from "#protos/gen/envoy/type/tracing/v3/custom_tag_pb.js";
import { compileFormat } from "../access-log/format.ts";
import type { FormatContext } from "../access-log/types.ts";

/** The value of a tag for a stream; undefined: the tag is not set. */
export interface TagSource {
  readonly tag: string;
  value(context: FormatContext): string | undefined;
}

/** Reads one tag; undefined when it has problems, which are on the reader's list. */
export function parseCustomTag(reader: MessageReader<CustomTag>): TagSource | undefined {
  const tag = reader.get("tag");
  const type = reader.get("type");
  reader.ignore("valueType", "tags are strings in every collector that takes them");
  reader.finish();
  switch (type.case) {
    case "literal": {
      const literal = reader.oneof<CustomTag_Literal>("type", type.value);
      const value = literal.get("value");
      literal.finish();
      return { tag, value: () => value };
    }
    case "environment": {
      const environment = reader.oneof<CustomTag_Environment>("type", type.value);
      const value = process.env[environment.get("name")] ?? orUndefined(environment.get("defaultValue"));
      environment.finish();
      return { tag, value: () => value };
    }
    case "requestHeader": {
      const header = reader.oneof<CustomTag_Header>("type", type.value);
      const name = header.get("name").toLowerCase();
      const fallback = orUndefined(header.get("defaultValue"));
      header.finish();
      return { tag, value: ({ requestHeaders }) => valueOf(requestHeaders, name) ?? fallback };
    }
    case "metadata":
      return parseMetadataTag(tag, reader.oneof<CustomTag_Metadata>("type", type.value));
    case "value": {
      const { value: format, problems } = compileFormat(type.value, { path: reader.at("type"), omitEmptyValues: true });
      reader.problems.push(...problems);
      return format && { tag, value: (context) => orUndefined(format(context)) };
    }
    case undefined:
      reader.invalid("type", `the tag ${tag} has no value: set literal, environment, request_header or metadata`);
      return undefined;
  }
}

type NamespaceOf = (context: FormatContext, namespace: string) => unknown;

const KINDS: Readonly<Record<"request" | "route" | "cluster" | "host", NamespaceOf>> = {
  request: ({ info }, namespace) => info.dynamicMetadata?.get(namespace),
  route: ({ route }, namespace) => route?.metadata[namespace],
  cluster: ({ info }, namespace) => info.cluster?.metadata[namespace],
  host: ({ info }, namespace) => info.upstreamHost?.metadata[namespace],
};

function parseMetadataTag(tag: string, reader: MessageReader<CustomTag_Metadata>): TagSource | undefined {
  const kind = reader.child("kind");
  const source = KINDS[kind?.get("kind").case ?? "request"];
  kind?.finish();
  const key = reader.child("metadataKey");
  const namespace = key?.get("key") ?? "";
  const path = key?.get("path").map(({ segment }) => segment.value ?? "") ?? [];
  key?.finish();
  const fallback = orUndefined(reader.get("defaultValue"));
  reader.finish();
  return {
    tag,
    value(context) {
      let value = source(context, namespace);
      for (const segment of path) {
        if (typeof value !== "object" || value === null) return fallback;
        value = (value as Readonly<Record<string, unknown>>)[segment];
      }
      return textOf(value) ?? fallback;
    },
  };
}

function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return orUndefined(value);
  return value === undefined || value === null ? undefined : JSON.stringify(value);
}

function valueOf(headers: HeaderMap | undefined, name: string): string | undefined {
  return headers?.get(name);
}

function orUndefined(text: string): string | undefined {
  return text === "" ? undefined : text;
}
