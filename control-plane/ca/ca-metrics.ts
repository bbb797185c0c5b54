/** What the CA counts, by Istio's names with the prefix `citadel_server_` (`csrCount` is `citadel_server_csr_count`). A prom-client Counter or Gauge fits. */

export interface CaMetrics {
  readonly csrCount: CountHandle;
  readonly successCertIssuanceCount: CountHandle;
  readonly authenticationFailureCount: CountHandle;
  readonly csrParsingErrCount: CountHandle;
  /** Label `error`: the code of what went wrong. */
  readonly csrSignErrCount: { inc(labels: { readonly error: string }): void };
  /** Seconds since the epoch. */
  readonly rootCertExpiryTimestamp: ValueHandle;
  /** Seconds since the epoch: the first end among the signer and the chain above it. */
  readonly certChainExpiryTimestamp: ValueHandle;
}

export interface CountHandle {
  inc(): void;
}

export interface ValueHandle {
  set(value: number): void;
}
