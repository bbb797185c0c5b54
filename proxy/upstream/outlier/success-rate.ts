/** The statistics behind success-rate ejection (L-35, L-36). Pure. */

/** Requests of one interval. */
export class SuccessRateBucket {
  #total = 0;
  #successes = 0;
  #lastTotal = 0;
  #lastSuccesses = 0;

  count(isSuccess: boolean): void {
    this.#total++;
    if (isSuccess) this.#successes++;
  }

  /** An interval has passed: what was counted becomes what is judged. */
  turn(): void {
    this.#lastTotal = this.#total;
    this.#lastSuccesses = this.#successes;
    this.#total = 0;
    this.#successes = 0;
  }

  /** Requests of the last whole interval. */
  get volume(): number {
    return this.#lastTotal;
  }

  /** Percent of the last whole interval; −1 without requests. */
  get rate(): number {
    return this.#lastTotal === 0 ? -1 : (this.#lastSuccesses * 100) / this.#lastTotal;
  }
}

export interface SuccessRateThreshold {
  readonly mean: number;
  /** Hosts below it are ejected. */
  readonly threshold: number;
}

/** Mean minus a number of (population) standard deviations. */
export function successRateThreshold(rates: readonly number[], stdevFactor: number): SuccessRateThreshold {
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  const variance = rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / rates.length;
  return { mean, threshold: mean - stdevFactor * Math.sqrt(variance) };
}
