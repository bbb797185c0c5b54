/** Operators over metadata and filter state. */
import { asBytes, type Operator, type OperatorTable, type Value, type ValueOf } from "./operator.ts";
import type { FormatContext } from "./types.ts";

type NamespaceOf = (context: FormatContext, namespace: string) => unknown;

const dynamic: NamespaceOf = ({ info }, namespace) => info.dynamicMetadata?.get(namespace);
const cluster: NamespaceOf = ({ info }, namespace) => info.cluster?.metadata[namespace];
const upstreamHost: NamespaceOf = ({ info }, namespace) => info.upstreamHost?.metadata[namespace];
const route: NamespaceOf = (context, namespace) => context.route?.metadata[namespace];

const SOURCES: Readonly<Record<string, NamespaceOf>> = {
  DYNAMIC: dynamic,
  CLUSTER: cluster,
  UPSTREAM_HOST: upstreamHost,
  ROUTE: route,
};

/** `DYNAMIC_METADATA(ns:key…)` and its kin, `FILTER_STATE(key:PLAIN|TYPED|FIELD:f)`. */
export const metadataOperators: OperatorTable = {
  DYNAMIC_METADATA: metadata(dynamic, true),
  CLUSTER_METADATA: metadata(cluster, false),
  UPSTREAM_METADATA: metadata(upstreamHost, false),
  METADATA: {
    parameters: "required",
    length: true,
    compile(args, limit) {
      const [kind = "", ...path] = args.split(":");
      const source = SOURCES[kind];
      if (source === undefined) return `takes one of ${Object.keys(SOURCES).join(", ")} first, not ${kind}`;
      return compileMetadata(source, path.join(":"), limit);
    },
  },
  FILTER_STATE: { parameters: "required", length: true, compile: compileFilterState },
};

function metadata(source: NamespaceOf, length: boolean): Operator {
  return { parameters: "required", length, compile: (args, limit) => compileMetadata(source, args, limit) };
}

function compileMetadata(source: NamespaceOf, args: string, limit: number | undefined): ValueOf | string {
  const [namespace = "", ...path] = args.split(":");
  if (namespace === "") return "names no namespace";
  return (context) => {
    let value = source(context, namespace);
    for (const key of path) {
      if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
      value = (value as Readonly<Record<string, unknown>>)[key];
    }
    return printable(value, limit);
  };
}

function compileFilterState(args: string, limit: number | undefined): ValueOf | string {
  const [key = "", form = "TYPED", field, ...more] = args.split(":");
  if (key === "") return "names no key";
  if (
    more.length > 0 ||
    !(form === "FIELD" ? field !== undefined : field === undefined && (form === "PLAIN" || form === "TYPED"))
  )
    return "takes (key), (key:PLAIN), (key:TYPED) or (key:FIELD:name)";
  return ({ info }) => {
    const state = info.filterState?.get(key);
    if (state === undefined || state === null) return undefined;
    if (form === "FIELD") return printable(fieldOf(state, field ?? ""), limit);
    if (typeof state === "string" && form === "TYPED") return printable(JSON.stringify(state), limit);
    return printable(typeof state === "object" ? jsonOf(state) : state, limit);
  };
}

/** What a state object shows of itself; undefined: it has no printable form. */
function jsonOf(state: object): object | undefined {
  const prototype: unknown = Object.getPrototypeOf(state);
  return prototype === Object.prototype || prototype === null || Array.isArray(state) || "toJSON" in state
    ? state
    : undefined;
}

function fieldOf(state: unknown, field: string): unknown {
  return typeof state === "object" && state !== null ? (state as Readonly<Record<string, unknown>>)[field] : undefined;
}

/** Strings are cut, structures never. */
function printable(value: unknown, limit: number | undefined): Value {
  switch (typeof value) {
    case "string": {
      const text = asBytes(value);
      return limit === undefined ? text : text.slice(0, limit);
    }
    case "number":
    case "boolean":
      return value;
    case "object":
      return value ?? undefined;
    default:
      return undefined;
  }
}
