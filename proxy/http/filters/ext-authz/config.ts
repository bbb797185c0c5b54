/** `ExtAuthz` and its per-route configuration, read and checked. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { byteString } from "#lib/xxhash64.ts";
import type {
  AuthorizationResponse,
  BufferSettings,
  CheckSettings,
  ExtAuthz,
  ExtAuthzPerRoute,
  HttpService,
} from "#protos/gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js";
import type { ListStringMatcher } from "#protos/gen/envoy/type/matcher/v3/string_pb.js";
import { MessageReader } from "#protos/reader.ts";
import {
  durationMs,
  runtimeFractionOf,
  runtimeFlagOf,
  type RuntimeFlag,
  type RuntimeFraction,
} from "../../../config-values.ts";
import type { HttpAuthorizerConfig, NameTest } from "../../../ext-authz/http-authorizer.ts";
import { type MetadataPredicate, parseMetadataMatcher } from "../../../router/metadata-matcher.ts";
import { RegexCache } from "../../../router/regex.ts";
import { parseStringMatcher } from "../../../router/string-matcher.ts";
import { type GrpcTarget, parseGrpcTarget } from "../../grpc-call.ts";
import { isFieldName, isSafeFieldValue } from "../../field-value.ts";

export type ServiceConfig =
  | { readonly kind: "grpc"; readonly target: GrpcTarget }
  | { readonly kind: "http"; readonly http: HttpAuthorizerConfig };

export interface BodyConfig {
  readonly maxBytes: number;
  readonly allowsPartial: boolean;
  readonly isBytes: boolean;
}

export interface ExtAuthzConfig {
  /** Undefined: nobody is asked, and everything passes. */
  readonly service: ServiceConfig | undefined;
  readonly failureModeAllow: boolean;
  readonly addsFailureHeader: boolean;
  readonly body: BodyConfig | undefined;
  readonly clearsRouteCache: boolean;
  readonly statusOnError: number;
  readonly validatesMutations: boolean;
  readonly metadataNamespaces: readonly string[];
  readonly routeMetadataNamespaces: readonly string[];
  readonly enabledFraction: RuntimeFraction | undefined;
  readonly enabledMetadata: MetadataPredicate | undefined;
  readonly deniesWhenDisabled: RuntimeFlag;
  readonly hasPeerCertificate: boolean;
  readonly hasTlsSession: boolean;
  readonly statPrefix: string;
  readonly labelsKey: string;
  /** Which headers of the request the service is told. */
  readonly tells: NameTest;
  readonly chargesCluster: boolean;
  readonly sendsRawHeaders: boolean;
  readonly takesMetadata: boolean;
  /** 0: as long as it is. */
  readonly maxDeniedBodyBytes: number;
}

export type ExtAuthzRouteConfig =
  | { readonly kind: "disabled" }
  | {
      readonly kind: "settings";
      readonly contextExtensions: Readonly<Record<string, string>>;
      /** Undefined: as the filter has it; null: none. */
      readonly body: BodyConfig | null | undefined;
      readonly service: ServiceConfig | undefined;
    };

const DEFAULT_GRPC_TIMEOUT_MS = 200;
const DEFAULT_HTTP_TIMEOUT_MS = 200;

export function parseExtAuthz(message: Message, path: string): Parsed<ExtAuthzConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as ExtAuthz, path, problems);
  const service = parseService(reader);
  const body = reader.child("withRequestBody");
  const status = reader.child("statusOnError");
  const enabled = reader.child("filterEnabled");
  const metadata = reader.child("filterEnabledMetadata");
  const atDisable = reader.child("denyAtDisable");
  reader.ignore("transportApiVersion", "only version 3 is spoken");
  reader.ignore("emitClientSpan", "the calls have no spans of their own here");
  if (reader.message.shadowMode) reader.unsupported("shadowMode");
  const value: ExtAuthzConfig = {
    service,
    failureModeAllow: reader.get("failureModeAllow"),
    addsFailureHeader: reader.get("failureModeAllowHeaderAdd"),
    body: body && parseBody(body),
    clearsRouteCache: reader.get("clearRouteCache"),
    statusOnError: status?.get("code") || 403,
    validatesMutations: reader.get("validateMutations"),
    metadataNamespaces: reader.get("metadataContextNamespaces"),
    routeMetadataNamespaces: reader.get("routeMetadataContextNamespaces"),
    enabledFraction: enabled && runtimeFractionOf(enabled),
    enabledMetadata: metadata && parseMetadataMatcher(metadata, new RegexCache()),
    deniesWhenDisabled: runtimeFlagOf(atDisable, false),
    hasPeerCertificate: reader.get("includePeerCertificate"),
    hasTlsSession: reader.get("includeTlsSession"),
    statPrefix: reader.get("statPrefix"),
    labelsKey: reader.get("bootstrapMetadataLabelsKey"),
    tells: parseTold(reader, service?.kind === "http"),
    chargesCluster: reader.get("chargeClusterResponseStats") ?? true,
    sendsRawHeaders: reader.get("encodeRawHeaders"),
    takesMetadata: reader.get("enableDynamicMetadataIngestion") ?? true,
    maxDeniedBodyBytes: reader.get("maxDeniedResponseBodyBytes"),
  };
  status?.finish();
  reader.finish();
  return problems.length > 0 ? { problems } : { value, problems };
}

function parseService(reader: MessageReader<ExtAuthz>): ServiceConfig | undefined {
  const services = reader.get("services");
  if (services.case === "grpcService") {
    const target = parseGrpcTarget(reader.oneof("services", services.value), DEFAULT_GRPC_TIMEOUT_MS);
    return target && { kind: "grpc", target };
  }
  if (services.case !== "httpService") return undefined;
  return { kind: "http", http: parseHttpService(reader.oneof("services", services.value)) };
}

function parseHttpService(reader: MessageReader<HttpService>): HttpAuthorizerConfig {
  const uri = reader.child("serverUri");
  const request = reader.child("authorizationRequest");
  const response = reader.child("authorizationResponse");
  const upstream = uri?.get("httpUpstreamType");
  if (uri === undefined || upstream?.case !== "cluster") reader.invalid("serverUri", "must be set and name a cluster");
  uri?.ignore("uri", "the cluster says where the service is");
  const addedHeaders = (request?.children("headersToAdd") ?? []).map((header): [string, string] => {
    const pair: [string, string] = [header.get("key").toLowerCase(), byteString(header.get("value"))];
    if (pair[1].includes("%")) header.unsupported("value", "no substitution takes place in added headers here");
    if (!isFieldName(pair[0]) || !isSafeFieldValue(pair[1])) header.invalid("key", "is no header that can be sent");
    header.finish();
    return pair;
  });
  const timeoutMs = durationMs(uri?.get("timeout")) ?? DEFAULT_HTTP_TIMEOUT_MS;
  const config: HttpAuthorizerConfig = {
    clusterName: upstream?.case === "cluster" ? upstream.value : "",
    timeoutMs,
    pathPrefix: byteString(reader.get("pathPrefix")),
    pathOverride: byteString(reader.get("pathOverride")),
    addedHeaders,
    ...parseResponse(response),
  };
  if (request?.message.allowedHeaders !== undefined)
    request.unsupported("allowedHeaders", "is deprecated; write allowed_headers of the filter");
  uri?.finish();
  request?.finish();
  reader.finish();
  return config;
}

type ResponseTests = Pick<
  HttpAuthorizerConfig,
  "upstream" | "upstreamToAppend" | "client" | "clientOnSuccess" | "metadata"
>;

/** Of a denial these always come through. */
const CLIENT_HEADERS = new Set(["content-length", "www-authenticate", "location", "proxy-authenticate"]);

function parseResponse(reader: MessageReader<AuthorizationResponse> | undefined): ResponseTests {
  const list = (field: keyof ResponseFields): NameTest | undefined => {
    const matchers = reader?.child(field);
    return matchers === undefined ? undefined : parseNames(matchers);
  };
  const client = list("allowedClientHeaders");
  const tests: ResponseTests = {
    upstream: list("allowedUpstreamHeaders"),
    upstreamToAppend: list("allowedUpstreamHeadersToAppend"),
    client: client && ((name) => CLIENT_HEADERS.has(name) || client(name)),
    clientOnSuccess: list("allowedClientHeadersOnSuccess"),
    metadata: list("dynamicMetadataFromHeaders"),
  };
  reader?.finish();
  return tests;
}

type ResponseFields = Pick<
  AuthorizationResponse,
  | "allowedUpstreamHeaders"
  | "allowedUpstreamHeadersToAppend"
  | "allowedClientHeaders"
  | "allowedClientHeadersOnSuccess"
  | "dynamicMetadataFromHeaders"
>;

function parseNames(reader: MessageReader<ListStringMatcher>): NameTest | undefined {
  const regexes = new RegexCache();
  const tests = reader.children("patterns").map((one) => parseStringMatcher(one, regexes));
  reader.finish();
  return tests.length === 0 ? undefined : (name) => tests.some((test) => test?.(name) === true);
}

/** A service over HTTP is told no more than these without being asked to. */
const TOLD_OVER_HTTP = new Set([":method", ":path", ":authority", "authorization"]);

function parseTold(reader: MessageReader<ExtAuthz>, isHttp: boolean): NameTest {
  const allowed = reader.child("allowedHeaders");
  const disallowed = reader.child("disallowedHeaders");
  const allows = allowed && parseNames(allowed);
  const forbids = disallowed && parseNames(disallowed);
  return (name) => {
    if (forbids?.(name) === true) return false;
    if (isHttp) return TOLD_OVER_HTTP.has(name) || allows?.(name) === true;
    return allows === undefined || allows(name);
  };
}

function parseBody(reader: MessageReader<BufferSettings>): BodyConfig {
  const body = {
    maxBytes: reader.get("maxRequestBytes"),
    allowsPartial: reader.get("allowPartialMessage"),
    isBytes: reader.get("packAsBytes"),
  };
  reader.finish();
  return body;
}

export function parseExtAuthzRoute(message: Message, path: string): Parsed<ExtAuthzRouteConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as ExtAuthzPerRoute, path, problems);
  const override = reader.get("override");
  if (override.case === undefined) reader.invalid("override", "one of disabled and check_settings is required");
  const settings = override.case === "checkSettings" ? reader.oneof("override", override.value) : undefined;
  const isDisabled = override.case === "disabled" && override.value;
  reader.finish();
  const value: ExtAuthzRouteConfig =
    isDisabled || settings === undefined ? { kind: "disabled" } : parseSettings(settings);
  return problems.length > 0 ? { problems } : { value, problems };
}

function parseSettings(reader: MessageReader<CheckSettings>): ExtAuthzRouteConfig {
  const body = reader.child("withRequestBody");
  const isOff = reader.get("disableRequestBodyBuffering");
  reader.ignore("emitClientSpan", "the calls have no spans of their own here");
  const grpc = reader.child("grpcService");
  const http = reader.child("httpService");
  const target = grpc && parseGrpcTarget(grpc, DEFAULT_GRPC_TIMEOUT_MS);
  const own: ServiceConfig | undefined =
    target !== undefined
      ? { kind: "grpc", target }
      : http !== undefined
        ? { kind: "http", http: parseHttpService(http) }
        : undefined;
  const value: ExtAuthzRouteConfig = {
    kind: "settings",
    contextExtensions: reader.get("contextExtensions"),
    body: isOff ? null : body && parseBody(body),
    service: own,
  };
  if (isOff && body !== undefined)
    reader.invalid("withRequestBody", "and disable_request_body_buffering exclude each other");
  reader.finish();
  return value;
}
