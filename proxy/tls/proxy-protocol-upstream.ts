/** `envoy.transport_sockets.upstream_proxy_protocol`: says whose connection it is before the first byte, of TLS too. */
import type { Connection } from "#lib/connection.ts";
import { encodeProxyV1, encodeProxyV2, encodeProxyV2Local } from "#lib/proxy-protocol.ts";
import type { MessageReader } from "#protos/reader.ts";
import type { ProxyProtocolConfig } from "#protos/gen/envoy/config/core/v3/proxy_protocol_pb.js";
import type { StatsScope } from "../observability/stats.ts";
import { parsePassThroughTlvs, type PassThroughTlvs } from "./proxy-protocol-config.ts";
import type { ProxiedConnection, UpstreamTarget, UpstreamTransport } from "./types.ts";

export interface UpstreamProxyProtocol {
  readonly version: 1 | 2;
  readonly passThrough: PassThroughTlvs;
}

/** Absent: version 1, as the message's default. */
export function parseUpstreamProxyProtocol(
  reader: MessageReader<ProxyProtocolConfig> | undefined,
): UpstreamProxyProtocol {
  if (reader === undefined) return { version: 1, passThrough: { matches: () => false } };
  const config: UpstreamProxyProtocol = {
    version: reader.get("version") === 0 ? 1 : 2,
    passThrough: parsePassThroughTlvs(reader.child("passThroughTlvs")),
  };
  reader.finish();
  return config;
}

/** Wraps a transport: the header goes before what that one sends. */
export function upstreamProxyProtocol(
  config: UpstreamProxyProtocol,
  inner: UpstreamTransport,
  scope: StatsScope,
): UpstreamTransport {
  const tooLong = scope.scope("upstream.proxyprotocol").counter("v2_tlvs_exceed_max_length");
  const header = (raw: Connection, proxied: ProxiedConnection | undefined): Buffer => {
    if (config.version === 1)
      return encodeProxyV1(proxied?.source ?? raw.localAddress, proxied?.destination ?? raw.remoteAddress);
    if (proxied === undefined) return encodeProxyV2Local();
    const { source, destination } = proxied;
    const tlvs = proxied.tlvs.filter(({ type }) => config.passThrough.matches(type));
    const encoded = encodeProxyV2(source, destination, tlvs);
    if (encoded !== undefined) return encoded;
    tooLong.inc();
    // Without the TLVs it fits; addresses of two families have no header at all.
    return encodeProxyV2(source, destination, []) ?? encodeProxyV2Local();
  };
  return {
    isSecure: inner.isSecure,
    isUnverified: inner.isUnverified,
    wantsDownstream: true,
    get isReady() {
      return inner.isReady;
    },
    onReady: (callback) => inner.onReady(callback),
    connect(target, handler) {
      const { prelude } = target;
      const own: UpstreamTarget = {
        ...target,
        prelude: (raw) => {
          prelude?.(raw);
          raw.write(header(raw, target.downstream?.proxied));
        },
      };
      return inner.connect(own, handler);
    },
    close: () => inner.close(),
  };
}
