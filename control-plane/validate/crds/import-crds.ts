/**
 * Istio's CRDs → the JSON files beside this one. Run by hand when Istio adds fields:
 *
 *   node control-plane/validate/crds/import-crds.ts …/customresourcedefinitions.gen.yaml
 *
 * The file lies in the Go module istio.io/api (`go mod download istio.io/api@v1.31.1`), under `kubernetes/`. What is kept
 * is what decides: names, types, limits, alternatives, and the rules; prose is left out.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";
import { fieldsOf, listOf, stringOf, stringsOf, type Fields } from "../../model/read-fields.ts";

const LIMITS = ["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "nullable"] as const;

/** A structural schema of OpenAPI → a `CrdSchema`; throws where it says something that the notation has no word for. */
function importSchema(schema: Fields, path: string): unknown {
  const rules = listOf(schema["x-kubernetes-validations"]).map((rule) => stringOf(fieldsOf(rule)["rule"]));
  const limits = Object.fromEntries(LIMITS.flatMap((name) => (name in schema ? [[name, schema[name]]] : [])));
  const common = { ...limits, ...(rules.length > 0 ? { rules } : {}) };
  const type = stringOf(schema["type"]) ?? "";
  const known = ["string", "integer", "number", "boolean", "array", "object"].includes(type);
  if (!known) throw new Error(`${path}: the type ${type} has no word in the notation`);
  if (schema["x-kubernetes-preserve-unknown-fields"] === true) return { type: "any" };
  if (type === "array") {
    const items = importSchema(fieldsOf(schema["items"]), `${path}[]`);
    const keys = stringsOf(schema["x-kubernetes-list-map-keys"]);
    return { type: "list", items, ...(keys.length > 0 ? { keys } : {}), ...common };
  }
  if (type === "object") {
    const count = {
      ...("minProperties" in schema ? { minFields: schema["minProperties"] } : {}),
      ...("maxProperties" in schema ? { maxFields: schema["maxProperties"] } : {}),
    };
    if (schema["additionalProperties"] !== undefined) {
      const values = importSchema(fieldsOf(schema["additionalProperties"]), `${path}{}`);
      return { type: "map", values, ...count, ...common };
    }
    const fields = Object.fromEntries(
      Object.entries(fieldsOf(schema["properties"])).map(([name, field]) => [
        name,
        importSchema(fieldsOf(field), `${path}.${name}`),
      ]),
    );
    const required = stringsOf(schema["required"]);
    const atMostOne = [schema, ...listOf(schema["allOf"]).map(fieldsOf)].flatMap((part) => alternatives(part, path));
    return {
      type: "object",
      fields,
      ...(required.length > 0 ? { required } : {}),
      ...(atMostOne.length > 0 ? { atMostOne } : {}),
      ...count,
      ...common,
    };
  }
  const more = Object.fromEntries(["enum", "format"].flatMap((name) => (name in schema ? [[name, schema[name]]] : [])));
  const isPlain = Object.keys(more).length === 0 && Object.keys(common).length === 0;
  return isPlain ? type : { type, ...more, ...common };
}

/** `oneOf: [none of them, a, b]` is how the CRDs write a protobuf oneof: at most one is set. */
function alternatives(schema: Fields, path: string): readonly (readonly string[])[] {
  const oneOf = listOf(schema["oneOf"]).map(fieldsOf);
  if (oneOf.length === 0) return [];
  const [none, ...each] = oneOf;
  const names = each.flatMap((option) => stringsOf(option["required"]));
  const excluded = listOf(fieldsOf(none?.["not"])["anyOf"]).flatMap((option) =>
    stringsOf(fieldsOf(option)["required"]),
  );
  if (names.join() !== excluded.join() || names.length !== each.length) {
    throw new Error(`${path}: its oneOf is no "at most one"`);
  }
  // A lone name says nothing.
  return names.length > 1 ? [names] : [];
}

function importCrd(crd: Fields): void {
  const spec = fieldsOf(crd["spec"]);
  const kind = stringOf(fieldsOf(spec["names"])["kind"]) ?? "";
  const versions = listOf(spec["versions"]).map(fieldsOf);
  const schemas = versions.map((version) => {
    const schema = fieldsOf(fieldsOf(version["schema"])["openAPIV3Schema"]);
    const body = importSchema(fieldsOf(fieldsOf(schema["properties"])["spec"]), `${kind}.spec`);
    return JSON.stringify({ isSpecRequired: stringsOf(schema["required"]).includes("spec"), spec: body });
  });
  if (new Set(schemas).size !== 1) throw new Error(`${kind}: its versions have different schemas`);
  const storage = versions.find((version) => version["storage"] === true);
  const content = {
    kind,
    group: spec["group"],
    versions: versions.filter((version) => version["served"] === true).map((version) => version["name"]),
    storage: storage?.["name"],
    ...(JSON.parse(schemas[0] ?? "{}") as Fields),
  };
  writeFileSync(new URL(`./${kind}.json`, import.meta.url), `${JSON.stringify(content, undefined, 2)}\n`);
}

const [, , path] = process.argv;
if (path === undefined) throw new Error("name the file with Istio's CRDs");
for (const document of parseAllDocuments(readFileSync(path, "utf8"))) {
  const crd = fieldsOf(document.toJS());
  if (crd["kind"] === "CustomResourceDefinition") importCrd(crd);
}
