/** When to renew a certificate, and when to try again: pure arithmetic, milliseconds. */

export interface RotationPolicy {
  /** Part of the lifetime after which renewal begins (Istio's SECRET_GRACE_PERIOD_RATIO). */
  readonly renewAfterRatio: number;
  /** The renewal moves by up to this part of the lifetime, either way, so that workloads started together do not renew together. */
  readonly jitterRatio: number;
  readonly firstRetryMs: number;
  readonly maxRetryMs: number;
}

export const DEFAULT_ROTATION_POLICY: RotationPolicy = {
  renewAfterRatio: 0.5,
  jitterRatio: 0.01,
  firstRetryMs: 1000,
  maxRetryMs: 60_000,
};

/** How long after its receipt a certificate is renewed; `lifetimeMs` is what is left of it then, `chance` is in [0, 1). */
export function renewAfterMs(lifetimeMs: number, policy: RotationPolicy, chance: number): number {
  const jitter = (chance * 2 - 1) * policy.jitterRatio;
  return Math.max(0, lifetimeMs * (policy.renewAfterRatio + jitter));
}

/**
 * How long to wait after the `attempt`-th failure in a row (from 1): doubling, full-range jitter above half, and never
 * more than a tenth of the time that the current certificate still lives, so that short lifetimes get their tries too.
 */
export function retryAfterMs(
  attempt: number,
  remainingMs: number | undefined,
  policy: RotationPolicy,
  chance: number,
): number {
  const doubled = Math.min(policy.firstRetryMs * 2 ** Math.min(attempt - 1, 30), policy.maxRetryMs);
  const base =
    remainingMs === undefined || remainingMs <= 0
      ? doubled
      : Math.min(doubled, Math.max(remainingMs / 10, policy.firstRetryMs / 2));
  return base * (0.5 + chance / 2);
}
