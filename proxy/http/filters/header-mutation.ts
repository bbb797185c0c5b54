/** `envoy.filters.http.header_mutation`: changes headers, trailers and query parameters, one operation after the other. */
import type { Message } from "@bufbuild/protobuf";
import { byteString } from "#lib/xxhash64.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { HeaderMutation as HeaderMutationMessage } from "#protos/gen/envoy/config/common/mutation_rules/v3/mutation_rules_pb.js";
import type { KeyValueMutation } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type {
  HeaderMutation,
  HeaderMutationPerRoute,
  Mutations as MutationsMessage,
} from "#protos/gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation_pb.js";
import { compileFormat } from "../../observability/access-log/format.ts";
import { RegexCache } from "../../router/regex.ts";
import { parseStringMatcher } from "../../router/string-matcher.ts";
import type { HeaderFormatContext } from "../../router/types.ts";
import type { BodyStatus, FilterStatus, FilterStream, HttpFilter, HttpFilterFactory } from "../filter.ts";
import type { HeaderMap } from "../header-map.ts";
import { QueryParameters } from "./query-parameters.ts";

/** One operation on headers. */
type Mutate = (headers: HeaderMap, context: HeaderFormatContext) => void;
type MutateQuery = (query: QueryParameters, context: HeaderFormatContext) => void;

interface Mutations {
  readonly request: readonly Mutate[];
  readonly query: readonly MutateQuery[];
  readonly requestTrailers: readonly Mutate[];
  readonly response: readonly Mutate[];
  readonly responseTrailers: readonly Mutate[];
}

interface HeaderMutationConfig {
  readonly mutations: Mutations;
  readonly mostSpecificWins: boolean;
}

export const headerMutation: HttpFilterFactory<HeaderMutationConfig, Mutations> = {
  name: "envoy.filters.http.header_mutation",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"],
  routeTypeUrls: ["type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute"],
  parse(message, path) {
    const problems: Problem[] = [];
    const reader = new MessageReader(message as HeaderMutation, path, problems);
    const value = {
      mutations: parseMutations(reader.child("mutations")),
      mostSpecificWins: reader.get("mostSpecificHeaderMutationsWins"),
    };
    reader.finish();
    return problems.length > 0 ? { problems } : { value, problems };
  },
  parseRoute(message: Message, path: string): Parsed<Mutations> {
    const problems: Problem[] = [];
    const reader = new MessageReader(message as HeaderMutationPerRoute, path, problems);
    const value = parseMutations(reader.child("mutations"));
    reader.finish();
    return problems.length > 0 ? { problems } : { value, problems };
  },
  create: (config, _context, name) => (stream) => new HeaderMutationFilter(config, stream, name),
};

/** The filter's own come first, then the levels of the route: by default the most specific, so that the least one wins. */
class HeaderMutationFilter implements HttpFilter {
  readonly #config: HeaderMutationConfig;
  readonly #stream: FilterStream;
  readonly #name: string;
  #levels: readonly Mutations[] | undefined = undefined;

  constructor(config: HeaderMutationConfig, stream: FilterStream, name: string) {
    this.#config = config;
    this.#stream = stream;
    this.#name = name;
  }

  decodeHeaders(headers: HeaderMap): FilterStatus {
    const context = this.#context();
    for (const { request, query } of this.#all()) {
      for (const mutate of request) mutate(headers, context);
      if (query.length === 0 || headers.path === "") continue;
      const parameters = new QueryParameters(headers.path);
      for (const mutate of query) mutate(parameters, context);
      headers.path = parameters.toPath();
    }
    return "continue";
  }

  decodeTrailers(trailers: HeaderMap): BodyStatus {
    for (const { requestTrailers } of this.#all())
      for (const mutate of requestTrailers) mutate(trailers, this.#context());
    return "continue";
  }

  encodeHeaders(headers: HeaderMap): FilterStatus {
    const context = { ...this.#context(), responseHeaders: headers };
    for (const { response } of this.#all()) for (const mutate of response) mutate(headers, context);
    return "continue";
  }

  encodeTrailers(trailers: HeaderMap): BodyStatus {
    const context = { ...this.#context(), responseHeaders: this.#stream.responseHeaders };
    for (const { responseTrailers } of this.#all()) for (const mutate of responseTrailers) mutate(trailers, context);
    return "continue";
  }

  #all(): readonly Mutations[] {
    if (this.#levels === undefined) {
      const { mutations, mostSpecificWins } = this.#config;
      const levels = this.#stream.routeConfigs<Mutations>(this.#name);
      this.#levels = [mutations, ...(mostSpecificWins ? levels.toReversed() : levels)];
    }
    return this.#levels;
  }

  #context(): HeaderFormatContext {
    return { info: this.#stream.info, requestHeaders: this.#stream.requestHeaders };
  }
}

function parseMutations(reader: MessageReader<MutationsMessage> | undefined): Mutations {
  if (reader === undefined) return { request: [], query: [], requestTrailers: [], response: [], responseTrailers: [] };
  const regexes = new RegexCache();
  const all = (
    field: "requestMutations" | "responseMutations" | "requestTrailersMutations" | "responseTrailersMutations",
  ): readonly Mutate[] =>
    reader
      .children(field)
      .map((one) => parseMutation(one, regexes))
      .filter((mutate) => mutate !== undefined);
  const mutations = {
    request: all("requestMutations"),
    query: reader
      .children("queryParameterMutations")
      .map(parseQueryMutation)
      .filter((mutate) => mutate !== undefined),
    requestTrailers: all("requestTrailersMutations"),
    response: all("responseMutations"),
    responseTrailers: all("responseTrailersMutations"),
  };
  reader.finish();
  return mutations;
}

function parseMutation(reader: MessageReader<HeaderMutationMessage>, regexes: RegexCache): Mutate | undefined {
  const action = reader.get("action");
  const at = reader.at("action");
  const { problems } = reader;
  reader.finish();
  switch (action.case) {
    case "remove": {
      const name = action.value.toLowerCase();
      if (!isMutable(name)) reader.invalid("action", ":-prefixed or host headers may not be removed");
      return (headers) => void headers.remove(name);
    }
    case "removeOnMatch": {
      const inner = new MessageReader(action.value, at, problems);
      const matcher = inner.child("keyMatcher");
      inner.finish();
      const matches = matcher === undefined ? undefined : parseStringMatcher(matcher, regexes);
      return (
        matches &&
        ((headers) => {
          for (const name of new Set(headers.names.filter((candidate) => matches(candidate)))) headers.remove(name);
        })
      );
    }
    case "append": {
      const inner = new MessageReader(action.value, at, problems);
      const header = inner.child("header");
      const append = inner.get("append");
      const appendAction: number = inner.get("appendAction");
      const keepEmpty = inner.get("keepEmptyValue");
      inner.finish();
      if (header === undefined) return undefined;
      const name = header.get("key").toLowerCase();
      if (!isMutable(name)) header.invalid("key", ":-prefixed or host headers may not be modified");
      const raw = header.get("rawValue");
      const text = raw.length > 0 ? Buffer.from(raw).toString("utf8") : header.get("value");
      header.finish();
      const value = compileValue(text, header.at("value"), problems);
      return value && appender(name, value, append === undefined ? appendAction : append ? 0 : 2, keepEmpty);
    }
    case undefined:
      problems.push({ code: "invalid-value", level: "error", path: reader.path, message: "an action is required" });
      return undefined;
  }
}

type ValueOf = (context: HeaderFormatContext) => string;

function compileValue(text: string, path: string, problems: Problem[]): ValueOf | undefined {
  if (!text.includes("%")) {
    const bytes = byteString(text);
    return () => bytes;
  }
  const parsed = compileFormat(text, { path, omitEmptyValues: true });
  problems.push(...parsed.problems);
  return parsed.value;
}

/** `action`: append, add if absent, overwrite or add, overwrite if it is there. */
function appender(name: string, valueOf: ValueOf, action: number, keepEmpty: boolean): Mutate {
  return (headers, context) => {
    const value = valueOf(context);
    if (value === "" && !keepEmpty) return;
    if ((action === 1 && headers.has(name)) || (action === 3 && !headers.has(name))) return;
    if (action === 0 || action === 1) headers.add(name, value);
    else {
      headers.remove(name); // it goes to the end, as in Envoy
      headers.add(name, value);
    }
  };
}

/** Routing hangs on pseudo headers and the host: no mutation may touch them, as in Envoy. */
function isMutable(name: string): boolean {
  return name !== "" && !name.startsWith(":") && name !== "host";
}

function parseQueryMutation(reader: MessageReader<KeyValueMutation>): MutateQuery | undefined {
  const remove = reader.get("remove");
  const append = reader.child("append");
  reader.finish();
  if ((remove === "") === (append === undefined)) {
    reader.invalid("append", "exactly one of append and remove must be set");
    return undefined;
  }
  if (append === undefined) return (query) => query.remove(remove);
  const entry = append.child("entry");
  const record = append.child("record");
  const action: number = append.get("action");
  append.finish();
  const key = entry?.get("key") ?? record?.get("key") ?? "";
  const value = record === undefined ? Buffer.from(entry?.get("value") ?? []).toString("utf8") : record.get("value");
  entry?.finish();
  record?.finish();
  const text =
    typeof value === "object" && value !== null ? (value as { kind?: { value?: unknown } }).kind?.value : value;
  if (key === "" || typeof text !== "string") {
    append.invalid("record", "a record with a key and a string as its value is required");
    return undefined;
  }
  const valueOf = compileValue(text, append.at("record"), append.problems);
  if (valueOf === undefined) return undefined;
  return (query, context) => {
    if ((action === 1 && query.has(key)) || (action === 3 && !query.has(key))) return;
    if (action === 0 || action === 1) query.append(key, valueOf(context));
    else query.set(key, valueOf(context));
  };
}
