/** What the xDS server counts. Names and labels are istiod's; a prom-client metric fits each handle. */

export interface XdsMetrics {
  connected(change: 1 | -1): void;
  /** `type`: cds, eds, lds, rds. */
  pushed(type: string, bytes: number): void;
  rejected(type: string): void;
  expiredNonce(type: string): void;
  internalError(): void;
  /** Between the change and the end of the push to this proxy, seconds. */
  converged(seconds: number): void;
  pushTime(seconds: number): void;
  debounced(seconds: number): void;
  queued(seconds: number): void;
  triggered(type: string): void;
}
