/** A listener as the proxy sees it: checked, every network filter parsed, nothing opened yet. */
import type { ExtensionDiscovery } from "../extension-configs.ts";
import type { NetworkFilterRegistry } from "../network/registry.ts";
import type { SocketAddress } from "#lib/connection.ts";
import type { SocketOption } from "#lib/runtime.ts";
import type { FilterChain as FilterChainMessage } from "#protos/gen/envoy/config/listener/v3/listener_components_pb.js";
import type { TransportSocket } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { NetworkFilterFactory } from "../network/filter.ts";
import type { AccessLogConfig } from "../observability/access-log/types.ts";
import type { Metadata } from "../upstream/types.ts";
import type { FilterChainMatch } from "./filter-chain-match.ts";
import type { FilterChainByName } from "./filter-chain-matcher.ts";
import type { TlsInspectorConfig } from "./inspectors.ts";
import type { ProxyProtocolFilterConfig } from "./proxy-protocol.ts";

export interface ListenerModel {
  readonly name: string;
  /** The first is the one that it is known by. */
  readonly addresses: readonly ListenAddress[];
  /** Behind `listener.` in statistics. */
  readonly statName: string;
  /** Only connections of this process come to it (`internal_listener`). */
  readonly isInternal: boolean;
  readonly bindToPort: boolean;
  readonly useOriginalDst: boolean;
  readonly listenerFilters: readonly ListenerFilterModel[];
  /** 0: for ever. */
  readonly listenerFiltersTimeoutMs: number;
  readonly continueOnListenerFiltersTimeout: boolean;
  readonly filterChains: readonly FilterChainModel[];
  readonly defaultFilterChain: FilterChainModel | undefined;
  /** In place of what the chains say of themselves. */
  readonly filterChainMatcher: FilterChainByName | undefined;
  readonly bufferLimitBytes: number | undefined;
  readonly accessLogs: readonly AccessLogConfig[];
  readonly trafficDirection: "inbound" | "outbound" | "unspecified";
  /** `DEFAULT` drains when the health check fails too. */
  readonly drainType: "default" | "modify-only";
  readonly backlog: number | undefined;
  /** Set before its sockets are bound (`freebind`, `transparent`, `tcp_fast_open_queue_length`, `socket_options`). */
  readonly socketOptions: readonly SocketOption[];
  readonly mptcp: boolean;
  /** Other processes may accept on the same port; the system spreads connections over them. */
  readonly reusePort: boolean;
  readonly ignoresGlobalConnectionLimit: boolean;
  readonly metadata: Metadata;
}

export interface ListenAddress {
  readonly address: SocketAddress;
  readonly ipv4Compat: boolean;
  /** File mode of a pipe; 0: as the system makes it. */
  readonly mode: number;
}

export interface ListenerFilterModel {
  readonly kind: ListenerFilterKind;
  /** True for destination ports at which the filter is off. */
  readonly isDisabled: (destinationPort: number) => boolean;
}

export type ListenerFilterKind =
  | { readonly name: "original_dst" }
  | { readonly name: "http_inspector" }
  | { readonly name: "proxy_protocol"; readonly config: ProxyProtocolFilterConfig }
  | ({ readonly name: "tls_inspector" } & TlsInspectorConfig);

export interface FilterChainModel {
  readonly name: string;
  readonly match: FilterChainMatch;
  readonly transportSocket: TransportSocket | undefined;
  /** Where the transport socket stands in the listener. */
  readonly transportSocketPath: string;
  /** 0: none. */
  readonly transportSocketConnectTimeoutMs: number;
  readonly filters: readonly NetworkFilterModel[];
  readonly metadata: Metadata;
  /** For comparing with the chain of the next version. */
  readonly message: FilterChainMessage;
}

export interface NetworkFilterModel {
  readonly name: string;
  readonly factory: NetworkFilterFactory;
  readonly config: unknown;
  /** The configuration comes over ECDS; `factory` is that of the first type that may come. */
  readonly discovery?: ExtensionDiscovery | undefined;
  readonly registry?: NetworkFilterRegistry | undefined;
}
