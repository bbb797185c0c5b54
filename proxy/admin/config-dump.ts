/** `/config_dump`: every configuration in force, as proto3 JSON with the keys of the .proto files. */
import { RE2JS } from "re2js";
import { maskJson, type JsonObject } from "./field-mask.ts";
import { has, json, text, type AdminEndpoint, type AdminRequest, type AdminResponse } from "./endpoint.ts";

/** One section: a message of `envoy.admin.v3`, written as JSON. */
export interface DumpSection {
  /** `ClustersConfigDump`. */
  readonly type: string;
  /** Fields that are no lists (`version_info`, `bootstrap`). */
  readonly fields: JsonObject;
  /** Lists by field: the type of an element (`StaticCluster`), its elements, and what each is called. */
  readonly lists: Readonly<Record<string, DumpList>>;
}

export interface DumpList {
  readonly elementType: string;
  readonly elements: readonly DumpElement[];
}

export interface DumpElement {
  readonly name: string;
  readonly json: JsonObject;
}

/** Where the sections come from; made anew for each request, in Envoy's order. */
export type DumpSource = (options: { readonly includeEds: boolean }) => readonly DumpSection[];

const TYPE_PREFIX = "type.googleapis.com/envoy.admin.v3.";

/** The page over a source. */
export function configDumpEndpoint(source: DumpSource): AdminEndpoint {
  return {
    path: "/config_dump",
    help: "dump current Envoy configs",
    parameters: [
      { name: "resource", help: "The resource to dump" },
      {
        name: "mask",
        help: "The mask to apply. When both resource and mask are specified, the mask is applied to every element in the desired repeated field so that only a subset of fields are returned. The mask is parsed as a Protobuf::FieldMask",
      },
      {
        name: "name_regex",
        help: "Dump only the currently loaded configurations whose names match the specified regex. Can be used with both resource and mask query parameters.",
      },
      {
        name: "include_eds",
        help: "Dump currently loaded configuration including EDS. See the response definition for more information",
      },
    ],
    handle: (request) => dump(request, source),
  };
}

function dump(request: AdminRequest, source: DumpSource): AdminResponse {
  const { query } = request;
  const pattern = query.get("name_regex") ?? "";
  const named = nameFilter(pattern);
  if (typeof named === "string")
    return plain(`INVALID_ARGUMENT: Error while parsing name_regex from ${pattern}: ${named}`, 400);
  const sections = source({ includeEds: has(request, "include_eds") });
  const resource = query.get("resource") ?? "";
  const mask = query.get("mask") ?? "";
  return resource === "" ? wholeDump(sections, mask, named) : resourceDump(sections, resource, mask, named);
}

function wholeDump(sections: readonly DumpSection[], mask: string, named: (name: string) => boolean): AdminResponse {
  const configs: JsonObject[] = [];
  for (const section of sections) {
    const body = sectionJson(section, named);
    const masked = mask === "" ? body : maskJson(body, mask);
    if (masked !== undefined) configs.push({ "@type": TYPE_PREFIX + section.type, ...masked });
  }
  if (mask !== "" && configs.length === 0)
    return plain(`FieldMask ${mask} could not be successfully applied to any configs.`, 400);
  return json({ configs: configs });
}

function sectionJson({ fields, lists }: DumpSection, named: (name: string) => boolean): JsonObject {
  const body: Record<string, unknown> = { ...fields };
  for (const [field, { elements }] of Object.entries(lists)) {
    const chosen = elements.filter(({ name }) => named(name));
    if (chosen.length > 0) body[field] = chosen.map((element) => element.json);
  }
  return body;
}

function resourceDump(
  sections: readonly DumpSection[],
  resource: string,
  mask: string,
  named: (name: string) => boolean,
): AdminResponse {
  for (const section of sections) {
    if (Object.hasOwn(section.fields, resource))
      return plain(`${resource} is not a repeated field. Use ?mask=${resource} to get only this field`, 400);
    const list = section.lists[resource];
    if (list === undefined) continue;
    const configs: JsonObject[] = [];
    for (const element of list.elements) {
      if (!named(element.name)) continue;
      const masked = mask === "" ? element.json : maskJson(element.json, mask);
      if (masked === undefined) return plain(`FieldMask ${mask} could not be successfully used.`, 400);
      configs.push({ "@type": `${TYPE_PREFIX}${section.type}.${list.elementType}`, ...masked });
    }
    return json({ configs: configs });
  }
  return plain(`${resource} not found in config dump`, 404);
}

function plain(body: string, status: number): AdminResponse {
  return { ...text(body, status), contentType: "text/plain" };
}

/** The predicate, or what is wrong with the pattern. */
function nameFilter(pattern: string): ((name: string) => boolean) | string {
  if (pattern === "") return () => true;
  try {
    const regex = RE2JS.compile(pattern);
    return (name) => regex.testExact(name);
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).replace(/^error parsing regexp: /, "");
  }
}
