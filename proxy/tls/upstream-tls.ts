/** `UpstreamTlsContext` at work. */
import type { Connection, ConnectionHandler, SocketAddress } from "#lib/connection.ts";
import { recordExpiry } from "./certificate-expiry.ts";
import { SECRET_NOT_READY } from "./failure-reason.ts";
import { MaterialSource, type TlsMaterial } from "./material.ts";
import { ClientHandshakes } from "./node-client-handshake.ts";
import { verifiesUpstream, type UpstreamContext } from "./tls-context.ts";
import { TlsStats } from "./tls-stats.ts";
import type { TlsDeps } from "./transport-factory.ts";
import { TransportError } from "./transport-error.ts";
import type { UpstreamTransport } from "./types.ts";

/** Throws when the certificates can't be read or used. Rotated ones hold for new connections. */
export function upstreamTls(deps: TlsDeps, context: UpstreamContext): UpstreamTransport {
  const { runtime, secrets, scope, certificates } = deps;
  const stats = new TlsStats(scope, "client");
  const waiting: (() => void)[] = [];
  let handshakes: ClientHandshakes | undefined;
  let isGivenUp = false;
  const onMaterial = (material: TlsMaterial, isFirst: boolean): void => {
    try {
      handshakes = new ClientHandshakes(deps, context, material, stats, certificates);
    } catch (error) {
      // A rotation that can't be used leaves the old certificates in force.
      if (isFirst && context.certificates.every((certificate) => certificate.kind === "files")) throw error;
      runtime.log.child("secret").warning("certificates that came by rotation can't be used", { error });
      return;
    }
    recordExpiry(stats, context, material);
    if (!isFirst) stats.contextUpdateBySds.inc();
    for (const callback of waiting.splice(0)) callback();
  };
  const source = new MaterialSource(runtime, secrets, context, onMaterial, () => {
    isGivenUp = true;
    for (const callback of waiting.splice(0)) callback();
  });
  return {
    isSecure: true,
    isUnverified: !verifiesUpstream(context),
    get isReady() {
      return handshakes !== undefined || isGivenUp;
    },
    onReady(callback) {
      if (handshakes === undefined && !isGivenUp) waiting.push(callback);
      else callback();
    },
    connect(target, handler) {
      if (handshakes !== undefined) return handshakes.connect(target, handler);
      stats.secretsNotReady.inc();
      return new FailedConnection(target.address, handler, new TransportError(SECRET_NOT_READY));
    },
    close: () => source.close(),
  };
}

/** A connection that never was: its handler hears why, a turn later. */
class FailedConnection implements Connection {
  readonly id = 0;
  handler: ConnectionHandler;
  readonly localAddress: SocketAddress = { kind: "ip", address: "0.0.0.0", port: 0 };
  readonly remoteAddress: SocketAddress;
  readonly bufferedBytes = 0;
  readonly isClosed = true;

  constructor(remoteAddress: SocketAddress, handler: ConnectionHandler, error: Error) {
    this.remoteAddress = remoteAddress;
    this.handler = handler;
    queueMicrotask(() => this.handler.onClose(error));
  }

  write(): boolean {
    return false;
  }
  end(): void {}
  destroy(): void {}
  reset(): void {}
  pause(): void {}
  resume(): void {}
  unshift(): void {}
}
