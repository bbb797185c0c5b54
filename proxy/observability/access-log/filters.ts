/** `envoy.config.accesslog.v3.AccessLogFilter` → a test over an ended stream. */
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type {
  AccessLogFilter as AccessLogFilterMessage,
  ComparisonFilter,
  GrpcStatusFilter,
  LogTypeFilter,
  MetadataFilter,
  ResponseFlagFilter,
  RuntimeFilter,
} from "#protos/gen/envoy/config/accesslog/v3/accesslog_pb.js";
import type { ExpressionFilter } from "#protos/gen/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.js";
import { HeaderMap } from "../../http/header-map.ts";
import { fractionOf } from "../../config-values.ts";
import { parseHeaderMatcher } from "../../router/header-matcher.ts";
import type { RegexCache } from "../../router/regex.ts";
import { parseStringMatcher } from "../../router/string-matcher.ts";
import type { RuntimeSnapshot } from "../../runtime-layers.ts";
import { compileCel } from "../cel/compile.ts";
import { grpcStatus } from "../grpc-status.ts";
import { responseFlagFromShortName } from "../response-flags.ts";
import type { AccessLogFilter, AccessLogFilterMaker, AccessLogType, FormatContext } from "./types.ts";

type FilterMaker = AccessLogFilterMaker;

const LOG_TYPES: readonly AccessLogType[] = [
  "NotSet",
  "TcpUpstreamConnected",
  "TcpPeriodic",
  "TcpConnectionEnd",
  "DownstreamStart",
  "DownstreamPeriodic",
  "DownstreamEnd",
  "UpstreamPoolReady",
  "UpstreamPeriodic",
  "UpstreamEnd",
];

/** Reads a filter; undefined when it has problems, which are on the reader's list. */
export function parseAccessLogFilter(
  reader: MessageReader<AccessLogFilterMessage>,
  regexes: RegexCache,
): FilterMaker | undefined {
  const specifier = reader.get("filterSpecifier");
  const path = reader.at("filterSpecifier");
  const { problems } = reader;
  reader.finish();
  switch (specifier.case) {
    case "statusCodeFilter": {
      const inner = new MessageReader(specifier.value, path, problems);
      const holds = parseComparison(inner.child("comparison"));
      inner.finish();
      return (
        holds &&
        ((_random, snapshot) =>
          ({ info }) =>
            holds(info.responseCode, snapshot))
      );
    }
    case "durationFilter": {
      const inner = new MessageReader(specifier.value, path, problems);
      const holds = parseComparison(inner.child("comparison"));
      inner.finish();
      return (
        holds &&
        ((_random, snapshot) =>
          ({ info }) =>
            info.end !== 0 && holds(Math.floor(info.end - info.start), snapshot))
      );
    }
    case "notHealthCheckFilter":
      return always(({ info }) => !info.isHealthCheck);
    case "traceableFilter":
      return always(({ info }) => info.isTraced);
    case "runtimeFilter":
      return parseRuntime(new MessageReader(specifier.value, path, problems));
    case "andFilter":
    case "orFilter": {
      const inner = new MessageReader(specifier.value, path, problems);
      const makers = inner.children("filters").map((child) => parseAccessLogFilter(child, regexes));
      inner.finish();
      const complete = makers.filter((maker) => maker !== undefined);
      if (complete.length !== makers.length) return undefined;
      const isAnd = specifier.case === "andFilter";
      return (random, snapshot) => {
        const filters = complete.map((maker) => maker(random, snapshot));
        return isAnd
          ? (context) => filters.every((filter) => filter(context))
          : (context) => filters.some((filter) => filter(context));
      };
    }
    case "headerFilter": {
      const inner = new MessageReader(specifier.value, path, problems);
      const header = inner.child("header");
      inner.finish();
      const matches = header && parseHeaderMatcher(header, regexes);
      const none = new HeaderMap();
      return matches && always(({ requestHeaders }) => matches(requestHeaders ?? none));
    }
    case "responseFlagFilter":
      return parseResponseFlags(new MessageReader(specifier.value, path, problems));
    case "grpcStatusFilter":
      return parseGrpcStatus(new MessageReader(specifier.value, path, problems));
    case "metadataFilter":
      return parseMetadata(new MessageReader(specifier.value, path, problems), regexes);
    case "logTypeFilter":
      return parseLogType(new MessageReader(specifier.value, path, problems));
    case "extensionFilter":
      return parseExtension(new MessageReader(specifier.value, path, problems));
    case undefined:
      problems.push({ code: "invalid-value", level: "error", path: reader.path, message: "names no filter" });
      return undefined;
  }
}

function always(filter: AccessLogFilter): FilterMaker {
  return () => filter;
}

function parseComparison(
  reader: MessageReader<ComparisonFilter> | undefined,
): ((value: number, snapshot: RuntimeSnapshot | undefined) => boolean) | undefined {
  if (reader === undefined) return undefined;
  const op: number = reader.get("op");
  const bound = reader.child("value");
  const fallback = bound?.get("defaultValue") ?? 0;
  const key = bound?.get("runtimeKey") ?? "";
  const limit = (snapshot: RuntimeSnapshot | undefined): number =>
    key === "" ? fallback : (snapshot?.integer(key) ?? fallback);
  bound?.finish();
  reader.finish();
  switch (op) {
    case 0:
      return (value, snapshot) => value === limit(snapshot);
    case 1:
      return (value, snapshot) => value >= limit(snapshot);
    case 2:
      return (value, snapshot) => value <= limit(snapshot);
    case 3:
      return (value, snapshot) => value !== limit(snapshot);
    default:
      reader.invalid("op", `${op} is none of EQ, GE, LE, NE`);
      return undefined;
  }
}

/** Differs from Envoy: the draw is always independent of x-request-id. */
function parseRuntime(reader: MessageReader<RuntimeFilter>): FilterMaker {
  const key = reader.get("runtimeKey");
  const percent = reader.get("percentSampled");
  reader.ignore("useIndependentRandomness", "the draw is always independent");
  reader.finish();
  const fallback = percent === undefined ? { numerator: 0, denominator: 100 } : fractionOf(percent);
  return (random, snapshot) => () => {
    const { numerator, denominator } = snapshot?.fraction(key) ?? fallback;
    return random.float() * denominator < numerator;
  };
}

function parseResponseFlags(reader: MessageReader<ResponseFlagFilter>): FilterMaker | undefined {
  const names = reader.get("flags");
  reader.finish();
  if (names.length === 0) return always(({ info }) => info.flags !== 0);
  let mask = 0;
  for (const name of names) {
    const flag = responseFlagFromShortName(name);
    if (flag === undefined) reader.invalid("flags", `there is no response flag ${name}`);
    else mask |= flag;
  }
  return always(({ info }) => (info.flags & mask) !== 0);
}

function parseGrpcStatus(reader: MessageReader<GrpcStatusFilter>): FilterMaker {
  const statuses = new Set<number>(reader.get("statuses"));
  const exclude = reader.get("exclude");
  reader.finish();
  return always(({ info, responseTrailers, responseHeaders }) => {
    const status = grpcStatus(responseTrailers, responseHeaders, info.responseCode) ?? 2;
    return statuses.has(status) !== exclude;
  });
}

function parseLogType(reader: MessageReader<LogTypeFilter>): FilterMaker {
  const types = new Set<AccessLogType>(reader.get("types").map((type: number) => LOG_TYPES[type] ?? "NotSet"));
  const exclude = reader.get("exclude");
  reader.finish();
  return always(({ accessLogType }) => types.has(accessLogType ?? "NotSet") !== exclude);
}

function parseMetadata(reader: MessageReader<MetadataFilter>, regexes: RegexCache): FilterMaker | undefined {
  const matcher = reader.child("matcher");
  const ifMissing = reader.get("matchIfKeyNotFound") ?? true;
  reader.finish();
  if (matcher === undefined) return always(() => ifMissing);
  const namespace = matcher.get("filter");
  const path = matcher.get("path").map(({ segment }) => segment.value ?? "");
  const invert = matcher.get("invert");
  const value = matcher.child("value");
  matcher.finish();
  const pattern = value?.get("matchPattern");
  value?.finish();
  const test = pattern && parseValue(pattern, value, regexes);
  if (test === undefined) return undefined;
  return always((context) => {
    const found = metadataAt(context, namespace, path);
    return found === undefined ? ifMissing : test(found) !== invert;
  });
}

type ValueMatcher = NonNullable<MetadataFilter["matcher"]>["value"];

function parseValue(
  pattern: NonNullable<ValueMatcher>["matchPattern"],
  reader: MessageReader<NonNullable<ValueMatcher>> | undefined,
  regexes: RegexCache,
): ((value: unknown) => boolean) | undefined {
  switch (pattern.case) {
    case "boolMatch":
      return (value) => value === pattern.value;
    case "presentMatch":
      return () => pattern.value;
    case "nullMatch":
      return (value) => value === null;
    case "stringMatch": {
      const inner = new MessageReader(pattern.value, reader?.at("matchPattern") ?? "", reader?.problems ?? []);
      const test = parseStringMatcher(inner, regexes);
      return test && ((value) => typeof value === "string" && test(value));
    }
    default:
      reader?.unsupported("matchPattern");
      return undefined;
  }
}

function metadataAt(context: FormatContext, namespace: string, path: readonly string[]): unknown {
  let value: unknown = context.info.dynamicMetadata?.get(namespace);
  for (const key of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[key];
  }
  return value;
}

function parseExtension(
  reader: MessageReader<
    { readonly name: string } & Extract<AccessLogFilterMessage["filterSpecifier"], { case: "extensionFilter" }>["value"]
  >,
): FilterMaker | undefined {
  reader.ignore("name", "the type of the configuration chooses the filter");
  const config = reader.get("configType");
  reader.finish();
  if (config.case === undefined) {
    reader.invalid("configType", "typed_config is missing");
    return undefined;
  }
  const { value, problems } = unpackAny(config.value, reader.at("configType"));
  reader.problems.push(...problems);
  if (value === undefined) return undefined;
  if (value.$typeName !== "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter") {
    reader.unsupported("configType", `the access-log filter ${value.$typeName} is not supported by this proxy`);
    return undefined;
  }
  const inner = new MessageReader(value as ExpressionFilter, reader.at("configType"), reader.problems);
  const expression = inner.get("expression");
  inner.finish();
  const compiled = compileCel(expression, inner.at("expression"));
  reader.problems.push(...compiled.problems);
  const evaluate = compiled.value;
  return evaluate && always((context) => evaluate(context) === true);
}
