/** The buckets of one configuration: the default one, those of descriptors, and those that a wildcard makes as it goes. */
import type { RateLimitDescriptor } from "../../../router/rate-limit-policy.ts";
import type { DescriptorBucketConfig, LocalRateLimitConfig } from "./config.ts";
import { TokenBucket } from "../../../token-bucket.ts";

export interface LimiterVerdict {
  readonly isAllowed: boolean;
  /** The bucket that decided, for the headers of the response. */
  readonly bucket: TokenBucket | undefined;
  /** A bucket that only watches was empty. */
  readonly isShadowLimited: boolean;
}

interface Match {
  readonly bucket: TokenBucket;
  readonly isShadow: boolean;
}

export class LocalLimiter {
  readonly #default: TokenBucket | undefined;
  readonly #fixed = new Map<string, Match>();
  readonly #wildcards: readonly Wildcard[];
  readonly #consumesDefault: boolean;

  constructor(config: LocalRateLimitConfig, nowMs: number) {
    const { tokenBucket, descriptors, maxDynamicDescriptors } = config;
    this.#default = tokenBucket === undefined ? undefined : new TokenBucket(tokenBucket, nowMs);
    this.#consumesDefault = config.alwaysConsumesDefault;
    for (const descriptor of descriptors.filter(({ isWildcard }) => !isWildcard))
      this.#fixed.set(keyOf(descriptor), {
        bucket: new TokenBucket(descriptor.bucket, nowMs),
        isShadow: descriptor.isShadow,
      });
    this.#wildcards = descriptors
      .filter(({ isWildcard }) => isWildcard)
      .map((descriptor) => new Wildcard(descriptor, maxDynamicDescriptors));
  }

  /** Takes a token of every bucket that the descriptors ask for, the slowest first, then of the default one. */
  ask(descriptors: readonly RateLimitDescriptor[], nowMs: number): LimiterVerdict {
    const matches = descriptors.map((descriptor) => this.#match(descriptor, nowMs)).filter((one) => one !== undefined);
    matches.sort((a, b) => a.bucket.rate - b.bucket.rate);
    let isShadowLimited = false;
    for (const { bucket, isShadow } of matches) {
      if (bucket.take(nowMs)) continue;
      if (!isShadow) return { isAllowed: false, bucket, isShadowLimited };
      isShadowLimited = true;
    }
    const first = matches[0]?.bucket;
    if (this.#default === undefined || (first !== undefined && !this.#consumesDefault))
      return { isAllowed: true, bucket: first, isShadowLimited };
    const isAllowed = this.#default.take(nowMs);
    return { isAllowed, bucket: isAllowed ? (first ?? this.#default) : this.#default, isShadowLimited };
  }

  #match(descriptor: RateLimitDescriptor, nowMs: number): Match | undefined {
    if (this.#fixed.size > 0) {
      const fixed = this.#fixed.get(keyOf(descriptor));
      if (fixed !== undefined) return fixed;
    }
    for (const wildcard of this.#wildcards) {
      const bucket = wildcard.bucketFor(descriptor, nowMs);
      if (bucket !== undefined) return { bucket, isShadow: wildcard.descriptor.isShadow };
    }
    return undefined;
  }
}

/** A descriptor with a value left empty: each value that comes has a bucket, the longest unused one goes. */
class Wildcard {
  readonly descriptor: DescriptorBucketConfig;
  readonly #max: number;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(descriptor: DescriptorBucketConfig, max: number) {
    this.descriptor = descriptor;
    this.#max = max;
  }

  bucketFor(asked: RateLimitDescriptor, nowMs: number): TokenBucket | undefined {
    const { entries } = this.descriptor;
    if (entries.length !== asked.entries.length) return undefined;
    for (const [index, { key, value }] of entries.entries()) {
      const other = asked.entries[index];
      if (other === undefined || other.key !== key || (value !== "" && other.value !== value)) return undefined;
    }
    const name = keyOf(asked);
    const bucket = this.#buckets.get(name) ?? new TokenBucket(this.descriptor.bucket, nowMs);
    this.#buckets.delete(name); // to the end: it is the one used last
    this.#buckets.set(name, bucket);
    if (this.#buckets.size > this.#max)
      for (const oldest of this.#buckets.keys()) {
        this.#buckets.delete(oldest);
        break;
      }
    return bucket;
  }
}

/** Pairs as one text that no other pairs give. */
export function keyOf({ entries }: Pick<RateLimitDescriptor, "entries">): string {
  return JSON.stringify(entries.map(({ key, value }) => [key, value]));
}
