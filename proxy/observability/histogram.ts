/**
 * A log-linear histogram of whole numbers, in the buckets of Envoy's circllhist: exact below 100, two significant
 * digits above. Recording is one array increment; arrays grow by decades, so that an unused histogram costs nothing.
 */

const EXACT = 100;
const PER_DECADE = 90;
const NO_COUNTS: Uint32Array = new Uint32Array(0);

/** Number of the bucket that holds `value` (a whole number ≥ 0). */
export function bucketIndex(value: number): number {
  if (value < EXACT) return value;
  let offset = EXACT;
  let mantissa = value / 10;
  while (mantissa >= 100) {
    mantissa /= 10;
    offset += PER_DECADE;
  }
  return offset + Math.floor(mantissa) - 10;
}

/** Lower edge of a bucket; its width is `bucketWidth`. */
export function bucketFloor(index: number): number {
  if (index < EXACT) return index;
  const decade = Math.floor((index - EXACT) / PER_DECADE);
  return (10 + ((index - EXACT) % PER_DECADE)) * 10 ** (decade + 1);
}

/** The span of values in one bucket. Below 10 circllhist keeps tenths, of which a whole number fills the first. */
export function bucketWidth(index: number): number {
  if (index === 0) return 0;
  if (index < 10) return 0.1;
  if (index < EXACT) return 1;
  return 10 ** (Math.floor((index - EXACT) / PER_DECADE) + 1);
}

/** Quantiles that Envoy prints. */
export const QUANTILES: readonly number[] = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1];

/** Counts per bucket with their total and sum; one for the interval, one since the start. */
export class BucketCounts {
  counts: Uint32Array = NO_COUNTS;
  total = 0;
  sum = 0;

  record(value: number): void {
    const whole = value > 0 ? Math.floor(value) : 0;
    const index = bucketIndex(whole);
    if (index >= this.counts.length) this.#grow(index);
    (this.counts[index] as number)++;
    this.total++;
    this.sum += whole;
  }

  merge(other: BucketCounts): void {
    if (other.total === 0) return;
    if (other.counts.length > this.counts.length) this.#grow(other.counts.length - 1);
    for (let i = 0; i < other.counts.length; i++) (this.counts[i] as number) += other.counts[i] as number;
    this.total += other.total;
    this.sum += other.sum;
  }

  clear(): void {
    this.counts.fill(0);
    this.total = 0;
    this.sum = 0;
  }

  /** Samples of every bucket that begins at `edge` or below (Prometheus' `le`), as circllhist counts them. */
  countUpTo(edge: number): number {
    let count = 0;
    for (let i = 0; i < this.counts.length && bucketFloor(i) <= edge; i++) count += this.counts[i] as number;
    return count;
  }

  /**
   * Values at `quantiles` (ascending, 0 … 1); NaN when nothing was recorded. The k-th of n samples in a bucket is taken
   * to lie k/(n+1) of its width in, as Envoy's `/stats` shows.
   */
  quantiles(quantiles: readonly number[]): number[] {
    if (this.total === 0) return quantiles.map(() => Number.NaN);
    const values: number[] = [];
    let index = this.#nextUsed(-1);
    let below = 0;
    for (const quantile of quantiles) {
      // Guards against 0.1 + 0.2: a rank that is whole but for the last bit is that rank.
      const rank = Math.max(1, Math.ceil(quantile * this.total - 1e-9));
      while (below + (this.counts[index] as number) < rank) {
        below += this.counts[index] as number;
        index = this.#nextUsed(index);
      }
      values.push(bucketFloor(index) + (bucketWidth(index) * (rank - below)) / ((this.counts[index] as number) + 1));
    }
    return values;
  }

  /** Buckets that hold something: lower edge, width, count. */
  *buckets(): Generator<{ readonly floor: number; readonly width: number; readonly count: number }> {
    for (let i = 0; i < this.counts.length; i++) {
      const count = this.counts[i] as number;
      if (count > 0) yield { floor: bucketFloor(i), width: bucketWidth(i), count };
    }
  }

  #nextUsed(after: number): number {
    for (let i = after + 1; i < this.counts.length; i++) if ((this.counts[i] as number) > 0) return i;
    return after;
  }

  #grow(index: number): void {
    const decades = index < EXACT ? 0 : Math.floor((index - EXACT) / PER_DECADE) + 1;
    const grown = new Uint32Array(EXACT + decades * PER_DECADE);
    grown.set(this.counts);
    this.counts = grown;
  }
}
