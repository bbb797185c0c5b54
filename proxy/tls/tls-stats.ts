/** `ssl.*` and the counters of socket factories. */
import type { Counter, StatsScope } from "../observability/stats.ts";

export class TlsStats {
  readonly handshake: Counter;
  readonly connectionError: Counter;
  readonly failVerifyNoCert: Counter;
  readonly failVerifyError: Counter;
  readonly failVerifySan: Counter;
  readonly failVerifyCertHash: Counter;
  readonly noCertificate: Counter;
  readonly sessionReused: Counter;
  readonly contextUpdateBySds: Counter;
  readonly secretsNotReady: Counter;
  readonly #scope: StatsScope;
  readonly #byName = new Map<string, Counter>();

  /** `scope` is the listener's or the cluster's. */
  constructor(scope: StatsScope, side: "server" | "client") {
    const ssl = scope.scope("ssl.");
    this.#scope = ssl;
    this.handshake = ssl.counter("handshake");
    this.connectionError = ssl.counter("connection_error");
    this.failVerifyNoCert = ssl.counter("fail_verify_no_cert");
    this.failVerifyError = ssl.counter("fail_verify_error");
    this.failVerifySan = ssl.counter("fail_verify_san");
    this.failVerifyCertHash = ssl.counter("fail_verify_cert_hash");
    this.noCertificate = ssl.counter("no_certificate");
    this.sessionReused = ssl.counter("session_reused");
    const factory = scope.scope(side === "server" ? "server_ssl_socket_factory." : "client_ssl_socket_factory.");
    this.contextUpdateBySds = factory.counter("ssl_context_update_by_sds");
    this.secretsNotReady = factory.counter(
      side === "server" ? "downstream_context_secrets_not_ready" : "upstream_context_secrets_not_ready",
    );
  }

  /** Counts one finished handshake by what was agreed. */
  countAgreed(cipher: string, version: string, curve = ""): void {
    this.#named(`ciphers.${cipher}`).inc();
    if (curve !== "") this.#named(`curves.${curve}`).inc();
    this.#named(`versions.${version}`).inc();
  }

  /** `ssl.certificate.<name>.expiration_unix_time_seconds`. */
  setExpiry(name: string, atSeconds: number): void {
    this.#scope.scope("certificate").scope(name).gauge("expiration_unix_time_seconds").set(atSeconds);
  }

  #named(name: string): Counter {
    let counter = this.#byName.get(name);
    if (counter === undefined) {
      counter = this.#scope.counter(name);
      this.#byName.set(name, counter);
    }
    return counter;
  }
}
