/** Slow start: a host that has just become healthy gets its share little by little (L-20). */

export interface SlowStartConfig {
  /** 0: off. */
  readonly windowMs: number;
  /** Default 1. */
  readonly aggression: number;
  /** Default 10. */
  readonly minWeightPercent: number;
}

/** Factor on the weight of a host that has been healthy for `healthyMs`: from the minimum up to 1. */
export function slowStartFactor(config: SlowStartConfig, healthyMs: number): number {
  if (healthyMs >= config.windowMs) return 1;
  const time = Math.max(healthyMs, 1) / config.windowMs;
  return Math.max(config.minWeightPercent / 100, time ** (1 / config.aggression));
}
