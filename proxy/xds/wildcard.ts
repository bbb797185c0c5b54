/** The one handler of a wildcard type, and what it has been given. */
import type { Clock, Timer } from "#lib/runtime.ts";
import type { ReceivedResource } from "./decode-resource.ts";
import { countRejected, countSuccess } from "./subscription-stats.ts";
import type { RejectedResource, WildcardHandler, XdsResource } from "./types.ts";

export class Wildcard {
  readonly handler: WildcardHandler;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #hasHeard = false;
  /** Name → serialized form of what is in force. */
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
   * Hands over what is new. `present` are all names of a whole response: those that are in force and not among them
   * are gone; undefined where absence means nothing. Returns what the handler refuses.
   */
  update(
    received: readonly ReceivedResource[],
    removed: readonly string[],
    present: ReadonlySet<string> | undefined,
    hasRejected: boolean,
    version: string,
  ): readonly RejectedResource[] {
    this.#timer?.cancel();
    this.#timer = undefined;
    const isWhole = present !== undefined;
    const added = received.filter(({ name, bytes }) => !isWhole || !this.#holds(name, bytes));
    const gone = isWhole ? [...this.#applied.keys()].filter((name) => !present.has(name)) : removed;
    if (this.#hasHeard && added.length === 0 && gone.length === 0) {
      this.#count(hasRejected, version, 0);
      return [];
    }
    this.#hasHeard = true;
    const startedAt = this.#clock.monotonic();
    const rejected = this.handler.onUpdate(added.flatMap(resourceOf), gone);
    const refused = new Set(rejected.map(({ name }) => name));
    for (const { name, bytes } of added) if (!refused.has(name)) this.#applied.set(name, bytes);
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
