/** Access logs: what Telemetry asks for, else the mesh's file (§4.9). */
import {
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
export function accessLogs(view: View, direction: Direction): readonly JsonObject[] | undefined {
  const logs = logsOf(view, direction).map(({ log, filter }) => (filter === undefined ? log : { filter, ...log }));
  return logs.length === 0 ? undefined : logs;
}

/** For listeners: connections for which no filter chain was found. */
export function listenerAccessLogs(view: View, direction: Direction): readonly JsonObject[] | undefined {
  const noRoute = { responseFlagFilter: { flags: ["NR"] } };
  const logs = logsOf(view, direction).map(({ log, filter }) => ({
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

function logsOf(view: View, direction: Direction): readonly Log[] {
  const levels = telemetrySpecs(view).map((spec) => spec.accessLogging ?? []);
  const byDefault = defaultProviders(view.mesh, "accessLogging");
  if (levels.every((level) => level.length === 0) && byDefault.length === 0) return meshFile(view);
  const side = direction === "outbound" ? "CLIENT" : "SERVER";
  return [...chosenProviders(levels, byDefault, side)]
    .toSorted(([a], [b]) => byText(a, b))
    .flatMap(([name, expression]) => {
      const provider = extensionProvider(view.mesh, name);
      const log = provider === undefined ? undefined : accessLogOf(view, provider);
      return log === undefined ? [] : [{ log, filter: expressionFilter(view, expression) }];
    });
}

function meshFile(view: View): readonly Log[] {
  const { accessLogFile, accessLogFormat, accessLogEncoding } = view.mesh.meshConfig;
  if (accessLogFile === "") return [];
  const format = accessLogEncoding === "JSON" ? jsonFormat(accessLogFormat) : textFormat(accessLogFormat);
  return [{ log: fileAccessLog(accessLogFile, format), filter: undefined }];
}

/**
 * Provider → filter expression. The narrowest level that names providers for this side decides which there are; the last
 * rule that names a provider, by which requests are logged.
 */
function chosenProviders(
  levels: readonly (readonly AccessLoggingRule[])[],
  byDefault: readonly string[],
  side: "CLIENT" | "SERVER",
): ReadonlyMap<string, string | undefined> {
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
  const result = new Map<string, string | undefined>(
    levels.flat().length === 0 ? byDefault.map((name) => [name, undefined]) : [],
  );
  let inherited = byDefault;
  for (const rule of levels.flat()) {
    const own = providerNames(rule.providers);
    const names = own.length > 0 ? own : inherited;
    inherited = names;
    if (!isForMode(rule.match?.mode, side)) continue;
    for (const name of names.filter((candidate) => inForce.includes(candidate))) {
      if (rule.disabled === true) result.delete(name);
      else result.set(name, expressions.get(name));
    }
  }
  return result;
}

/** A logger that the proxy lacks is left out: logs decide nothing. */
function accessLogOf(view: View, provider: ExtensionProvider): JsonObject | undefined {
  if (provider.envoyFileAccessLog !== undefined) {
    const { path = "/dev/stdout", logFormat, omitEmptyValues } = provider.envoyFileAccessLog;
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
