/** The one registry of wire types: Envoy's, xDS's and our own. Types are loaded when they are first asked for. */
import {
  create,
  type DescEnum,
  type DescExtension,
  type DescFile,
  type DescMessage,
  type DescService,
  type Message,
  type MessageInitShape,
  type Registry,
} from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { DescriptorFiles } from "./descriptor-files.ts";

type DescType = DescMessage | DescEnum | DescExtension | DescService;

/** A `Registry` whose `getMessage` and the like load the file of the type on demand. */
class LazyRegistry implements Registry {
  readonly kind = "registry";
  readonly #files: DescriptorFiles;
  readonly #types = new Map<string, DescType>();
  readonly #seen = new Set<DescFile>();

  constructor(files: DescriptorFiles) {
    this.#files = files;
  }

  get(typeName: string): DescType | undefined {
    const known = this.#types.get(typeName);
    if (known !== undefined) return known;
    const file = this.#files.fileOf(typeName);
    if (file === undefined || this.#seen.has(file)) return undefined;
    this.#seen.add(file);
    for (const type of nestedTypes(file)) this.#types.set(type.typeName, type);
    return this.#types.get(typeName);
  }

  getMessage(typeName: string): DescMessage | undefined {
    const type = this.get(typeName);
    return type?.kind === "message" ? type : undefined;
  }

  getEnum(typeName: string): DescEnum | undefined {
    const type = this.get(typeName);
    return type?.kind === "enum" ? type : undefined;
  }

  getExtension(typeName: string): DescExtension | undefined {
    const type = this.get(typeName);
    return type?.kind === "extension" ? type : undefined;
  }

  /** No message of ours is extended at run time; options are read by the name of the extension. */
  getExtensionFor(): undefined {
    return undefined;
  }

  getService(typeName: string): DescService | undefined {
    const type = this.get(typeName);
    return type?.kind === "service" ? type : undefined;
  }

  /** All types; loads everything. */
  *[Symbol.iterator](): IterableIterator<DescType> {
    for (const name of this.#files.typeNames()) {
      const type = this.get(name);
      if (type !== undefined) yield type;
    }
  }
}

/** Descriptors are constants: loading them later than at import is the only state that this keeps. */
let loaded: LazyRegistry | undefined;

/** The registry, one a process. Throws a `MeshError` `protos-not-built` when the descriptors are not there. */
export function registry(): Registry {
  loaded ??= new LazyRegistry(new DescriptorFiles(`${import.meta.dirname}/gen`));
  return loaded;
}

/**
 * Descriptor of a message that the code names itself, typed by its generated type:
 * `schema<Cluster>("envoy.config.cluster.v3.Cluster")`. Throws when there is no such type.
 */
export function schema<T extends Message>(typeName: T["$typeName"]): GenMessage<T> {
  const desc = registry().getMessage(typeName);
  if (desc === undefined) throw new Error(`no message ${typeName} in the registry`);
  return desc as GenMessage<T>;
}

/** A new message: `createMessage<Cluster>("envoy.config.cluster.v3.Cluster", { name: "a" })`. */
export function createMessage<T extends Message>(typeName: T["$typeName"], init?: MessageInitShape<GenMessage<T>>): T {
  return create(schema<T>(typeName), init) as T;
}

/** The descriptor of a message's own type; the types of every message that is around are known. */
export function descOf(message: Message): DescMessage {
  const desc = registry().getMessage(message.$typeName);
  if (desc === undefined) throw new Error(`no message ${message.$typeName} in the registry`);
  return desc;
}
