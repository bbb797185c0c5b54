/** `envoy.extensions.filters.http.compressor.v3.Compressor` and its per-route configuration, read once. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type {
  Compressor,
  Compressor_CommonDirectionConfig,
  CompressorPerRoute,
} from "#protos/gen/envoy/extensions/filters/http/compressor/v3/compressor_pb.js";
import { runtimeFlagOf, type RuntimeFlag } from "../../../config-values.ts";
import { RegexCache } from "../../../router/regex.ts";
import { parseStringMatcher, type StringMatcher } from "../../../router/string-matcher.ts";
import { parseCompressionLibrary, type CompressionLibrary } from "./libraries.ts";

export interface CompressorConfig {
  readonly library: CompressionLibrary;
  /** Undefined: requests pass as they are. */
  readonly request: DirectionConfig | undefined;
  readonly response: ResponseConfig;
  /** Where the client likes several alike, the filter that comes first in the chain, not in its list. */
  readonly choosesFirst: boolean;
}

export interface DirectionConfig {
  readonly enabled: RuntimeFlag;
  readonly minContentLength: number;
  readonly contentTypes: ReadonlySet<string>;
  readonly contentTypeMatchers: readonly StringMatcher[];
}

export interface ResponseConfig extends DirectionConfig {
  /** Its statistics have names of their own. */
  readonly isConfigured: boolean;
  readonly disableOnEtag: boolean;
  readonly removeAcceptEncoding: boolean;
  readonly weakenEtag: boolean;
  readonly uncompressibleCodes: ReadonlySet<number>;
}

export interface RouteCompressorConfig {
  readonly isDisabled: boolean;
  readonly removeAcceptEncoding: boolean | undefined;
}

const DEFAULT_MIN_LENGTH = 30;
const DEFAULT_TYPES = [
  "application/javascript",
  "application/json",
  "application/xhtml+xml",
  "image/svg+xml",
  "text/css",
  "text/html",
  "text/plain",
  "text/xml",
];

export function parseCompressor(message: Message, path: string): Parsed<CompressorConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as Compressor, path, problems);
  const libraryReader = reader.child("compressorLibrary");
  const library = libraryReader && parseCompressionLibrary(libraryReader);
  if (libraryReader === undefined) reader.invalid("compressorLibrary", "is required");
  const requestReader = reader.child("requestDirectionConfig");
  const request = requestReader && parseDirection(requestReader.child("commonConfig"));
  requestReader?.finish();
  const value = { request, response: parseResponse(reader), choosesFirst: reader.get("chooseFirst") };
  reader.finish();
  return problems.length > 0 || library === undefined ? { problems } : { value: { ...value, library }, problems };
}

/** `status_header_enabled` is refused by name. */
function parseResponse(reader: MessageReader<Compressor>): ResponseConfig {
  const response = reader.child("responseDirectionConfig");
  // The fields beside it are older: they count where it is absent.
  const old: DirectionConfig = {
    enabled: runtimeFlagOf(reader.child("runtimeEnabled")),
    minContentLength: reader.get("contentLength") ?? DEFAULT_MIN_LENGTH,
    contentTypes: typesOf(reader.get("contentType")),
    contentTypeMatchers: [],
  };
  const disableOnEtag = reader.get("disableOnEtagHeader");
  const removeAcceptEncoding = reader.get("removeAcceptEncodingHeader");
  if (response === undefined)
    return {
      ...old,
      isConfigured: false,
      disableOnEtag,
      removeAcceptEncoding,
      weakenEtag: false,
      uncompressibleCodes: new Set(),
    };
  const config: ResponseConfig = {
    ...parseDirection(response.child("commonConfig")),
    isConfigured: true,
    disableOnEtag: response.get("disableOnEtagHeader"),
    removeAcceptEncoding: response.get("removeAcceptEncodingHeader"),
    weakenEtag: response.get("weakenEtagOnCompress"),
    uncompressibleCodes: new Set(response.get("uncompressibleResponseCodes")),
  };
  response.finish();
  return config;
}

function parseDirection(reader: MessageReader<Compressor_CommonDirectionConfig> | undefined): DirectionConfig {
  const regexes = new RegexCache();
  const config: DirectionConfig = {
    enabled: runtimeFlagOf(reader?.child("enabled")),
    minContentLength: reader?.get("minContentLength") ?? DEFAULT_MIN_LENGTH,
    contentTypes: typesOf(reader?.get("contentType") ?? []),
    contentTypeMatchers: (reader?.children("contentTypeMatcher") ?? [])
      .map((matcher) => parseStringMatcher(matcher, regexes))
      .filter((matcher) => matcher !== undefined),
  };
  reader?.finish();
  return config;
}

function typesOf(types: readonly string[]): ReadonlySet<string> {
  return new Set(types.length === 0 ? DEFAULT_TYPES : types);
}

/** A library of a route's own is refused by name. */
export function parseRouteCompressor(message: Message, path: string): Parsed<RouteCompressorConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as CompressorPerRoute, path, problems);
  const override = reader.get("override");
  reader.finish();
  let removeAcceptEncoding: boolean | undefined;
  if (override.case === undefined) reader.invalid("override", "one of disabled and overrides is required");
  if (override.case === "overrides") {
    const overrides = reader.oneof("override", override.value);
    const response = overrides.child("responseDirectionConfig");
    removeAcceptEncoding = response?.get("removeAcceptEncodingHeader");
    response?.finish();
    overrides.finish();
  }
  const value = { isDisabled: override.case === "disabled", removeAcceptEncoding };
  return problems.length > 0 ? { problems } : { value, problems };
}
