/** `HttpProtocolOptions` of a cluster (and its deprecated fields) → how HTTP is spoken upstream. */
import { MessageReader } from "#protos/reader.ts";
import { unpackAny } from "#protos/any.ts";
import type { Cluster } from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import type {
  Http1ProtocolOptions,
  HttpProtocolOptions as CommonHttpProtocolOptions,
  UpstreamHttpProtocolOptions,
} from "#protos/gen/envoy/config/core/v3/protocol_pb.js";
import type { HttpProtocolOptions } from "#protos/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js";
import { durationMs } from "../../config-values.ts";
import { defaultHttp2ProtocolSettings, parseHttp2ProtocolOptions } from "../../http/http2/protocol-options.ts";
import { parseErrorMatcher } from "./parse-error-matcher.ts";
import { parseHeaderKeyFormat } from "../../http/http1/header-key-format.ts";
import type { Http1Config, HttpConfig } from "./cluster-config.ts";

const optionsType = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const http1Defaults: Http1Config = { enableTrailers: false, allowChunkedLength: false };
const defaults: HttpConfig = {
  protocol: "http1",
  idleTimeoutMs: 3_600_000,
  maxConnectionDurationMs: 0,
  maxRequestsPerConnection: 0,
  maxStreamDurationMs: undefined,
  maxResponseHeadersKb: undefined,
  maxResponseHeadersCount: 100,
  maxConnectionDurationJitter: 0,
  autoSniHeader: "",
  isErrorResponse: undefined,
  autoSni: false,
  autoSanValidation: false,
  http1: http1Defaults,
  http2: defaultHttp2ProtocolSettings,
};

/** Reads how HTTP is spoken; problems are on the reader's list. */
export function parseHttpOptions(reader: MessageReader<Cluster>): HttpConfig {
  const extensions = reader.get("typedExtensionProtocolOptions");
  const deprecated = parseDeprecated(reader);
  const at = reader.at("typedExtensionProtocolOptions");
  let config: HttpConfig | undefined;
  for (const [name, any] of Object.entries(extensions)) {
    const path = `${at}["${name}"]`;
    const opened = unpackAny(any, path);
    reader.problems.push(...opened.problems);
    if (opened.value === undefined) continue;
    if (opened.value.$typeName !== optionsType) {
      const message = `protocol options of type ${opened.value.$typeName} are not supported; ${optionsType} is`;
      reader.problems.push({ code: "unsupported-field", level: "error", path, message });
      continue;
    }
    config = parseOptions(new MessageReader(opened.value as HttpProtocolOptions, path, reader.problems));
  }
  return config ?? deprecated;
}

function parseOptions(reader: MessageReader<HttpProtocolOptions>): HttpConfig {
  const common = parseCommon(reader.child("commonHttpProtocolOptions"));
  const upstream = parseUpstream(reader.child("upstreamHttpProtocolOptions"));
  const outlier = reader.child("outlierDetection");
  const matcher = outlier?.child("errorMatcher");
  const isErrorResponse = matcher === undefined ? undefined : parseErrorMatcher(matcher);
  outlier?.finish();
  const protocol = reader.get("upstreamProtocolOptions");
  const at = reader.at("upstreamProtocolOptions");
  for (const filter of reader.children("httpFilters")) {
    // The codec is what there is anyway; any other upstream filter is not.
    if (filter.get("name") !== "envoy.filters.http.upstream_codec") reader.unsupported("httpFilters");
  }
  reader.finish();
  const base: HttpConfig = { ...defaults, ...common, ...upstream, isErrorResponse };
  switch (protocol.case) {
    case "explicitHttpConfig": {
      const explicit = new MessageReader(protocol.value, at, reader.problems);
      const choice = explicit.get("protocolConfig");
      const choiceAt = explicit.at("protocolConfig");
      if (choice.case === "http2ProtocolOptions") {
        explicit.finish();
        return {
          ...base,
          protocol: "http2",
          http2: parseHttp2ProtocolOptions(new MessageReader(choice.value, choiceAt, reader.problems)),
        };
      }
      if (choice.case === "http3ProtocolOptions") explicit.unsupported("protocolConfig", "HTTP/3 is not supported");
      explicit.finish();
      return choice.case === "httpProtocolOptions"
        ? { ...base, protocol: "http1", http1: parseHttp1(new MessageReader(choice.value, choiceAt, reader.problems)) }
        : base;
    }
    case "useDownstreamProtocolConfig":
    case "autoConfig": {
      const both = new MessageReader(protocol.value, at, reader.problems) as MessageReader<
        Extract<HttpProtocolOptions["upstreamProtocolOptions"], { case: "autoConfig" }>["value"]
      >;
      const http1 = both.child("httpProtocolOptions");
      const http2 = both.child("http2ProtocolOptions");
      both.finish();
      return {
        ...base,
        protocol: protocol.case === "autoConfig" ? "auto" : "downstream",
        http1: http1 === undefined ? http1Defaults : parseHttp1(http1),
        http2: parseHttp2ProtocolOptions(http2),
      };
    }
    case undefined:
      reader.invalid(
        "upstreamProtocolOptions",
        "one of explicit_http_config, use_downstream_protocol_config or auto_config must be set",
      );
      return base;
  }
}

/** Fields of the cluster itself, from before there were typed options. */
function parseDeprecated(reader: MessageReader<Cluster>): HttpConfig {
  const common = parseCommon(reader.child("commonHttpProtocolOptions"));
  const upstream = parseUpstream(reader.child("upstreamHttpProtocolOptions"));
  const http1 = reader.child("httpProtocolOptions");
  const http2 = reader.child("http2ProtocolOptions");
  const maxRequests = reader.get("maxRequestsPerConnection");
  const isDownstream = reader.get("protocolSelection") === 1;
  return {
    ...defaults,
    ...common,
    ...upstream,
    ...(maxRequests === undefined ? {} : { maxRequestsPerConnection: maxRequests }),
    protocol: isDownstream ? "downstream" : http2 === undefined ? "http1" : "http2",
    http1: http1 === undefined ? http1Defaults : parseHttp1(http1),
    http2: parseHttp2ProtocolOptions(http2),
  };
}

function parseCommon(reader: MessageReader<CommonHttpProtocolOptions> | undefined): Partial<HttpConfig> {
  if (reader === undefined) return {};
  const idleTimeoutMs = durationMs(reader.get("idleTimeout"));
  const maxConnectionDurationMs = durationMs(reader.get("maxConnectionDuration"));
  const maxRequestsPerConnection = reader.get("maxRequestsPerConnection");
  const maxResponseHeadersKb = reader.get("maxResponseHeadersKb");
  const maxResponseHeadersCount = reader.get("maxHeadersCount");
  const maxStreamDurationMs = durationMs(reader.get("maxStreamDuration"));
  const jitter = reader.get("maxConnectionDurationJitter")?.value;
  reader.ignore("headersWithUnderscoresAction", "concerns requests that come in");
  reader.finish();
  return {
    ...(jitter === undefined ? {} : { maxConnectionDurationJitter: jitter }),
    ...(idleTimeoutMs === undefined ? {} : { idleTimeoutMs }),
    ...(maxConnectionDurationMs === undefined ? {} : { maxConnectionDurationMs }),
    ...(maxRequestsPerConnection === undefined ? {} : { maxRequestsPerConnection }),
    ...(maxResponseHeadersKb === undefined ? {} : { maxResponseHeadersKb }),
    ...(maxResponseHeadersCount === undefined ? {} : { maxResponseHeadersCount }),
    ...(maxStreamDurationMs === undefined ? {} : { maxStreamDurationMs }),
  };
}

function parseUpstream(reader: MessageReader<UpstreamHttpProtocolOptions> | undefined): Partial<HttpConfig> {
  if (reader === undefined) return {};
  const parsed = {
    autoSni: reader.get("autoSni"),
    autoSniHeader: reader.get("overrideAutoSniHeader").toLowerCase(),
    autoSanValidation: reader.get("autoSanValidation"),
  };
  reader.finish();
  return parsed;
}

function parseHttp1(reader: MessageReader<Http1ProtocolOptions>): Http1Config {
  const parsed = {
    enableTrailers: reader.get("enableTrailers"),
    allowChunkedLength: reader.get("allowChunkedLength"),
    keys: parseHeaderKeyFormat(reader.child("headerKeyFormat")),
  };
  reader.ignore("allowAbsoluteUrl", "concerns requests that come in");
  reader.ignore("useBalsaParser", "names a parser of Envoy's");
  reader.finish();
  return parsed;
}
