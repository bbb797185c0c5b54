/** The descriptor files that `build.mjs` wrote, each parsed when it is asked for. */
import { readFileSync } from "node:fs";
import { createFileRegistry, fromBinary, type DescFile, type FileRegistry } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  file_google_protobuf_any,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";
import { MeshError } from "#lib/problem.ts";

interface DescriptorIndex {
  readonly files: readonly (readonly [name: string, offset: number, length: number])[];
  /** Full type name → position in `files`. */
  readonly types: Readonly<Record<string, number>>;
}

/** What the library has loaded anyway, under the same identity. */
const wellKnown: readonly DescFile[] = [
  file_google_protobuf_any,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
];

export class DescriptorFiles {
  readonly #set: Uint8Array;
  readonly #types: ReadonlyMap<string, number>;
  readonly #files: DescriptorIndex["files"];
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #loaded = new Map<string, DescFile>();

  constructor(directory: string) {
    const index = readIndex(directory);
    this.#set = readFileSync(`${directory}/descriptors.binpb`);
    this.#files = index.files;
    this.#types = new Map(Object.entries(index.types));
    this.#numbers = new Map(index.files.map(([name], number) => [name, number]));
    for (const file of wellKnown) this.#loaded.set(`${file.name}.proto`, file);
  }

  /** Full names of all types, loaded or not. */
  typeNames(): Iterable<string> {
    return this.#types.keys();
  }

  /** The file that declares a type; undefined when there is no such type. */
  fileOf(typeName: string): DescFile | undefined {
    const number = this.#types.get(typeName);
    const entry = number === undefined ? undefined : this.#files[number];
    return entry === undefined ? undefined : this.#load(entry[0]);
  }

  #load(name: string): DescFile {
    const known = this.#loaded.get(name);
    if (known !== undefined) return known;
    const [, offset, length] = this.#files[this.#numbers.get(name) ?? -1] ?? ["", 0, 0];
    if (length === 0) throw new Error(`descriptors.binpb has no file ${name}`);
    const proto = fromBinary(FileDescriptorProtoSchema, this.#set.subarray(offset, offset + length));
    // Imports first, one file at a time, so that a type is built exactly once whoever asks first.
    const imports = new Map(proto.dependency.map((dependency) => [dependency, this.#load(dependency)]));
    const registry: FileRegistry = createFileRegistry(proto, (dependency) => withoutImports(imports.get(dependency)));
    const file = registry.getFile(name);
    if (file === undefined) throw new Error(`descriptor file ${name} could not be built`);
    this.#loaded.set(name, file);
    return file;
  }
}

/** `createFileRegistry` walks the whole graph below an import each time; every type that we use is imported directly. */
function withoutImports(file: DescFile | undefined): DescFile | undefined {
  return file === undefined ? undefined : { ...file, dependencies: [] };
}

function readIndex(directory: string): DescriptorIndex {
  try {
    return JSON.parse(readFileSync(`${directory}/descriptors.json`, "utf8")) as DescriptorIndex;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    throw new MeshError("protos-not-built", `${directory} has no descriptors: run \`npm run generate\`.`);
  }
}
