/** Transport sockets: raw or TLS, downstream and upstream, with certificates that come and go by SDS. */
import type { Connection, ConnectionHandler, SocketAddress } from "#lib/connection.ts";
import type { ProxyTlv } from "#lib/proxy-protocol.ts";
import type { TcpKeepAlive } from "#lib/runtime.ts";
import type { TrustDomains } from "./trust-domains.ts";
import type { Passthrough } from "./internal-network.ts";

/** Opens transport connections to a host of a cluster. */
export interface UpstreamTransport {
  readonly isSecure: boolean;
  /** TLS with whoever answers: nothing verifies the upstream's certificate. */
  readonly isUnverified: boolean;
  /** True: a connection tells the upstream of one downstream connection; it is not shared with another's requests. */
  readonly wantsDownstream?: boolean;
  /** False while a secret is waited for: a cluster stays warming. What goes without it refuses its connections. */
  readonly isReady: boolean;
  onReady(callback: () => void): void;
  /** `handler.onConnect` comes after the TLS handshake; an error's message is the transport failure reason. */
  connect(target: UpstreamTarget, handler: ConnectionHandler): Connection;
  /** Gives its secrets up; connections that are open go on. */
  close(): void;
}

export interface UpstreamTarget {
  readonly address: SocketAddress;
  readonly localAddress?: string | undefined;
  /** Bytes that may wait to be sent before the connection counts as full; undefined: the network's own limit. */
  readonly bufferBytes?: number | undefined;
  readonly hostname: string;
  readonly alpnOverride?: readonly string[] | undefined;
  readonly serverNameOverride?: string | undefined;
  /** The peer's certificate must have one of these DNS names as well (`auto_san_validation`). */
  readonly subjectAltNamesOverride?: readonly string[] | undefined;
  readonly keepAlive?: TcpKeepAlive | undefined;
  /** Whose connection it is, for transports that want it (`wantsDownstream`). */
  readonly downstream?: DownstreamFacts | undefined;
  /** Writes on the raw connection as soon as it is made, before TLS. */
  readonly prelude?: ((raw: Connection) => void) | undefined;
  /** For `passthrough_metadata`. */
  readonly hostMetadata?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
  readonly clusterMetadata?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
  /** What an internal listener is given along. */
  readonly passthrough?: Passthrough | undefined;
}

/** What an upstream transport may tell of the downstream connection. */
export interface DownstreamFacts {
  /** Two of one key may share an upstream connection. */
  readonly key: string;
  readonly proxied: ProxiedConnection;
  /** Filter state that is shared with the upstream connection (`internal_upstream`). */
  readonly filterState: ReadonlyMap<string, unknown> | undefined;
  /** Metadata of the request by kind, for `passthrough_metadata`. */
  readonly metadata: ReadonlyMap<"request" | "route", Readonly<Record<string, Readonly<Record<string, unknown>>>>>;
}

/** Filter state of a connection: what its PROXY header said (`ProxiedConnection`). */
export const PROXY_PROTOCOL_STATE: string = "envoy.network.proxy_protocol_options";

export interface ProxiedConnection {
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
  /** Those that may be passed on. */
  readonly tlvs: readonly ProxyTlv[];
}

/** Wraps accepted connections. */
export interface DownstreamTransport {
  readonly isSecure: boolean;
  /** False while a secret is waited for: a listener stays warming. What goes without it refuses its connections. */
  readonly isReady: boolean;
  onReady(callback: () => void): void;
  /** Gives its secrets up; connections that are open go on. */
  close(): void;
  /** Shakes hands; `onReady` gives the connection to talk over, `onFailure` the reason (already closed). */
  accept(
    raw: Connection,
    onReady: (connection: Connection) => void,
    onFailure: (reason: string) => void,
    hello?: ClientHelloNames,
  ): void;
}

/** What a TLS inspector has read already. */
export interface ClientHelloNames {
  readonly serverName: string;
  readonly alpn: readonly string[];
}

/** A workload certificate with its key, PEM. */
export interface TlsCertificateSecret {
  readonly kind: "certificate";
  readonly certificateChain: string;
  readonly privateKey: string;
  /** Of the private key, where it is encrypted. */
  readonly password?: string | undefined;
}

export interface ValidationSecret {
  readonly kind: "validation";
  /** PEM, one or more certificates. */
  readonly trustedCa: string;
  readonly crl?: string | undefined;
  /** Roots by trust domain: a peer's SPIFFE ID counts for its own domain only. Undefined: `trustedCa` is for all. */
  readonly trustDomains?: TrustDomains | undefined;
  /** What else a validation context that came by SDS asks for; merged into the static part. */
  readonly rules?: ValidationRules | undefined;
}

/** Tests on a peer's certificate on top of its chain. */
export interface ValidationRules {
  /** SHA-256 of the DER form, hex, lower case. */
  readonly certificateHashes: readonly string[];
  /** SHA-256 of the public key's DER form, base64. */
  readonly spkiHashes: readonly string[];
  /** One of them must match one name; empty: any name. */
  readonly sanMatchers: readonly SanMatcher[];
  readonly acceptUntrusted: boolean;
}

export interface SanMatcher {
  readonly type: "any" | "dns" | "uri" | "email" | "ip";
  /** For names in a certificate: `*.example.com` there matches an exact `a.example.com` here. */
  readonly exact: string | undefined;
  /** What is asked, as text. */
  readonly pattern: string;
  matches(san: string): boolean;
}

/** Where an SDS secret is to come from. */
export type SecretSource =
  | { readonly kind: "static" }
  | { readonly kind: "ads" }
  | { readonly kind: "grpc"; readonly cluster: string }
  | { readonly kind: "path"; readonly path: string };

/** How long a secret is waited for before what needs it goes on without (`initial_fetch_timeout`). */
export interface SecretWait {
  /** 0: for ever. */
  readonly timeoutMs: number;
  /** The server has no such secret, or said nothing in time. It may still come. */
  onGivenUp(): void;
}

export type Secret = TlsCertificateSecret | ValidationSecret;

/** Named secrets: static ones of the bootstrap, files, an SDS stream, or the workload's own identity. */
export interface SecretProvider {
  /** Calls back at once when the secret is there, and on each rotation. */
  subscribe(
    name: string,
    onUpdate: (secret: Secret) => void,
    source?: SecretSource,
    wait?: SecretWait,
  ): { close(): void };
}
