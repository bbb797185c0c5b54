/** The one handler of a wildcard type, and what it has been given. */
import type { Clock, Timer } from "#lib/runtime.ts";
import type { ReceivedResource } from "./decode-resource.ts";
import { countRejected, countSuccess } from "./subscription-stats.ts";
import type { ReceivedUpdate } from "./type-protocol.ts";
import type { RejectedResource, WildcardHandler, XdsResource } from "./types.ts";

export class Wildcard {
  readonly handler: WildcardHandler;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #hasHeard = false;
  /** Name → serialized form of what is in force, where responses repeat it; it keeps the whole response in memory. */
  readonly #applied = new Map<string, Uint8Array | undefined>();

  constructor(clock: Clock, handler: WildcardHandler, timeoutMs: number) {
    this.handler = handler;
    this.#clock = clock;
    handler.stats?.updateAttempt.inc();
    if (timeoutMs <= 0) return;
    this.#timer = clock.setTimer(timeoutMs, () => {
      this.#timer = undefined;
      handler.stats?.initFetchTimeout.inc();
      handler.onFetchTimeout();
    });
  }

  /**
   * Hands over what is new of `good`, and what is gone. Of a whole response that is all that is in force and not in it,
   * unless a resource could not be read: then nobody knows which. Returns what the handler refuses.
   */
  update(update: ReceivedUpdate, good: readonly ReceivedResource[], hasRejected: boolean): readonly RejectedResource[] {
    const { isWhole, version } = update;
    this.#timer?.cancel();
    this.#timer = undefined;
    const added = good.filter(({ name, bytes }) => !isWhole || !this.#holds(name, bytes));
    const gone = isWhole ? this.#absentFrom(update) : update.removed;
    if (this.#hasHeard && added.length === 0 && gone.length === 0) {
      this.#count(hasRejected, version, 0);
      return [];
    }
    this.#hasHeard = true;
    const startedAt = this.#clock.monotonic();
    const rejected = this.handler.onUpdate(added.flatMap(resourceOf), gone);
    const refused = new Set(rejected.map(({ name }) => name));
    for (const { name, bytes } of added) if (!refused.has(name)) this.#applied.set(name, isWhole ? bytes : undefined);
    for (const name of gone) if (!refused.has(name)) this.#applied.delete(name);
    this.#count(hasRejected || rejected.length > 0, version, this.#clock.monotonic() - startedAt);
    return rejected;
  }

  /** The TTL of one ran out. */
  expire(name: string): void {
    if (!this.#applied.delete(name)) return;
    this.handler.onUpdate([], [name]);
  }

  /** A response was refused as a whole. */
  reject(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.handler.stats !== undefined) countRejected(this.handler.stats);
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #absentFrom({ resources }: ReceivedUpdate): string[] {
    if (resources.some(({ name }) => name === "")) return [];
    const present = new Set(resources.map(({ name }) => name));
    return [...this.#applied.keys()].filter((name) => !present.has(name));
  }

  #holds(name: string, bytes: Uint8Array | undefined): boolean {
    const applied = this.#applied.get(name);
    return applied !== undefined && bytes !== undefined && Buffer.compare(applied, bytes) === 0;
  }

  #count(isRejected: boolean, version: string, durationMs: number): void {
    const { stats } = this.handler;
    if (stats === undefined) return;
    if (isRejected) countRejected(stats);
    else countSuccess(stats, version, this.#clock.now(), durationMs);
  }
}

function resourceOf({ name, version, message }: ReceivedResource): XdsResource[] {
  return message === undefined ? [] : [{ name, version, message }];
}
