/**
 * CRDs → the JSON files beside this one (Istio's) and in `gateway-api/`. Run by hand when they get new fields:
 *
 *   node control-plane/validate/crds/import-crds.ts FILE…
 *
 * Istio's are in the Go module istio.io/api (`go mod download istio.io/api@v1.31.1`), `kubernetes/customresourcedefinitions.gen.yaml`;
 * the Gateway API's in sigs.k8s.io/gateway-api (v1.6.0), `config/crd/experimental/`. What is kept is what decides: names,
 * types, limits, alternatives, and the rules; prose is left out. A version whose schema is not that of the stored one has a
 * file of its own.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";
import { fieldsOf, listOf, stringOf, stringsOf, type Fields } from "../../model/read-fields.ts";

const LIMITS = ["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "nullable"] as const;

/** A structural schema of OpenAPI → a `CrdSchema`; throws where it says something that the notation has no word for. */
function importSchema(schema: Fields, path: string): unknown {
  const rules = listOf(schema["x-kubernetes-validations"])
    .map((rule) => stringOf(fieldsOf(rule)["rule"]))
    // Whether a value has changed can't be seen here.
    .filter((rule) => rule !== "self == oldSelf");
  if (isAddressChoice(listOf(schema["oneOf"]).map(fieldsOf))) rules.push(ADDRESS_RULE);
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
    // What the API server fills in is never missing.
    const required = stringsOf(schema["required"]).filter(
      (name) => fieldsOf(fieldsOf(schema["properties"])[name])["default"] === undefined,
    );
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
  const more = {
    ...("enum" in schema ? { enum: listOf(schema["enum"]).map(String) } : {}),
    ...("format" in schema ? { format: schema["format"] } : {}),
  };
  const isPlain = Object.keys(more).length === 0 && Object.keys(common).length === 0;
  return isPlain ? type : { type, ...more, ...common };
}

/** `oneOf: [none of them, a, b]` is how the CRDs write a protobuf oneof: at most one is set. */
function alternatives(schema: Fields, path: string): readonly (readonly string[])[] {
  const oneOf = listOf(schema["oneOf"]).map(fieldsOf);
  // "An address is an IP or has another type": a rule of ours says it.
  if (oneOf.length === 0 || isAddressChoice(oneOf)) return [];
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

function isAddressChoice(oneOf: readonly Fields[]): boolean {
  return JSON.stringify(fieldsOf(oneOf[0])["properties"])?.includes('"ipv4"') ?? false;
}

/** The rule for which `oneOf` stands in the addresses of a Gateway. */
const ADDRESS_RULE = "self.type == 'IPAddress' ? isIP(self.value) : true";

function importCrd(crd: Fields): void {
  const spec = fieldsOf(crd["spec"]);
  const kind = stringOf(fieldsOf(spec["names"])["kind"]) ?? "";
  const versions = listOf(spec["versions"]).map(fieldsOf);
  const schemas = versions.map((version) => {
    const schema = fieldsOf(fieldsOf(version["schema"])["openAPIV3Schema"]);
    const body = importSchema(fieldsOf(fieldsOf(schema["properties"])["spec"]), `${kind}.spec`);
    return JSON.stringify({ isSpecRequired: stringsOf(schema["required"]).includes("spec"), spec: body });
  });
  const stored = versions.findIndex((version) => version["storage"] === true);
  const common = schemas[stored] ?? "{}";
  const served = versions.filter((version) => version["served"] === true);
  const nameOf = (version: Fields): string => stringOf(version["name"]) ?? "";
  const isCommon = (version: Fields): boolean => schemas[versions.indexOf(version)] === common;
  const group = stringOf(spec["group"]) ?? "";
  const folder = group === "gateway.networking.k8s.io" ? "./gateway-api" : ".";
  const write = (name: string, names: readonly string[], schema: string): void => {
    const storage = nameOf(versions[stored] ?? {});
    const content = { kind, group, versions: names, storage, ...(JSON.parse(schema) as Fields) };
    writeFileSync(new URL(`${folder}/${name}.json`, import.meta.url), `${JSON.stringify(content, undefined, 2)}\n`);
  };
  write(kind, served.filter(isCommon).map(nameOf), common);
  for (const other of served.filter((version) => !isCommon(version))) {
    write(`${kind}.${nameOf(other)}`, [nameOf(other)], schemas[versions.indexOf(other)] ?? "{}");
  }
}

const [, , ...paths] = process.argv;
if (paths.length === 0) throw new Error("name the files with the CRDs");
for (const document of paths.flatMap((path) => parseAllDocuments(readFileSync(path, "utf8")))) {
  const crd = fieldsOf(document.toJS());
  if (crd["kind"] === "CustomResourceDefinition") importCrd(crd);
}
