/** `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`, read once: every field is done or refused by name. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import { unpackAny } from "#protos/any.ts";
import type {
  HttpConnectionManager,
  HttpConnectionManager_UpgradeConfig,
  RequestIDExtension,
} from "#protos/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import type {
  Http1ProtocolOptions,
  HttpProtocolOptions,
  SchemeHeaderTransformation,
} from "#protos/gen/envoy/config/core/v3/protocol_pb.js";
import type { TypedExtensionConfig } from "#protos/gen/envoy/config/core/v3/extension_pb.js";
import type { HeaderMutation as EarlyHeaderMutation } from "#protos/gen/envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation_pb.js";
import type { UuidRequestIdConfig } from "#protos/gen/envoy/extensions/request_id/uuid/v3/uuid_pb.js";
import { durationMs } from "../config-values.ts";
import { parseAccessLogs } from "../observability/access-log/parse.ts";
import type { AccessLogConfig } from "../observability/access-log/types.ts";
import { parseRouteConfiguration } from "../router/parse-route-config.ts";
import { composeMutations } from "../router/header-mutations.ts";
import { parseMutationList } from "../router/mutation-list.ts";
import type { HeaderMutations, RouteTable } from "../router/types.ts";
import { parseCidrRanges, type CidrRange } from "./cidr.ts";
import { parseHttpFilters, type ConfiguredFilter } from "./filters/configured-filters.ts";
import { parseHeaderKeyFormat, type HeaderKeySettings } from "./http1/header-key-format.ts";
import { parseHttp2ProtocolOptions, type Http2ProtocolSettings } from "./http2/protocol-options.ts";
import type { HttpFilterRegistry } from "./filters/registry.ts";
import { parseLocalReplyConfig, type LocalReplyRules } from "./local-reply-config.ts";
import { parseOriginalIpDetection, type OriginalIpDetection } from "./original-ip-detection.ts";
import { parseTracing, type TracingConfig } from "./tracing-config.ts";
import type { TracingFactory } from "./tracing.ts";

export interface ConnectionManagerConfig {
  readonly codecType: "auto" | "http1" | "http2";
  readonly statPrefix: string;
  /** Inline, or the name to ask RDS for. */
  readonly routes:
    | { readonly kind: "inline"; readonly table: RouteTable }
    | { readonly kind: "rds"; readonly name: string };
  readonly filters: readonly ConfiguredFilter[];
  readonly tracing: TracingConfig | undefined;
  readonly accessLogs: readonly AccessLogConfig[];
  /** Undefined: a stream is logged once, at its end. */
  readonly accessLogMoments: AccessLogMoments | undefined;
  readonly serverName: string;
  readonly serverHeader: "overwrite" | "append-if-absent" | "pass-through";
  readonly schemeOverride: string | undefined;
  readonly maxRequestHeadersBytes: number;
  readonly maxHeadersCount: number;
  readonly http1: Http1Settings;
  readonly http2: Http2ProtocolSettings;
  readonly underscores: "allow" | "reject" | "drop";
  readonly timeouts: ConnectionManagerTimeouts;
  readonly maxRequestsPerConnection: number;
  /** A connection of HTTP/1 whose time is up waits for another request, and says with its answer that it ends. */
  readonly http1SafeMaxConnectionDuration: boolean;
  readonly forwarding: ForwardingConfig;
  readonly normalization: NormalizationConfig;
  readonly clientCertificate: ClientCertificateConfig;
  /** By type, lower case. */
  readonly upgrades: ReadonlyMap<string, UpgradeConfig>;
  readonly proxy100Continue: boolean;
  readonly localReplies: LocalReplyRules | undefined;
  /** Done before the route is chosen. */
  readonly earlyMutations: HeaderMutations | undefined;
}

/** When a stream is logged beside its end (`access_log_options`). */
export interface AccessLogMoments {
  readonly onNewRequest: boolean;
  readonly onTunnel: boolean;
  /** ms; 0: never. */
  readonly everyMs: number;
}

export interface UpgradeConfig {
  readonly isEnabled: boolean;
  /** In place of `http_filters`. */
  readonly filters: readonly ConfiguredFilter[] | undefined;
}

export interface Http1Settings {
  readonly allowAbsoluteUrl: boolean;
  readonly acceptHttp10: boolean;
  readonly defaultHostForHttp10: string;
  readonly enableTrailers: boolean;
  readonly allowChunkedLength: boolean;
  readonly allowCustomMethods: boolean;
  readonly keys: HeaderKeySettings;
}

/** ms; 0: none. */
export interface ConnectionManagerTimeouts {
  readonly connectionIdleMs: number;
  readonly maxConnectionDurationMs: number;
  readonly maxStreamDurationMs: number;
  readonly streamIdleMs: number;
  readonly requestMs: number;
  readonly requestHeadersMs: number;
  readonly delayedCloseMs: number;
  /** HTTP/2: between the first GOAWAY and the last. */
  readonly drainMs: number;
  /** Up to this share of `drainMs` is added, anew for each connection. */
  readonly drainJitter: number;
}

/** Who the client is and what the next hop is told of it (R-77 … R-85). */
export interface ForwardingConfig {
  readonly useRemoteAddress: boolean;
  readonly xffNumTrustedHops: number;
  readonly skipXffAppend: boolean;
  /** Asked in order, in place of `x-forwarded-for`. */
  readonly originalIpDetections: readonly OriginalIpDetection[];
  readonly appendXForwardedPort: boolean;
  readonly internalCidrs: readonly CidrRange[];
  readonly internalUnixSockets: boolean;
  readonly via: string;
  /** `add_user_agent`: `--service-cluster` is announced. */
  readonly addUserAgent: boolean;
  readonly generateRequestId: boolean;
  readonly preserveExternalRequestId: boolean;
  readonly alwaysSetRequestIdInResponse: boolean;
  readonly packTraceReason: boolean;
  readonly useRequestIdForTraceSampling: boolean;
}

export interface NormalizationConfig {
  readonly normalizePath: boolean;
  readonly mergeSlashes: boolean;
  readonly escapedSlashes: "keep" | "reject" | "redirect" | "forward";
  readonly stripPort: "none" | "matching" | "any";
  readonly stripTrailingHostDot: boolean;
}

export interface ClientCertificateConfig {
  readonly mode: "sanitize" | "forward-only" | "append-forward" | "sanitize-set" | "always-forward-only";
  readonly subject: boolean;
  readonly cert: boolean;
  readonly chain: boolean;
  readonly dns: boolean;
  readonly uri: boolean;
  readonly issuer: boolean;
}

export interface ConnectionManagerParsers {
  readonly filters: HttpFilterRegistry;
  readonly tracing: TracingFactory | undefined;
}

/** Reads the filter's configuration; all problems together. */
export function parseConnectionManager(
  message: Message,
  path: string,
  parsers: ConnectionManagerParsers,
): Parsed<ConnectionManagerConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as HttpConnectionManager, path, problems);
  const routes = parseRoutes(reader, parsers.filters);
  const filters = parseHttpFilters(reader.get("httpFilters"), reader.at("httpFilters"), parsers.filters, problems);
  const accessLogs = parseAccessLogs(reader.get("accessLog"), reader.at("accessLog"));
  problems.push(...accessLogs.problems);
  const common = parseCommonOptions(reader.child("commonHttpProtocolOptions"));
  const codecType = codecTypes[reader.get("codecType")];
  if (codecType === undefined) reader.unsupported("codecType", "HTTP/3 is not supported by this proxy");
  const maxRequestHeadersKb = reader.get("maxRequestHeadersKb") ?? 60;
  const http2 = parseHttp2ProtocolOptions(reader.child("http2ProtocolOptions"));
  const streamError = reader.get("streamErrorOnInvalidHttpMessage");
  const config: Omit<ConnectionManagerConfig, "routes"> = {
    codecType: codecType ?? "auto",
    statPrefix: reader.get("statPrefix"),
    filters,
    tracing: parseTracing(reader, parsers.tracing),
    accessLogs: accessLogs.value ?? [],
    accessLogMoments: parseAccessLogMoments(reader),
    serverName: reader.get("serverName") === "" ? "envoy" : reader.get("serverName"),
    serverHeader: serverHeaders[reader.get("serverHeaderTransformation")] ?? "overwrite",
    schemeOverride: parseScheme(reader.child("schemeHeaderTransformation")),
    maxRequestHeadersBytes: maxRequestHeadersKb * 1024,
    maxHeadersCount: common.maxHeadersCount,
    http1: parseHttp1(reader.child("httpProtocolOptions")),
    http2: { ...http2, streamErrorOnInvalidMessage: http2.streamErrorOnInvalidMessage ?? streamError },
    underscores: common.underscores,
    timeouts: {
      connectionIdleMs: common.idleMs,
      maxConnectionDurationMs: common.maxConnectionDurationMs,
      maxStreamDurationMs: common.maxStreamDurationMs,
      streamIdleMs: durationMs(reader.get("streamIdleTimeout")) ?? 300_000,
      requestMs: durationMs(reader.get("requestTimeout")) ?? 0,
      requestHeadersMs: durationMs(reader.get("requestHeadersTimeout")) ?? 0,
      delayedCloseMs: durationMs(reader.get("delayedCloseTimeout")) ?? 1000,
      drainMs: durationMs(reader.get("drainTimeout")) ?? 5000,
      drainJitter: (reader.get("drainTimeoutJitter")?.value ?? 0) / 100,
    },
    maxRequestsPerConnection: common.maxRequestsPerConnection,
    http1SafeMaxConnectionDuration: reader.get("http1SafeMaxConnectionDuration"),
    forwarding: parseForwarding(reader),
    normalization: parseNormalization(reader),
    clientCertificate: parseClientCertificate(reader),
    upgrades: parseUpgrades(reader.children("upgradeConfigs"), parsers.filters),
    proxy100Continue: reader.get("proxy100Continue"),
    earlyMutations: composeMutations(reader.children("earlyHeaderMutationExtensions").map(parseEarlyMutation)),
    localReplies: parseLocalReplyConfig(reader.child("localReplyConfig")),
  };
  reader.ignore(
    "representIpv4RemoteAddressAsIpv4MappedIpv6",
    "as in Envoy 1.40, whose x-forwarded-for and x-envoy-external-address keep the IPv4 form with it",
  );
  reader.ignore("appendLocalOverload", "there is no overload manager whose replies it would mark");
  if (streamError === true && config.codecType !== "http2")
    reader.unsupported(
      "streamErrorOnInvalidHttpMessage",
      "an invalid HTTP/1 message always ends its connection here; leave it out, or set it in http2_protocol_options",
    );
  reader.finish();
  if (problems.some((problem) => problem.level === "error") || routes === undefined) return { problems };
  return { value: { ...config, routes }, problems };
}

const codecTypes = ["auto", "http1", "http2", undefined] as const;
const serverHeaders = ["overwrite", "append-if-absent", "pass-through"] as const;

function parseRoutes(
  reader: MessageReader<HttpConnectionManager>,
  filters: HttpFilterRegistry,
): ConnectionManagerConfig["routes"] | undefined {
  const specifier = reader.get("routeSpecifier");
  switch (specifier.case) {
    case "routeConfig": {
      const parsed = parseRouteConfiguration(specifier.value, {
        filters: filters.all,
        path: reader.at("routeSpecifier"),
      });
      reader.problems.push(...parsed.problems);
      return parsed.value === undefined ? undefined : { kind: "inline", table: parsed.value };
    }
    case "rds": {
      const rds = new MessageReader(specifier.value, reader.at("routeSpecifier"), reader.problems);
      const name = rds.get("routeConfigName");
      const source = rds.get("configSource");
      if (
        source !== undefined &&
        source.configSourceSpecifier.case !== "ads" &&
        source.configSourceSpecifier.case !== "self"
      )
        rds.unsupported(
          "configSource",
          "routes come over ADS (config_source.ads); other sources are not supported by this proxy",
        );
      rds.finish();
      return { kind: "rds", name };
    }
    default:
      if (specifier.case === undefined) reader.invalid("routeSpecifier", "one of route_config and rds is required");
      else
        reader.unsupported(
          "routeSpecifier",
          "scoped routes are not supported by this proxy; use rds or route_config, with a virtual host for each scope",
        );
      return undefined;
  }
}

/** The fields of the connection manager itself are the older ones: they may not stand beside `access_log_options`. */
function parseAccessLogMoments(reader: MessageReader<HttpConnectionManager>): AccessLogMoments | undefined {
  const options = reader.child("accessLogOptions");
  const onNewRequest = reader.get("flushAccessLogOnNewRequest");
  const interval = reader.get("accessLogFlushInterval");
  if (options !== undefined && onNewRequest)
    reader.invalid(
      "flushAccessLogOnNewRequest",
      "Only one of flush_access_log_on_new_request or access_log_options can be specified.",
    );
  if (options !== undefined && interval !== undefined)
    reader.invalid(
      "accessLogFlushInterval",
      "Only one of access_log_flush_interval or access_log_options can be specified.",
    );
  const moments: AccessLogMoments = {
    onNewRequest: options?.get("flushAccessLogOnNewRequest") ?? onNewRequest,
    onTunnel: options?.get("flushLogOnTunnelSuccessfullyEstablished") ?? false,
    everyMs: durationMs(options?.get("accessLogFlushInterval") ?? interval) ?? 0,
  };
  options?.finish();
  return moments.onNewRequest || moments.onTunnel || moments.everyMs > 0 ? moments : undefined;
}

interface CommonOptions {
  readonly idleMs: number;
  readonly maxConnectionDurationMs: number;
  readonly maxStreamDurationMs: number;
  readonly maxHeadersCount: number;
  readonly underscores: "allow" | "reject" | "drop";
  readonly maxRequestsPerConnection: number;
}

const underscoreActions = ["allow", "reject", "drop"] as const;

function parseCommonOptions(reader: MessageReader<HttpProtocolOptions> | undefined): CommonOptions {
  const options: CommonOptions = {
    idleMs: durationMs(reader?.get("idleTimeout")) ?? 3_600_000,
    maxConnectionDurationMs: durationMs(reader?.get("maxConnectionDuration")) ?? 0,
    maxStreamDurationMs: durationMs(reader?.get("maxStreamDuration")) ?? 0,
    maxHeadersCount: reader?.get("maxHeadersCount") ?? 100,
    underscores: underscoreActions[reader?.get("headersWithUnderscoresAction") ?? 0] ?? "allow",
    maxRequestsPerConnection: reader?.get("maxRequestsPerConnection") ?? 0,
  };
  reader?.finish();
  return options;
}

function parseHttp1(reader: MessageReader<Http1ProtocolOptions> | undefined): Http1Settings {
  const settings: Http1Settings = {
    allowAbsoluteUrl: reader?.get("allowAbsoluteUrl") ?? true,
    acceptHttp10: reader?.get("acceptHttp10") ?? false,
    defaultHostForHttp10: reader?.get("defaultHostForHttp10") ?? "",
    enableTrailers: reader?.get("enableTrailers") ?? false,
    allowChunkedLength: reader?.get("allowChunkedLength") ?? false,
    allowCustomMethods: reader?.get("allowCustomMethods") ?? false,
    keys: parseHeaderKeyFormat(reader?.child("headerKeyFormat")),
  };
  if (reader?.get("overrideStreamErrorOnInvalidHttpMessage") === true)
    reader.unsupported("overrideStreamErrorOnInvalidHttpMessage", "an invalid message always ends its connection here");
  reader?.ignore("useBalsaParser", "names Envoy's parser; this proxy has its own");
  reader?.finish();
  return settings;
}

function parseScheme(reader: MessageReader<SchemeHeaderTransformation> | undefined): string | undefined {
  const transformation = reader?.get("transformation");
  reader?.finish();
  return transformation?.case === "schemeToOverwrite" ? transformation.value : undefined;
}

function parseForwarding(reader: MessageReader<HttpConnectionManager>): ForwardingConfig {
  const internal = reader.child("internalAddressConfig");
  const requestId = parseRequestId(reader.child("requestIdExtension"));
  const config: ForwardingConfig = {
    useRemoteAddress: reader.get("useRemoteAddress") ?? false,
    xffNumTrustedHops: reader.get("xffNumTrustedHops"),
    skipXffAppend: reader.get("skipXffAppend"),
    appendXForwardedPort: reader.get("appendXForwardedPort"),
    internalCidrs: internal === undefined ? [] : parseCidrRanges(internal.children("cidrRanges")),
    internalUnixSockets: internal?.get("unixSockets") ?? false,
    via: reader.get("via"),
    addUserAgent: reader.get("addUserAgent") ?? false,
    generateRequestId: reader.get("generateRequestId") ?? true,
    preserveExternalRequestId: reader.get("preserveExternalRequestId"),
    alwaysSetRequestIdInResponse: reader.get("alwaysSetRequestIdInResponse"),
    originalIpDetections: reader
      .children("originalIpDetectionExtensions")
      .map(parseOriginalIpDetection)
      .filter((one) => one !== undefined),
    ...requestId,
  };
  internal?.finish();
  if (config.originalIpDetections.length > 0 && (config.useRemoteAddress || config.xffNumTrustedHops > 0))
    reader.invalid(
      "originalIpDetectionExtensions",
      "Original IP detection extensions and use_remote_address or xff_num_trusted_hops may not be mixed",
    );
  return config;
}

function parseRequestId(
  reader: MessageReader<RequestIDExtension> | undefined,
): Pick<ForwardingConfig, "packTraceReason" | "useRequestIdForTraceSampling"> {
  const defaults = { packTraceReason: true, useRequestIdForTraceSampling: true };
  const any = reader?.get("typedConfig");
  reader?.finish();
  if (reader === undefined || any === undefined) return defaults;
  const opened = unpackAny(any, reader.at("typedConfig"));
  reader.problems.push(...opened.problems);
  if (opened.value === undefined) return defaults;
  if (opened.value.$typeName !== "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig") {
    reader.unsupported("typedConfig", `request ids by ${opened.value.$typeName} are not supported by this proxy`);
    return defaults;
  }
  const uuid = new MessageReader(opened.value as UuidRequestIdConfig, reader.at("typedConfig"), reader.problems);
  const parsed = {
    packTraceReason: uuid.get("packTraceReason") ?? true,
    useRequestIdForTraceSampling: uuid.get("useRequestIdForTraceSampling") ?? true,
  };
  uuid.finish();
  return parsed;
}

const earlyMutationType = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation";

function parseEarlyMutation(reader: MessageReader<TypedExtensionConfig>): HeaderMutations | undefined {
  const any = reader.get("typedConfig");
  const at = reader.at("typedConfig");
  reader.ignore("name", "a label; the type decides");
  reader.finish();
  const opened = any === undefined ? undefined : unpackAny(any, at);
  if (opened?.value === undefined || opened.value.$typeName !== earlyMutationType) {
    if (opened !== undefined && opened.value === undefined) reader.problems.push(...opened.problems);
    else reader.unsupported("typedConfig", `only ${earlyMutationType} is supported by this proxy`);
    return undefined;
  }
  const inner = new MessageReader(opened.value as EarlyHeaderMutation, at, reader.problems);
  const mutations = parseMutationList(inner.children("mutations"));
  inner.finish();
  return mutations;
}

const escapedSlashActions = ["keep", "keep", "reject", "redirect", "forward"] as const;

function parseNormalization(reader: MessageReader<HttpConnectionManager>): NormalizationConfig {
  const stripPort = reader.get("stripPortMode");
  const stripsAny = stripPort.case === "stripAnyHostPort" && stripPort.value;
  return {
    normalizePath: reader.get("normalizePath") ?? false,
    mergeSlashes: reader.get("mergeSlashes"),
    escapedSlashes: escapedSlashActions[reader.get("pathWithEscapedSlashesAction")] ?? "keep",
    stripPort: stripsAny ? "any" : reader.get("stripMatchingHostPort") ? "matching" : "none",
    stripTrailingHostDot: reader.get("stripTrailingHostDot"),
  };
}

const clientCertificateModes = [
  "sanitize",
  "forward-only",
  "append-forward",
  "sanitize-set",
  "always-forward-only",
] as const;

function parseClientCertificate(reader: MessageReader<HttpConnectionManager>): ClientCertificateConfig {
  const details = reader.child("setCurrentClientCertDetails");
  const config: ClientCertificateConfig = {
    mode: clientCertificateModes[reader.get("forwardClientCertDetails")] ?? "sanitize",
    subject: details?.get("subject") ?? false,
    cert: details?.get("cert") ?? false,
    chain: details?.get("chain") ?? false,
    dns: details?.get("dns") ?? false,
    uri: details?.get("uri") ?? false,
    issuer: details?.get("issuer") ?? false,
  };
  if (config.chain) details?.unsupported("chain", "the chain of a peer is not forwarded by this proxy; `cert` is");
  details?.finish();
  return config;
}

function parseUpgrades(
  readers: readonly MessageReader<HttpConnectionManager_UpgradeConfig>[],
  registry: HttpFilterRegistry,
): ReadonlyMap<string, UpgradeConfig> {
  const upgrades = new Map<string, UpgradeConfig>();
  for (const reader of readers) {
    const given = reader.get("upgradeType");
    const type = given.toLowerCase();
    const messages = reader.get("filters");
    const filters =
      messages.length === 0 ? undefined : parseHttpFilters(messages, reader.at("filters"), registry, reader.problems);
    if (type === "connect-udp") reader.unsupported("upgradeType", `upgrade_type ${given}: UDP is not supported`);
    if (upgrades.has(type))
      reader.invalid("upgradeType", `Error: multiple upgrade configs with the same name: '${given}'`);
    upgrades.set(type, { isEnabled: reader.get("enabled") ?? true, filters });
    reader.finish();
  }
  return upgrades;
}
