/** What the parsers of the proxy look at while they read one message: nothing in the product knows that it is watched. */
import type { Message } from "@bufbuild/protobuf";
import type { Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";

/** One look at a field. `field` is the name that the generated types have. */
export interface Sight {
  /** `taken`: the value of the oneof's member was read; `read`: through a reader, or straight from the message. */
  readonly kind: "read" | "taken" | "ignored";
  /** Of the message, in the form of `placeOf`. */
  readonly path: string;
  readonly field: string;
  /** Undefined where the message was read without a reader. */
  readonly type: string | undefined;
  readonly why: string | undefined;
}

export interface Observation {
  readonly sights: readonly Sight[];
  /** All that any reader reported. */
  readonly problems: readonly Problem[];
  /** What stood in the way, when the parser threw. */
  readonly thrown: unknown;
}

/** Runs `parse` with every `MessageReader`, and every message that it gives out, watched. */
export function observe(parse: () => readonly Problem[]): Observation {
  const sights: Sight[] = [];
  const lists = new Set<readonly Problem[]>();
  const prototype = MessageReader.prototype as AnyReader;
  const before = { get: prototype.get, ignore: prototype.ignore, finish: prototype.finish };
  prototype.get = function (field) {
    lists.add(this.problems);
    const { path, message } = this;
    sights.push({ kind: "read", path: placeOf(path), field, type: message.$typeName, why: undefined });
    return watched(before.get.call(this, field), { path: placeOf(path), field }, sights);
  };
  prototype.ignore = function (field, why) {
    lists.add(this.problems);
    const { path, message } = this;
    sights.push({ kind: "ignored", path: placeOf(path), field, type: message.$typeName, why });
    before.ignore.call(this, field, why);
  };
  prototype.finish = function () {
    lists.add(this.problems);
    sights.push({ kind: "read", path: placeOf(this.path), field: "", type: this.message.$typeName, why: undefined });
    before.finish.call(this);
  };
  try {
    const found = parse();
    return { sights, problems: [...new Set([...found, ...[...lists].flat()])], thrown: undefined };
  } catch (thrown) {
    return { sights, problems: [...lists].flat(), thrown };
  } finally {
    Object.assign(prototype, before);
  }
}

interface AnyReader {
  readonly message: Message;
  readonly path: string;
  readonly problems: Problem[];
  get: (this: AnyReader, field: string) => unknown;
  ignore: (this: AnyReader, field: string, why: string) => void;
  finish: (this: AnyReader) => void;
}

/** A path without what differs between parsers: `a[0].b["x"]` → `a.b`. */
export function placeOf(path: string): string {
  return path.replaceAll(/\[(?:\d+|"[^"]*"|[^\]]*)\]/g, "");
}

interface Holder {
  readonly path: string;
  readonly field: string;
}

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const below = ({ path, field }: Holder): string => (path === "" ? snake(field) : `${path}.${snake(field)}`);

/** The value, with its properties watched: a message, a oneof, a list or a map of messages. */
function watched(value: unknown, holder: Holder, sights: Sight[]): unknown {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  const isMessage = "$typeName" in value;
  const isOneof = !isMessage && "case" in value;
  return new Proxy(value, {
    get(target, key, receiver) {
      const item: unknown = Reflect.get(target, key, receiver);
      if (typeof key === "symbol" || key.startsWith("$") || typeof item === "function") return item;
      if (isOneof) {
        if (key !== "value") return item;
        const field = String(Reflect.get(target, "case"));
        const { path } = holder;
        if (isReadByProxy()) sights.push({ kind: "taken", path, field, type: undefined, why: undefined });
        return watched(item, { path, field }, sights);
      }
      if (!isMessage) return watched(item, holder, sights);
      const inner = { path: below(holder), field: key };
      if (isReadByProxy())
        sights.push({ kind: "read", ...inner, type: String(Reflect.get(target, "$typeName")), why: undefined });
      return watched(item, inner, sights);
    },
  });
}

/** Whether the property is read by the proxy's own code, not by the reader, the checks, or the library below it. */
function isReadByProxy(): boolean {
  const before = {
    prepareStackTrace: Reflect.get(Error, "prepareStackTrace") as unknown,
    limit: Error.stackTraceLimit,
  };
  const holder: { stack?: unknown } = {};
  // The frames as they are: text with source maps would cost more than the parsing.
  Error.prepareStackTrace = (_error, sites) => sites;
  Error.stackTraceLimit = 4;
  Error.captureStackTrace(holder, isReadByProxy);
  const sites = holder.stack as readonly NodeJS.CallSite[];
  Object.assign(Error, { prepareStackTrace: before.prepareStackTrace, stackTraceLimit: before.limit });
  // The first frame is the trap of the Proxy; built-in functions have no file.
  const file =
    sites
      .slice(1)
      .find((site) => !site.isNative() && site.getFileName() !== null)
      ?.getFileName() ?? "";
  return /\/(?:proxy|lib|certs)\//.test(file) && !file.includes("/node_modules/");
}
