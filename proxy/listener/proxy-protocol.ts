/** `envoy.filters.listener.proxy_protocol`: takes the PROXY header off and believes it. */
import { formatAddress } from "#lib/connection.ts";
import { parseProxyHeader, type ProxyHeader } from "#lib/proxy-protocol.ts";
import type { MessageReader } from "#protos/reader.ts";
import type { ProxyProtocol } from "#protos/gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.js";
import type { Counter, StatsScope } from "../observability/stats.ts";
import { parsePassThroughTlvs, type PassThroughTlvs } from "../tls/proxy-protocol-config.ts";
import { PROXY_PROTOCOL_STATE, type ProxiedConnection } from "../tls/types.ts";
import type { AcceptedFacts, Inspection, ListenerFilter } from "./listener-filters.ts";

export interface ProxyProtocolFilterConfig {
  readonly allowsRequestsWithout: boolean;
  readonly disallowed: ReadonlySet<1 | 2>;
  readonly rules: readonly TlvRule[];
  /** Those that an upstream PROXY header may repeat. */
  readonly passThrough: PassThroughTlvs;
  readonly statPrefix: string;
}

interface TlvRule {
  readonly type: number;
  readonly namespace: string;
  readonly key: string;
}

/** Envoy looks at so many bytes before it says that there is no header. */
const SHORTEST_BYTES = 16;
const DEFAULT_NAMESPACE = "envoy.filters.listener.proxy_protocol";

/** The configuration of a filter chain that says `use_proxy_proto`. */
export const PLAIN_PROXY_PROTOCOL: ProxyProtocolFilterConfig = {
  allowsRequestsWithout: false,
  disallowed: new Set(),
  rules: [],
  passThrough: { matches: () => false },
  statPrefix: "",
};

/** Reads it; problems go to the reader's list. */
export function parseProxyProtocolFilter(reader: MessageReader<ProxyProtocol>): ProxyProtocolFilterConfig {
  const config: ProxyProtocolFilterConfig = {
    allowsRequestsWithout: reader.get("allowRequestsWithoutProxyProtocol"),
    disallowed: new Set(reader.get("disallowedVersions").map((version) => (version === 0 ? 1 : 2))),
    rules: reader.children("rules").flatMap((rule) => {
      const type = rule.get("tlvType");
      const target = rule.child("onTlvPresent");
      const found =
        target === undefined
          ? []
          : [{ type, namespace: target.get("metadataNamespace") || DEFAULT_NAMESPACE, key: target.get("key") }];
      target?.finish();
      rule.finish();
      return found;
    }),
    passThrough: parsePassThroughTlvs(reader.child("passThroughTlvs")),
    statPrefix: reader.get("statPrefix"),
  };
  if (config.disallowed.size === 2)
    reader.invalid("disallowedVersions", "both versions are disallowed: no connection could ever be accepted");
  reader.finish();
  return config;
}

interface VersionStats {
  readonly found: Counter;
  readonly disallowed: Counter;
  readonly error: Counter;
}

/** `proxy_proto.[<stat_prefix>.]`: Envoy's names. */
function proxyProtocolStats(root: StatsScope, prefix: string) {
  const scope = prefix === "" ? root.scope("proxy_proto") : root.scope("proxy_proto").scope(prefix);
  const version = (name: string): VersionStats => {
    const own = scope.scope("versions").scope(name);
    return { found: own.counter("found"), disallowed: own.counter("disallowed"), error: own.counter("error") };
  };
  return {
    notFoundAllowed: scope.counter("not_found_allowed"),
    notFoundDisallowed: scope.counter("not_found_disallowed"),
    cxError: root.counter("downstream_cx_proxy_proto_error"),
    1: version("v1"),
    2: version("v2"),
  };
}

/** Makes the filter; one for all connections of a listener. */
export function proxyProtocolFilter(
  config: ProxyProtocolFilterConfig,
  root: StatsScope,
): Pick<ListenerFilter, "name" | "inspect"> {
  const stats = proxyProtocolStats(root, config.statPrefix);
  const wrong = (version: 1 | 2): Inspection => {
    stats[version].error.inc();
    stats.cxError.inc();
    return "refuse";
  };
  const without = (bytes: Buffer): Inspection => {
    if (config.allowsRequestsWithout) {
      stats.notFoundAllowed.inc();
      return "done";
    }
    // As Envoy: fewer bytes than the shorter header has are no answer yet, but a line of them is a wrong one.
    if (bytes.length < SHORTEST_BYTES) return bytes.includes("\r\n") ? wrong(1) : "more";
    stats.notFoundDisallowed.inc();
    return "refuse";
  };
  const isDisallowed = (version: 1 | 2 | undefined): version is 1 | 2 =>
    version !== undefined && config.disallowed.has(version);
  return {
    name: "envoy.filters.listener.proxy_protocol",
    inspect(bytes, facts) {
      const result = parseProxyHeader(bytes);
      if (result.kind === "none") return without(bytes);
      const version = result.kind === "header" ? result.header.version : result.version;
      if (isDisallowed(version)) {
        // To one that may come without a header, bytes of the other version are its own.
        if (config.allowsRequestsWithout) return without(bytes);
        // Version 1 is one only with its end.
        if (version === 1 && result.kind === "incomplete") return "more";
        if (result.kind === "invalid" && result.isEndless) return wrong(1);
        stats[version].found.inc();
        stats[version].disallowed.inc();
        return "refuse";
      }
      if (result.kind === "incomplete") return "more";
      if (result.kind === "invalid") return wrong(result.version);
      stats[result.header.version].found.inc();
      believe(result.header, facts, config);
      return result.header.length;
    },
  };
}

function believe(header: ProxyHeader, facts: AcceptedFacts, config: ProxyProtocolFilterConfig): void {
  const { source, destination, tlvs } = header;
  if (source === undefined || destination === undefined) return;
  for (const { type, value } of tlvs)
    for (const rule of config.rules) if (rule.type === type) facts.setMetadata(rule.namespace, rule.key, utf8(value));
  const proxied: ProxiedConnection = {
    source,
    destination,
    tlvs: tlvs.filter(({ type }) => config.passThrough.matches(type)),
  };
  facts.filterState.set(PROXY_PROTOCOL_STATE, proxied);
  facts.readdress(source);
  if (formatAddress(destination) === formatAddress(facts.localAddress)) return;
  facts.localAddress = destination;
  facts.isLocalAddressRestored = true;
}

/** As Envoy: each byte that is no UTF-8 becomes `!`. */
function utf8(value: Buffer): string {
  const text = value.toString("utf8");
  if (!text.includes("\uFFFD")) return text;
  let clean = "";
  for (let at = 0; at < value.length;) {
    const length = sequenceLength(value, at);
    clean += length === 0 ? "!" : value.toString("utf8", at, at + length);
    at += length === 0 ? 1 : length;
  }
  return clean;
}

/** Bytes of the well-formed UTF-8 sequence at `at`; 0 when there is none. */
function sequenceLength(bytes: Buffer, at: number): number {
  const first = bytes[at] as number;
  const length = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  const piece = bytes.subarray(at, at + length);
  return Buffer.from(piece.toString("utf8"), "utf8").equals(piece) ? length : 0;
}
