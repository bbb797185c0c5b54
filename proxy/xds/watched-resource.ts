/** One name that somebody wants, with its watchers. */
import type { Problem } from "#lib/problem.ts";
import type { Clock, Timer } from "#lib/runtime.ts";
import { countRejected, countSuccess } from "./subscription-stats.ts";
import type { ResourceWatcher, XdsResource } from "./types.ts";

interface Entry {
  readonly watcher: ResourceWatcher;
  timer: Timer | undefined;
}

export class WatchedResource {
  readonly #clock: Clock;
  readonly #entries = new Set<Entry>();
  #state: "waiting" | "absent" | XdsResource = "waiting";
  #bytes: Uint8Array | undefined;
  /** `version_info` of the response that came last: what the statistics show. */
  #version = "";

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isUnwatched(): boolean {
    return this.#entries.size === 0;
  }

  /** Adds a watcher; it hears at once of a resource that is there. Returns what ends it. */
  watch(watcher: ResourceWatcher, timeoutMs: number): () => void {
    const entry: Entry = { watcher, timer: undefined };
    this.#entries.add(entry);
    watcher.stats?.updateAttempt.inc();
    if (typeof this.#state === "object") {
      this.#deliver(entry, this.#state);
    } else if (timeoutMs > 0) {
      entry.timer = this.#clock.setTimer(timeoutMs, () => {
        entry.timer = undefined;
        watcher.stats?.initFetchTimeout.inc();
        watcher.onAbsent("timeout");
      });
    }
    return () => {
      entry.timer?.cancel();
      this.#entries.delete(entry);
    };
  }

  /** Whether these bytes are what is there already. */
  holds(bytes: Uint8Array | undefined): boolean {
    return bytes !== undefined && this.#bytes !== undefined && Buffer.compare(bytes, this.#bytes) === 0;
  }

  /** A response repeated what is there: it counts, and changes nothing. */
  confirm(version: string): void {
    this.#version = version;
    const nowMs = this.#clock.now();
    this.forEachWatcher(({ stats }) => {
      if (stats !== undefined) countSuccess(stats, version, nowMs, 0);
    });
  }

  /** Hands a new version to all; it stays unless all of them refuse it. Returns the reasons of those that do. */
  update(resource: XdsResource, bytes: Uint8Array | undefined, version: string): readonly Problem[] {
    this.#version = version;
    const refused: Problem[] = [];
    let isTaken = this.isUnwatched;
    for (const entry of this.#entries) {
      const errors = this.#deliver(entry, resource);
      if (errors.length === 0) isTaken = true;
      refused.push(...errors);
    }
    if (isTaken) {
      this.#state = resource;
      this.#bytes = bytes;
    }
    return refused;
  }

  /** `version` is that of the response which said so: it counts as any other. */
  remove(version?: string): void {
    this.#state = "absent";
    this.#bytes = undefined;
    if (version !== undefined) this.confirm(version);
    for (const entry of this.#entries) {
      settle(entry);
      entry.watcher.onAbsent("removed");
    }
  }

  reject(problems: readonly Problem[]): void {
    for (const entry of this.#entries) {
      settle(entry);
      const { watcher } = entry;
      if (watcher.stats !== undefined) countRejected(watcher.stats);
      if (watcher.onRejected !== undefined) watcher.onRejected(problems);
      else if (typeof this.#state !== "object") watcher.onAbsent("timeout");
    }
  }

  forEachWatcher(visit: (watcher: ResourceWatcher) => void): void {
    for (const { watcher } of this.#entries) visit(watcher);
  }

  close(): void {
    for (const entry of this.#entries) settle(entry);
    this.#entries.clear();
  }

  #deliver(entry: Entry, resource: XdsResource): readonly Problem[] {
    settle(entry);
    const { watcher } = entry;
    const startedAt = this.#clock.monotonic();
    const errors = watcher.onResource(resource).filter(({ level }) => level === "error");
    if (watcher.stats !== undefined) {
      if (errors.length > 0) countRejected(watcher.stats);
      else countSuccess(watcher.stats, this.#version, this.#clock.now(), this.#clock.monotonic() - startedAt);
    }
    return errors;
  }
}

function settle(entry: Entry): void {
  entry.timer?.cancel();
  entry.timer = undefined;
}
