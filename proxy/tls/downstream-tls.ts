/** `DownstreamTlsContext` at work. */
import { recordExpiry } from "./certificate-expiry.ts";
import { SECRET_NOT_READY } from "./failure-reason.ts";
import { MaterialSource, type TlsMaterial } from "./material.ts";
import { ServerHandshakes } from "./node-server-handshake.ts";
import type { DownstreamContext } from "./tls-context.ts";
import { TlsStats } from "./tls-stats.ts";
import type { TlsDeps } from "./transport-factory.ts";
import type { DownstreamTransport } from "./types.ts";

/** Throws when the certificates can't be read or used. Rotated ones hold for new connections. */
export function downstreamTls(deps: TlsDeps, context: DownstreamContext): DownstreamTransport {
  const { runtime, secrets, scope, certificates } = deps;
  const stats = new TlsStats(scope, "server");
  const waiting: (() => void)[] = [];
  let handshakes: ServerHandshakes | undefined;
  let isGivenUp = false;
  const onMaterial = (material: TlsMaterial, isFirst: boolean): void => {
    try {
      handshakes = new ServerHandshakes(context, material, stats, certificates, () => runtime.clock.now());
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
    get isReady() {
      return handshakes !== undefined || isGivenUp;
    },
    onReady(callback) {
      if (handshakes === undefined && !isGivenUp) waiting.push(callback);
      else callback();
    },
    accept(raw, onReady, onFailure, hello) {
      if (handshakes !== undefined) {
        handshakes.accept(raw, onReady, onFailure, hello);
        return;
      }
      stats.secretsNotReady.inc();
      raw.destroy();
      onFailure(SECRET_NOT_READY);
    },
    close: () => source.close(),
  };
}
