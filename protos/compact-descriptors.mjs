/**
 * Makes the descriptor set fit to be loaded piece by piece: adds our fields, drops options and imports that nothing
 * reads at run time, and writes an index (file → place, type → file).
 */
import { create, createFileRegistry, fromBinary, fromJson, toBinary } from "@bufbuild/protobuf";
import {
  EnumValueDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FieldDescriptorProtoSchema,
  FieldOptionsSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { addedFields, addedValues, changedRules } from "./added-fields.mjs";

/** Options that are read at run time: (validate.*), (udpa|xds.annotations.sensitive). */
const keptExtensions = new Set([1071, 1072, 76569463, 61008053]);

const scalarTypes = {
  double: Type.DOUBLE,
  float: Type.FLOAT,
  int32: Type.INT32,
  int64: Type.INT64,
  uint32: Type.UINT32,
  uint64: Type.UINT64,
  bool: Type.BOOL,
  string: Type.STRING,
  bytes: Type.BYTES,
};

/**
 * @param {Uint8Array} raw a serialized FileDescriptorSet, dependencies first
 * @returns {{ set: Uint8Array, index: { files: [name: string, offset: number, length: number][], types: Record<string, number> } }} `types` refers to the position in `files`
 */
export function compactDescriptors(raw) {
  const files = fromBinary(FileDescriptorSetSchema, raw).file;
  const declared = declarations(files);
  for (const [message, fields] of Object.entries(addedFields)) {
    for (const [name, [number, type, oneof]] of Object.entries(fields)) {
      addField(declared, { message, name, number, type, oneof });
    }
  }
  for (const [enumName, values] of Object.entries(addedValues)) {
    for (const [name, number] of Object.entries(values)) addValue(declared, { enumName, name, number });
  }
  changeRules(files, declared);
  const index = { files: [], types: {} };
  const numbers = new Map();
  const chunks = [];
  let offset = 0;
  for (const file of files) {
    stripOptions(file);
    keepUsedImports(file, declared);
  }
  for (const file of importsFirst(files)) {
    const bytes = toBinary(FileDescriptorProtoSchema, file);
    // A FileDescriptorSet is its files, each with tag 0x0a and its length.
    const head = lengthPrefix(bytes.length);
    numbers.set(file.name, index.files.length);
    index.files.push([file.name, offset + head.length, bytes.length]);
    chunks.push(head, bytes);
    offset += head.length + bytes.length;
  }
  for (const [name, { file }] of declared) index.types[name] = numbers.get(file.name);
  return { set: Buffer.concat(chunks), index };
}

function lengthPrefix(length) {
  return Buffer.concat([Buffer.from([0x0a]), varint(length)]);
}

function varint(length) {
  const bytes = [];
  for (let rest = length; ; rest >>>= 7) {
    if (rest < 0x80) {
      bytes.push(rest);
      return Buffer.from(bytes);
    }
    bytes.push((rest & 0x7f) | 0x80);
  }
}

/** Every message, enum, service and extension by full name. */
function declarations(files) {
  const declared = new Map();
  for (const file of files) {
    const add = (prefix, kind, proto) => {
      const name = prefix === "" ? proto.name : `${prefix}.${proto.name}`;
      declared.set(name, { kind, proto, file });
      if (kind !== "message") return;
      for (const nested of proto.nestedType) if (nested.options?.mapEntry !== true) add(name, "message", nested);
      for (const nested of proto.enumType) add(name, "enum", nested);
      for (const nested of proto.extension) add(name, "extension", nested);
    };
    for (const proto of file.messageType) add(file.package, "message", proto);
    for (const proto of file.enumType) add(file.package, "enum", proto);
    for (const proto of file.service) add(file.package, "service", proto);
    for (const proto of file.extension) add(file.package, "extension", proto);
  }
  return declared;
}

function addField(declared, { message, name, number, type: declaredType, oneof }) {
  const isRepeated = declaredType.startsWith("repeated ");
  const type = isRepeated ? declaredType.slice("repeated ".length) : declaredType;
  const target = declared.get(message);
  if (target?.kind !== "message") throw new Error(`added-fields.mjs: no message ${message}`);
  const { proto } = target;
  if (proto.field.some((field) => field.name === name || field.number === number)) {
    throw new Error(`added-fields.mjs: ${message} has ${name} = ${number} already; remove the entry`);
  }
  const field = create(FieldDescriptorProtoSchema, {
    name,
    number,
    label: isRepeated ? Label.REPEATED : Label.OPTIONAL,
    jsonName: name.replace(/_(.)/g, (_, letter) => letter.toUpperCase()),
  });
  if (type in scalarTypes) {
    field.type = scalarTypes[type];
  } else {
    const referred = declared.get(type);
    if (referred === undefined) throw new Error(`added-fields.mjs: no type ${type} for ${message}.${name}`);
    field.type = referred.kind === "enum" ? Type.ENUM : Type.MESSAGE;
    field.typeName = `.${type}`;
  }
  if (oneof !== undefined) {
    field.oneofIndex = proto.oneofDecl.findIndex((declaration) => declaration.name === oneof);
    if (field.oneofIndex < 0) throw new Error(`added-fields.mjs: no oneof ${oneof} in ${message}`);
  }
  if (oneof === undefined) {
    proto.field.push(field);
  } else {
    // The members of a oneof stand side by side.
    const isMember = (candidate) => Object.hasOwn(candidate, "oneofIndex") && candidate.oneofIndex === field.oneofIndex;
    proto.field.splice(proto.field.findLastIndex(isMember) + 1, 0, field);
  }
}

function addValue(declared, { enumName, name, number }) {
  const target = declared.get(enumName);
  if (target?.kind !== "enum") throw new Error(`added-fields.mjs: no enum ${enumName}`);
  if (target.proto.value.some((value) => value.name === name || value.number === number)) {
    throw new Error(`added-fields.mjs: ${enumName} has ${name} = ${number} already; remove the entry`);
  }
  target.proto.value.push(create(EnumValueDescriptorProtoSchema, { name, number }));
}

const rulesExtension = 1071;

function changeRules(files, declared) {
  const validate = files.filter(
    ({ name }) => name === "validate/validate.proto" || name.startsWith("google/protobuf/"),
  );
  const rulesSchema = createFileRegistry(create(FileDescriptorSetSchema, { file: validate })).getMessage(
    "validate.FieldRules",
  );
  for (const [path, rules] of Object.entries(changedRules)) {
    const dot = path.lastIndexOf(".", path.endsWith(")") ? path.lastIndexOf("(") : undefined);
    const name = path.slice(dot + 1);
    const { proto } = declared.get(path.slice(0, dot)) ?? {};
    const target = name.startsWith("(")
      ? proto?.oneofDecl.find((oneof) => `(${oneof.name})` === name)
      : proto?.field.find((field) => field.name === name);
    if (target === undefined) throw new Error(`added-fields.mjs: no ${path} to change the rules of`);
    if (rules === undefined) {
      if (target.options !== undefined) {
        target.options.$unknown = target.options.$unknown?.filter(({ no }) => no !== rulesExtension);
      }
      continue;
    }
    const bytes = toBinary(rulesSchema, fromJson(rulesSchema, rules));
    target.options ??= create(FieldOptionsSchema);
    target.options.$unknown = [
      ...(target.options.$unknown ?? []).filter(({ no }) => no !== rulesExtension),
      { no: rulesExtension, wireType: 2, data: Buffer.concat([varint(bytes.length), bytes]) },
    ];
  }
}

function stripOptions(file) {
  file.options = undefined;
  const strip = (proto) => {
    const options = proto.options;
    if (options === undefined) return;
    options.$unknown = options.$unknown?.filter((field) => keptExtensions.has(field.no));
    if (toBinarySize(options) === 0) proto.options = undefined;
  };
  const message = (proto) => {
    strip(proto);
    for (const field of proto.field) strip(field);
    for (const oneof of proto.oneofDecl) strip(oneof);
    for (const nested of proto.nestedType) message(nested);
    for (const nested of proto.enumType) enumeration(nested);
  };
  const enumeration = (proto) => {
    strip(proto);
    for (const value of proto.value) strip(value);
  };
  for (const proto of file.messageType) message(proto);
  for (const proto of file.enumType) enumeration(proto);
  for (const service of file.service) {
    service.options = undefined;
    for (const method of service.method) method.options = undefined;
  }
}

function toBinarySize(options) {
  const known = Object.entries(options).some(
    ([name, value]) =>
      !name.startsWith("$") &&
      value !== undefined &&
      Object.hasOwn(options, name) &&
      !(Array.isArray(value) && value.length === 0),
  );
  return known || (options.$unknown?.length ?? 0) > 0 ? 1 : 0;
}

/** Imports for options and public re-exports go; the files of the types that are used stay. */
function keepUsedImports(file, declared) {
  const used = new Set();
  const use = (typeName) => {
    if (typeName === "") return;
    const from = declared.get(typeName.slice(1))?.file.name;
    if (from !== undefined && from !== file.name) used.add(from);
  };
  const message = (proto) => {
    for (const field of proto.field) use(field.typeName);
    for (const extension of proto.extension) [extension.typeName, extension.extendee].forEach(use);
    for (const nested of proto.nestedType) message(nested);
  };
  for (const proto of file.messageType) message(proto);
  for (const extension of file.extension) [extension.typeName, extension.extendee].forEach(use);
  for (const service of file.service)
    for (const method of service.method) [method.inputType, method.outputType].forEach(use);
  file.dependency = [...used];
  file.publicDependency = [];
  file.weakDependency = [];
}

/** Added fields bring added imports: sorts anew. */
function importsFirst(files) {
  const byName = new Map(files.map((file) => [file.name, file]));
  const sorted = new Set();
  const visit = (file, importers) => {
    if (file === undefined || sorted.has(file)) return;
    if (importers.includes(file)) {
      throw new Error(`import cycle: ${[...importers, file].map(({ name }) => name).join(" → ")}`);
    }
    for (const name of file.dependency) visit(byName.get(name), [...importers, file]);
    sorted.add(file);
  };
  for (const file of files) visit(file, []);
  return sorted;
}
