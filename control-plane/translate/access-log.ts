/** Access logs: what Telemetry asks for, else the mesh's file (§4.9). */
import {
  bootstrapAccessLog,
  callLogFormat,
  fileAccessLog,
  grpcAccessLog,
  jsonFormat,
  otlpAccessLog,
  textFormat,
} from "./access-loggers.ts";
import { any, byText, type JsonObject } from "./json.ts";
import type { Direction } from "./network-filters.ts";
import type { AccessLoggingRule, ExtensionProvider } from "./spec/telemetry.ts";
import { defaultProviders, extensionProvider, isForMode, providerNames, telemetrySpecs } from "./telemetry.ts";
import { hasExtension, type View } from "./view.ts";

/** For HTTP connection managers and TCP proxies; undefined: none. */
export function accessLogs(view: View, direction: Direction, kind: "http" | "tcp"): readonly JsonObject[] | undefined {
  const logs = logsOf(view, direction, kind).map(({ log, filter }) =>
    filter === undefined ? log : { filter, ...log },
  );
  return logs.length === 0 ? undefined : logs;
}

/** For listeners: connections for which no filter chain was found. */
export function listenerAccessLogs(view: View, direction: Direction): readonly JsonObject[] | undefined {
  if (view.mesh.meshConfig.raw["disableEnvoyListenerLog"] === true) return undefined;
  const noRoute = { responseFlagFilter: { flags: ["NR"] } };
  const logs = logsOf(view, direction, "listener").map(({ log, filter }) => ({
    filter: filter === undefined ? noRoute : { andFilter: { filters: [noRoute, filter] } },
    ...log,
  }));
  return logs.length === 0 ? undefined : logs;
}

/** Of a proxy that was placed on this machine: the log of calls for `glassmesh call`, one JSON object a request. */
export function callLogs(view: View): readonly JsonObject[] {
  const path = view.proxy.placement?.callLog ?? "";
  return path === "" ? [] : [fileAccessLog(path, callLogFormat(view.proxy.type === "router"))];
}

interface Log {
  readonly log: JsonObject;
  readonly filter: JsonObject | undefined;
}

type LogKind = "http" | "tcp" | "listener";

function logsOf(view: View, direction: Direction, kind: LogKind): readonly Log[] {
  const levels = telemetrySpecs(view).map((spec) => spec.accessLogging ?? []);
  const byDefault = defaultProviders(view.mesh, "accessLogging");
  if (levels.every((level) => level.length === 0) && byDefault.length === 0) return meshLogs(view, kind);
  const side = direction === "outbound" ? "CLIENT" : "SERVER";
  const logs = [...chosenProviders(levels, byDefault, side)]
    .toSorted(([a], [b]) => byText(a, b))
    .flatMap(([name, { isDisabled, expression }]) => {
      const provider = extensionProvider(view.mesh, name);
      const log = provider === undefined ? undefined : accessLogOf(view, provider);
      return log === undefined ? [] : [{ log, isDisabled, filter: expressionFilter(view, expression) }];
    });
  // What is neither asked for nor switched off for this side is left to the mesh.
  return logs.length === 0 ? meshLogs(view, kind) : logs.filter(({ isDisabled }) => !isDisabled);
}

/** The mesh's file, and the service that the bootstrap knows (`enableEnvoyAccessLogService`). */
function meshLogs(view: View, kind: LogKind): readonly Log[] {
  const hasService = view.mesh.meshConfig.raw["enableEnvoyAccessLogService"] === true;
  const service = hasService ? bootstrapAccessLog(view, kind) : undefined;
  return [...meshFile(view), ...(service === undefined ? [] : [{ log: service, filter: undefined }])];
}

function meshFile(view: View): readonly Log[] {
  const { accessLogFile } = view.mesh.meshConfig;
  if (accessLogFile === "") return [];
  return [{ log: fileAccessLog(accessLogFile, meshFormat(view)), filter: undefined }];
}

function meshFormat({ mesh }: View): JsonObject {
  const { accessLogFormat, accessLogEncoding } = mesh.meshConfig;
  return accessLogEncoding === "JSON" ? jsonFormat(accessLogFormat) : textFormat(accessLogFormat);
}

/** The provider that always exists logs in the mesh's format, unless it was given one of its own. */
const BUILTIN_PROVIDER = "envoy";

interface Choice {
  readonly isDisabled: boolean;
  readonly expression: string | undefined;
}

/**
 * Provider → filter expression. The narrowest level that names providers for this side decides which there are; the last
 * rule that names a provider, by which requests are logged.
 */
function chosenProviders(
  levels: readonly (readonly AccessLoggingRule[])[],
  byDefault: readonly string[],
  side: "CLIENT" | "SERVER",
): ReadonlyMap<string, Choice> {
  let inForce: readonly string[] = byDefault;
  const expressions = new Map<string, string | undefined>();
  for (const level of levels) {
    const own = level.filter((rule) => isForMode(rule.match?.mode, side));
    for (const { providers, filter } of own) {
      for (const name of providerNames(providers)) expressions.set(name, filter?.expression);
    }
    const named = own.flatMap((rule) => providerNames(rule.providers));
    if (named.length > 0) inForce = named;
  }
  const enabled = (name: string): Choice => ({ isDisabled: false, expression: expressions.get(name) });
  const result = new Map<string, Choice>(
    levels.flat().length === 0 ? byDefault.map((name) => [name, enabled(name)]) : [],
  );
  let inherited = byDefault;
  for (const rule of levels.flat()) {
    const own = providerNames(rule.providers);
    const names = own.length > 0 ? own : inherited;
    inherited = names;
    if (!isForMode(rule.match?.mode, side)) continue;
    for (const name of names.filter((candidate) => inForce.includes(candidate))) {
      result.set(name, rule.disabled === true ? { isDisabled: true, expression: undefined } : enabled(name));
    }
  }
  return result;
}

/** A logger that the proxy lacks is left out: logs decide nothing. */
function accessLogOf(view: View, provider: ExtensionProvider): JsonObject | undefined {
  if (provider.envoyFileAccessLog !== undefined) {
    const { path = "/dev/stdout", logFormat, omitEmptyValues } = provider.envoyFileAccessLog;
    if (provider.name === BUILTIN_PROVIDER && logFormat === undefined && omitEmptyValues !== true) {
      return fileAccessLog(path, meshFormat(view));
    }
    const format = logFormat?.labels === undefined ? textFormat(logFormat?.text ?? "") : jsonFormat(logFormat.labels);
    return fileAccessLog(
      path === "" ? "/dev/stdout" : path,
      omitEmptyValues === true ? { ...format, omitEmptyValues } : format,
    );
  }
  if (provider.envoyHttpAls !== undefined && hasExtension(view, "envoy.access_loggers.http_grpc")) {
    return grpcAccessLog(view, "http", provider.envoyHttpAls);
  }
  if (provider.envoyTcpAls !== undefined && hasExtension(view, "envoy.access_loggers.tcp_grpc")) {
    return grpcAccessLog(view, "tcp", provider.envoyTcpAls);
  }
  if (provider.envoyOtelAls !== undefined && hasExtension(view, "envoy.access_loggers.open_telemetry")) {
    return otlpAccessLog(view, provider.envoyOtelAls);
  }
  return undefined;
}

function expressionFilter(view: View, expression: string | undefined): JsonObject | undefined {
  const name = "envoy.access_loggers.extension_filters.cel";
  if (expression === undefined || !hasExtension(view, name)) return undefined;
  const typedConfig = any("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter", { expression });
  return { extensionFilter: { name, typedConfig } };
}
