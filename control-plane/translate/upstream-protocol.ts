/** Which HTTP version a cluster speaks upstream: HttpProtocolOptions (rules 51, 52). */
import type { MeshConfig } from "../model/mesh-config.ts";
import type { Protocol } from "../model/service.ts";
import { commonHttpOptions, upgradesToHttp2 } from "./connection-pool.ts";
import { any, compact, type JsonObject } from "./json.ts";
import { isHttp2 } from "./protocols.ts";
import type { ConnectionPool } from "./spec/destination-rule.ts";

const EXTENSION = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

export interface UpstreamProtocol {
  /** HTTP/2 whatever the client speaks: `h2` is offered in ALPN. */
  readonly isHttp2: boolean;
  /** `typed_extension_protocol_options`; undefined: HTTP/1.1 with Envoy's defaults. */
  readonly options: JsonObject | undefined;
}

export interface UpstreamProtocolInput {
  readonly protocol: Protocol;
  readonly pool: ConnectionPool | undefined;
  readonly meshConfig: MeshConfig;
  /** `useClientProtocol` and upgrades do not concern the server's own side. */
  readonly isInbound: boolean;
  /** A gateway speaks HTTP/1.1 to a port of unknown protocol (rule 52). */
  readonly isGateway?: boolean;
  readonly upstreamHttpOptions?: JsonObject | undefined;
}

export function upstreamProtocol(input: UpstreamProtocolInput): UpstreamProtocol {
  const { protocol, pool, meshConfig, isInbound } = input;
  const http2 = isHttp2(protocol) || (!isInbound && upgradesToHttp2(pool, protocol, meshConfig));
  const followsClient = (protocol === "auto" && input.isGateway !== true) || pool?.http?.useClientProtocol === true;
  const common = commonHttpOptions(pool);
  if (!http2 && !followsClient && common === undefined && input.upstreamHttpOptions === undefined) {
    return { isHttp2: false, options: undefined };
  }
  const streams = pool?.http?.maxConcurrentStreams ?? 0;
  const version: JsonObject = followsClient
    ? { useDownstreamProtocolConfig: { httpProtocolOptions: {}, http2ProtocolOptions: {} } }
    : http2
      ? { explicitHttpConfig: { http2ProtocolOptions: streams > 0 ? { maxConcurrentStreams: streams } : {} } }
      : { explicitHttpConfig: { httpProtocolOptions: {} } };
  return {
    isHttp2: http2 && !followsClient,
    options: httpProtocolOptions({
      commonHttpProtocolOptions: common,
      upstreamHttpProtocolOptions: input.upstreamHttpOptions,
      ...version,
    }),
  };
}

/** What passes through is spoken as the client spoke it. */
export function passthroughProtocol(): JsonObject {
  return httpProtocolOptions({
    commonHttpProtocolOptions: { idleTimeout: "300s" },
    useDownstreamProtocolConfig: { httpProtocolOptions: {}, http2ProtocolOptions: {} },
  });
}

function httpProtocolOptions(fields: JsonObject): JsonObject {
  return { [EXTENSION]: any(EXTENSION, compact(fields)) };
}
