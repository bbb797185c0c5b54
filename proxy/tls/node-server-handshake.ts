/** Server side handshakes, on the socket's own handle where there is one. */
import type { Socket } from "node:net";
import { constants } from "node:crypto";
import tls from "node:tls";
import type { Connection, PeerCertificate, TlsInfo } from "#lib/connection.ts";
import { NodeConnection } from "#lib/node-connection.ts";
import { parseClientHello } from "./client-hello.ts";
import { ConnectionDuplex } from "./connection-duplex.ts";
import { isChainError, tlsReason, verifyReason } from "./failure-reason.ts";
import { verifiesPeers, type TlsMaterial } from "./material.ts";
import { leafOf, ruleFailure, type CertificateCache } from "./peer-certificates.ts";
import { peerChain } from "./node-peer-chain.ts";
import type { DownstreamContext } from "./tls-context.ts";
import type { TlsStats } from "./tls-stats.ts";
import { secureContextOptions } from "./node-secure-context.ts";
import type { ClientHelloNames } from "./types.ts";

interface Handshake {
  readonly raw: Connection;
  readonly carrier: { reset(): void };
  readonly onReady: (connection: Connection) => void;
  readonly onFailure: (reason: string) => void;
  isDone: boolean;
}

/** A TLS server that never listens, for one state of the certificates. */
export class ServerHandshakes {
  readonly #context: DownstreamContext;
  readonly #material: TlsMaterial;
  readonly #stats: TlsStats;
  readonly #cache: CertificateCache;
  readonly #local: PeerCertificate | undefined;
  readonly #now: () => number;
  readonly #server: tls.Server;
  /** For clients that offer only protocols that we do not speak: those are answered without any, as Envoy does. */
  readonly #withoutAlpn: tls.Server | undefined;

  /** Throws when OpenSSL does not take the certificates, or when nothing would verify those that are required. */
  constructor(
    context: DownstreamContext,
    material: TlsMaterial,
    stats: TlsStats,
    cache: CertificateCache,
    now: () => number,
  ) {
    this.#now = now;
    this.#context = context;
    this.#material = material;
    this.#stats = stats;
    this.#cache = cache;
    const { trust } = material;
    const isAsked = context.requireClientCertificate || (trust?.rules.sanMatchers.length ?? 0) > 0;
    if (trust !== undefined && isAsked && !verifiesPeers(trust) && !trust.rules.acceptUntrusted)
      throw new Error("the validation context has neither a trusted_ca nor pinned hashes");
    this.#local = leafOf(material.certificates[0]?.certificateChain ?? "");
    this.#server = this.#makeServer(context.alpn);
    this.#withoutAlpn = context.alpn.length === 0 ? undefined : this.#makeServer([]);
  }

  accept(
    raw: Connection,
    onReady: Handshake["onReady"],
    onFailure: Handshake["onFailure"],
    hello: ClientHelloNames | undefined,
  ): void {
    if (hello !== undefined || this.#withoutAlpn === undefined) this.#shake(raw, onReady, onFailure, hello);
    else this.#peek(raw, onReady, onFailure);
  }

  /** Reads the ClientHello first, to know which protocols are offered. */
  #peek(raw: Connection, onReady: Handshake["onReady"], onFailure: Handshake["onFailure"]): void {
    let read: Buffer = Buffer.alloc(0);
    raw.handler = {
      onData: (chunk) => {
        read = Buffer.concat([read, chunk]);
        const result = parseClientHello(read);
        if (result.kind === "incomplete") return;
        raw.pause();
        raw.unshift(read);
        this.#shake(raw, onReady, onFailure, result.kind === "hello" ? result.hello : undefined);
      },
      onClose: () => onFailure(""),
    };
    raw.resume();
  }

  #shake(
    raw: Connection,
    onReady: Handshake["onReady"],
    onFailure: Handshake["onFailure"],
    hello: ClientHelloNames | undefined,
  ): void {
    const offered = hello?.alpn ?? [];
    const isForeign = offered.length > 0 && !offered.some((protocol) => this.#context.alpn.includes(protocol));
    const server = isForeign ? (this.#withoutAlpn ?? this.#server) : this.#server;
    let socket: Socket | ConnectionDuplex;
    let carrier: { reset(): void } = raw;
    if (raw instanceof NodeConnection) {
      const native = raw.detach();
      socket = native;
      carrier = { reset: () => void native.resetAndDestroy() };
    } else socket = new ConnectionDuplex(raw);
    this.#serve(server, socket, { raw, carrier, onReady, onFailure, isDone: false });
  }

  /**
   * Hands the socket to the TLS server as if it had accepted it. A server announces its sockets without saying over
   * what they run; so each handshake meets the server through a view of it, which takes the announcements.
   */
  #serve(server: tls.Server, socket: Socket | ConnectionDuplex, handshake: Handshake): void {
    const emit = (event: string, ...details: unknown[]): boolean => {
      if (event === "secureConnection") this.#onSecure(details[0] as tls.TLSSocket, handshake);
      else if (event === "tlsClientError")
        this.#onError(details[0] as NodeJS.ErrnoException, details[1] as tls.TLSSocket, handshake);
      else return server.emit(event, ...details);
      return true;
    };
    const view: unknown = Object.create(server, { emit: { value: emit } });
    for (const accept of server.listeners("connection")) accept.call(view, socket as Socket);
  }

  #makeServer(alpn: readonly string[]): tls.Server {
    const { parameters, requireClientCertificate, sessionTimeoutSeconds, issuesTickets } = this.#context;
    const { trust, certificates } = this.#material;
    return tls.createServer({
      allowHalfOpen: true,
      ...secureContextOptions(parameters, certificates[0], trust),
      requestCert: trust !== undefined,
      // Where a certificate is not required, the one that is shown is judged below.
      rejectUnauthorized: trust?.trustedCa !== undefined && requireClientCertificate && !trust.rules.acceptUntrusted,
      honorCipherOrder: !this.#context.prefersClientCiphers,
      ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
      ...(sessionTimeoutSeconds === undefined ? {} : { sessionTimeout: sessionTimeoutSeconds }),
      ...(issuesTickets ? {} : { secureOptions: constants.SSL_OP_NO_TICKET }),
      ...this.#choosesByName(),
    });
  }

  /** Several certificates: the one whose names fit the server name, the first otherwise. */
  #choosesByName(): Pick<tls.TlsOptions, "SNICallback"> {
    const { certificates, trust } = this.#material;
    if (certificates.length < 2) return {};
    const choices = certificates.map((certificate) => ({
      names: leafOf(certificate.certificateChain)?.dnsSans ?? [],
      context: tls.createSecureContext(secureContextOptions(this.#context.parameters, certificate, trust)),
    }));
    return {
      SNICallback: (serverName, done) => {
        const name = serverName.toLowerCase();
        const parent = `*${name.slice(Math.max(0, name.indexOf(".")))}`;
        const choice =
          choices.find(({ names }) => names.includes(name)) ??
          choices.find(({ names }) => names.includes(parent)) ??
          choices[0];
        done(null, choice?.context);
      },
    };
  }

  #onSecure(socket: tls.TLSSocket, handshake: Handshake): void {
    if (handshake.isDone) return;
    handshake.isDone = true;
    // Renegotiation is an old way to exhaust a server.
    socket.disableRenegotiation();
    const failure = this.#failureOf(socket);
    if (failure !== undefined) {
      this.#fail(handshake, socket, failure);
      return;
    }
    const cipher = socket.getCipher();
    const version = socket.getProtocol() ?? "";
    this.#stats.handshake.inc();
    this.#stats.countAgreed(cipher.name, version);
    const resumed = socket.isSessionReused();
    if (resumed) this.#stats.sessionReused.inc();
    const x509 = socket.getPeerX509Certificate();
    const known = x509 === undefined ? undefined : this.#cache.of(x509);
    const info: TlsInfo = {
      version,
      cipher: cipher.name,
      sni: nameOf(socket),
      alpn: typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : undefined,
      resumed,
      peer: socket.authorized ? known?.verified : known?.unverified,
      local: this.#local,
    };
    const { raw, carrier } = handshake;
    const connection = new NodeConnection(raw.id, socket, raw.localAddress, raw.remoteAddress);
    connection.carrier = carrier;
    connection.tls = info;
    connection.directRemoteAddress = raw.directRemoteAddress;
    connection.attach(true);
    handshake.onReady(connection);
  }

  /** Why the client is not let in, counted; undefined: it is. */
  #failureOf(socket: tls.TLSSocket): string | undefined {
    const { trust } = this.#material;
    if (this.#context.requireSni && nameOf(socket) === undefined) return "TLS error: no server name";
    if (trust === undefined) return undefined;
    const x509 = socket.getPeerX509Certificate();
    if (x509 === undefined) {
      this.#stats.noCertificate.inc();
      if (!this.#context.requireClientCertificate) return undefined;
      this.#stats.failVerifyNoCert.inc();
      return tlsReason(
        Object.assign(new Error("no certificate"), { code: "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE" }),
      );
    }
    if (trust.trustedCa !== undefined && !socket.authorized && !trust.rules.acceptUntrusted) {
      this.#stats.failVerifyError.inc();
      return tlsReason(Object.assign(new Error("not authorized"), { code: String(socket.authorizationError) }));
    }
    const known = this.#cache.of(x509);
    if (known === undefined) {
      this.#stats.failVerifyError.inc();
      return verifyReason("certificate cannot be read");
    }
    const stranger = trust.trustDomains?.failure(peerChain(socket), this.#now());
    if (stranger !== undefined) {
      this.#stats.failVerifyError.inc();
      return verifyReason(stranger);
    }
    const failure = ruleFailure(known, trust.rules);
    if (failure?.kind === "san") this.#stats.failVerifySan.inc();
    else if (failure?.kind === "hash") this.#stats.failVerifyCertHash.inc();
    return failure?.reason;
  }

  #onError(error: NodeJS.ErrnoException, socket: tls.TLSSocket, handshake: Handshake): void {
    if (handshake.isDone) return;
    handshake.isDone = true;
    const chain = socket.authorizationError as unknown;
    if (typeof chain === "string" && isChainError(chain)) {
      this.#stats.failVerifyError.inc();
      this.#fail(handshake, socket, tlsReason(Object.assign(new Error(chain), { code: chain })));
      return;
    }
    if (error.code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE") this.#stats.failVerifyNoCert.inc();
    else if (error.code?.startsWith("ERR_SSL_") === true) this.#stats.connectionError.inc();
    this.#fail(handshake, socket, tlsReason(error));
  }

  #fail(handshake: Handshake, socket: tls.TLSSocket, reason: string): void {
    socket.destroy();
    if (!handshake.raw.isClosed) handshake.raw.destroy();
    handshake.onFailure(reason);
  }
}

function nameOf(socket: tls.TLSSocket): string | undefined {
  const { servername } = socket as { servername?: string | false };
  return typeof servername === "string" && servername !== "" ? servername : undefined;
}
