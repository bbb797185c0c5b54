/** What the xDS server counts. Names and labels are istiod's; a prom-client metric fits each handle. */

export interface XdsMetrics {
  connected(change: 1 | -1): void;
  /** `type`: cds, eds, lds, rds. */
  pushed(type: string, bytes: number): void;
  sendFailed(type: string): void;
  rejected(type: string): void;
  expiredNonce(type: string): void;
  internalError(): void;
  /** Between the change and the end of the push to this proxy, seconds. */
  converged(seconds: number): void;
  pushTime(seconds: number): void;
  debounced(seconds: number): void;
  queued(seconds: number): void;
  triggered(type: string): void;
  received(bytes: number): void;
}

export const noXdsMetrics: XdsMetrics = {
  connected: () => undefined,
  pushed: () => undefined,
  sendFailed: () => undefined,
  rejected: () => undefined,
  expiredNonce: () => undefined,
  internalError: () => undefined,
  converged: () => undefined,
  pushTime: () => undefined,
  debounced: () => undefined,
  queued: () => undefined,
  triggered: () => undefined,
  received: () => undefined,
};
