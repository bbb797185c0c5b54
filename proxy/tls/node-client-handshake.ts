/** Client side handshakes. */
import { isIP } from "node:net";
import tls from "node:tls";
import type { Connection, ConnectionHandler, PeerCertificate, TlsInfo } from "#lib/connection.ts";
import { NodeConnection } from "#lib/node-connection.ts";
import { NodeNetwork } from "#lib/node-network.ts";
import { ConnectionDuplex } from "./connection-duplex.ts";
import { connectOptions, dial, needsDial, type Dialer } from "./dial.ts";
import { isChainError, sanReason, tlsReason, verifyReason } from "./failure-reason.ts";
import { verifiesPeers, type TlsMaterial, type Trust } from "./material.ts";
import { leafOf, ruleFailure, type CertificateCache, type RuleFailure } from "./peer-certificates.ts";
import { dnsSanMatcher, matchesSans, type CertificateNames } from "./san-matcher.ts";
import { secureContextOptions } from "./node-secure-context.ts";
import { peerChain } from "./node-peer-chain.ts";
import { verifiesUpstream, type UpstreamContext } from "./tls-context.ts";
import type { TlsStats } from "./tls-stats.ts";
import { TransportError } from "./transport-error.ts";
import type { UpstreamTarget } from "./types.ts";
import { NO_RULES } from "./validation-context.ts";

/** A session to resume, with the certificate that its first handshake verified. */
interface ResumableSession {
  readonly ticket: Buffer;
  readonly peer: PeerCertificate;
  /** What keys were agreed on with, "" where that is not known. */
  readonly curve: string;
  readonly isSingleUse: boolean;
}

/** Handshakes of one cluster in one state of its certificates; sessions do not outlive that state. */
export class ClientHandshakes {
  readonly #dialer: Dialer;
  readonly #context: UpstreamContext;
  readonly #material: TlsMaterial;
  readonly #stats: TlsStats;
  readonly #cache: CertificateCache;
  readonly #secureContext: tls.SecureContext;
  readonly #local: PeerCertificate | undefined;
  /** By host and server name, the newest session last; the host that was longest without one goes first. */
  readonly #sessions = new Map<string, ResumableSession[]>();

  /** Throws when OpenSSL does not take the certificates, or when nothing would verify the peer's. */
  constructor(
    dialer: Dialer,
    context: UpstreamContext,
    material: TlsMaterial,
    stats: TlsStats,
    cache: CertificateCache,
  ) {
    this.#dialer = dialer;
    this.#context = context;
    this.#material = material;
    this.#stats = stats;
    this.#cache = cache;
    // A secret that should say whom to trust, and says nothing, is no leave to trust anybody.
    if (verifiesUpstream(context) && (material.trust === undefined || !verifiesPeers(material.trust)))
      throw new Error("the validation context has neither a trusted_ca nor pinned hashes");
    this.#secureContext = tls.createSecureContext(
      secureContextOptions(context.parameters, material.certificates[0], material.trust),
    );
    this.#local = leafOf(material.certificates[0]?.certificateChain ?? "");
  }

  connect(target: UpstreamTarget, handler: ConnectionHandler): Connection {
    const serverName = this.#serverName(target);
    const alpn = target.alpnOverride ?? this.#context.alpn;
    const sans = target.subjectAltNamesOverride ?? [];
    const key = `${serverName} ${addressKey(target)} ${sans.join()}`;
    const session = this.#takeSession(key);
    const trust = this.#material.trust;
    const options: tls.ConnectionOptions = {
      secureContext: this.#secureContext,
      // Without a CA the certificate is held against pinned hashes; where there are none either, that is configured.
      rejectUnauthorized: trust?.trustedCa !== undefined && this.#context.validation?.rules.acceptUntrusted !== true,
      // Names are checked by the SAN list, on resumed sessions too.
      checkServerIdentity: () => undefined,
      ...(serverName === "" || isIP(serverName) !== 0 ? {} : { servername: serverName }),
      ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
      ...(session === undefined ? {} : { session: session.ticket }),
    };
    const connecting = new Connecting(handler, this.#stats);
    const connection = this.#open(target, connecting, options);
    connecting.connection = connection;
    const socket = connection.socket as tls.TLSSocket;
    socket.once("secureConnect", () => this.#onSecure(connection, socket, connecting, serverName, sans, session));
    if (this.#context.maxSessionKeys > 0)
      socket.on("session", (ticket: Buffer) => {
        const { peer, version } = connection.tls ?? {};
        if (peer !== undefined)
          this.#keepSession(key, { ticket, peer, curve: connecting.curve, isSingleUse: version === "TLSv1.3" });
      });
    return connection;
  }

  #open(target: UpstreamTarget, connecting: Connecting, options: tls.ConnectionOptions): NodeConnection {
    const { network } = this.#dialer.runtime;
    if (network instanceof NodeNetwork && !needsDial(target)) {
      // On the system's own sockets TLS runs on the handle, and the shared read buffer takes the plaintext.
      return network.connector.open(connectOptions(target), connecting, (params) =>
        tls.connect({ ...params, ...options } as tls.ConnectionOptions),
      );
    }
    const raw = dial(this.#dialer, { ...target, prelude: undefined }, { onData() {}, onClose() {} });
    const carrier = new ConnectionDuplex(raw, target.prelude);
    const socket = tls.connect({ ...options, socket: carrier });
    const connection = new NodeConnection(raw.id, socket, raw.localAddress, raw.remoteAddress, connecting);
    connection.carrier = raw;
    connecting.raw = raw;
    connection.attach(true);
    return connection;
  }

  #onSecure(
    connection: NodeConnection,
    socket: tls.TLSSocket,
    connecting: Connecting,
    serverName: string,
    sans: readonly string[],
    session: ResumableSession | undefined,
  ): void {
    socket.disableRenegotiation();
    if (sans.length > 0 && this.#material.trust?.trustedCa === undefined && !isPinned(this.#material.trust)) {
      // As in Envoy: a name in a certificate that nobody verifies proves nothing, so no such connection is made.
      connection.destroy(new TransportError(""));
      return;
    }
    const resumed = socket.isSessionReused();
    const peer = resumed ? session?.peer : this.#verify(socket, serverName, sans, connecting);
    if (peer === undefined) {
      connection.destroy(connecting.failure ?? new TransportError(verifyReason("no certificate")));
      return;
    }
    if (resumed && peer.validToMs <= this.#dialer.runtime.clock.now()) {
      this.#stats.failVerifyError.inc();
      connection.destroy(new TransportError(tlsReason(codeError("CERT_HAS_EXPIRED"))));
      return;
    }
    const cipher = socket.getCipher();
    const version = socket.getProtocol() ?? "";
    this.#stats.handshake.inc();
    // Taken all the same (`ACCEPT_UNTRUSTED`), and counted.
    if (!socket.authorized && this.#material.trust?.trustedCa !== undefined) this.#stats.failVerifyError.inc();
    connecting.curve = resumed ? (session?.curve ?? "") : curveOf(socket);
    this.#stats.countAgreed(cipher.name, version, connecting.curve);
    if (resumed) this.#stats.sessionReused.inc();
    const info: TlsInfo = {
      version,
      cipher: cipher.name,
      sni: serverName === "" ? undefined : serverName,
      alpn: typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : undefined,
      resumed,
      peer,
      local: this.#local,
    };
    connection.tls = info;
    if (connecting.raw === undefined) connection.learnLocalAddress();
    else connection.localAddress = connecting.raw.localAddress;
    // In TLS 1.3 a server refuses our certificate only after our side of the handshake is done.
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code?.startsWith("ERR_SSL_") === true) this.#stats.connectionError.inc();
    });
    connecting.ready();
  }

  /** The peer's certificate when it satisfies every rule; the reason is left with `connecting` otherwise. */
  #verify(
    socket: tls.TLSSocket,
    serverName: string,
    sans: readonly string[],
    connecting: Connecting,
  ): PeerCertificate | undefined {
    const x509 = socket.getPeerX509Certificate();
    const known = x509 === undefined ? undefined : this.#cache.of(x509);
    const rules = this.#material.trust?.rules ?? NO_RULES;
    if (known === undefined) {
      this.#stats.failVerifyNoCert.inc();
      return undefined;
    }
    const validator = this.#material.trust?.trustDomains;
    const stranger = validator?.failure(peerChain(socket), this.#dialer.runtime.clock.now());
    if (stranger !== undefined) {
      this.#stats.failVerifyError.inc();
      connecting.failure = new TransportError(verifyReason(stranger));
      return undefined;
    }
    const failure = ruleFailure(known, rules) ?? this.#nameFailure(serverName, sans, known.names);
    if (failure === undefined) return socket.authorized ? known.verified : known.unverified;
    if (failure.kind === "san") this.#stats.failVerifySan.inc();
    else this.#stats.failVerifyCertHash.inc();
    connecting.failure = new TransportError(failure.reason);
    return undefined;
  }

  /** Names that the connection itself asks for, beyond the rules of the context. */
  #nameFailure(serverName: string, sans: readonly string[], names: CertificateNames): RuleFailure | undefined {
    const wanted = sans.map(dnsSanMatcher);
    const own = this.#context.autoSniSanValidation && serverName !== "" ? [dnsSanMatcher(serverName)] : [];
    return matchesSans(wanted, names) && matchesSans(own, names)
      ? undefined
      : { kind: "san", reason: sanReason(names) };
  }

  #serverName(target: UpstreamTarget): string {
    if (target.serverNameOverride !== undefined && target.serverNameOverride !== "") return target.serverNameOverride;
    return this.#context.autoHostSni && target.hostname !== "" ? target.hostname : this.#context.sni;
  }

  /** The newest, which the server is most likely to know; of TLS 1.3 each serves once (RFC 8446 C.4). */
  #takeSession(key: string): ResumableSession | undefined {
    const sessions = this.#sessions.get(key);
    const session = sessions?.at(-1);
    if (session?.isSingleUse === true) sessions?.pop();
    return session;
  }

  #keepSession(key: string, session: ResumableSession): void {
    const sessions = this.#sessions.get(key) ?? [];
    sessions.push(session);
    if (sessions.length > this.#context.maxSessionKeys) sessions.shift();
    this.#sessions.delete(key);
    this.#sessions.set(key, sessions);
    // Envoy keeps `max_session_keys` for a whole cluster; a key of ours fits one host, so it is that many for each.
    if (this.#sessions.size > MAX_SESSION_HOSTS) this.#sessions.delete(this.#sessions.keys().next().value ?? "");
  }
}

const MAX_SESSION_HOSTS = 1024;

/** Hears of a connection until its handshake is done; then it is out of the way. */
class Connecting implements ConnectionHandler {
  connection: NodeConnection | undefined;
  /** What TLS runs over, where that is not the socket itself. */
  raw: Connection | undefined;
  failure: TransportError | undefined;
  curve = "";
  readonly #inner: ConnectionHandler;
  readonly #stats: TlsStats;

  constructor(inner: ConnectionHandler, stats: TlsStats) {
    this.#inner = inner;
    this.#stats = stats;
  }

  ready(): void {
    const { connection } = this;
    if (connection === undefined) return;
    if (connection.handler === this) connection.handler = this.#inner;
    connection.handler.onConnect?.();
  }

  onData(): void {
    // Nothing arrives before the handshake is done.
  }

  onClose(error?: NodeJS.ErrnoException): void {
    if (error === undefined || error instanceof TransportError) {
      this.#inner.onClose(error);
      return;
    }
    const { code } = error;
    if (isChainError(code)) this.#stats.failVerifyError.inc();
    else if (code?.startsWith("ERR_SSL_") === true) this.#stats.connectionError.inc();
    this.#inner.onClose(new TransportError(tlsReason(error), error));
  }
}

function isPinned(trust: Trust | undefined): boolean {
  return trust !== undefined && trust.rules.certificateHashes.length + trust.rules.spkiHashes.length > 0;
}

/** In the words of Envoy's TLS library. */
function curveOf(socket: tls.TLSSocket): string {
  const key = socket.getEphemeralKeyInfo() as Partial<tls.EphemeralKeyInfo> | null;
  const name = key?.name ?? "";
  return CURVES[name] ?? name;
}

const CURVES: Readonly<Record<string, string>> = { prime256v1: "P-256", secp384r1: "P-384", secp521r1: "P-521" };

function codeError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}

function addressKey({ address }: UpstreamTarget): string {
  return address.kind === "ip" ? `${address.address}:${address.port}` : address.path;
}
