/** Everything about one resource type: who wants what, what is there, what a response changes. */
import type { Clock, Timer } from "#lib/runtime.ts";
import type { Problem } from "#lib/problem.ts";
import type { XdsRequest } from "./ads-transport.ts";
import type { ReceivedResource } from "./decode-resource.ts";
import { countFailure, countRejected } from "./subscription-stats.ts";
import { WILDCARD, type Interest, type ReceivedUpdate, type TypeProtocol } from "./type-protocol.ts";
import type { RejectedResource, ResourceWatcher, WildcardHandler } from "./types.ts";
import { WatchedResource } from "./watched-resource.ts";
import { Wildcard } from "./wildcard.ts";

export class TypeState implements Interest {
  readonly typeUrl: string;
  readonly protocol: TypeProtocol;
  /** How many hold requests back. */
  pauses = 0;
  readonly #clock: Clock;
  #wildcard: Wildcard | undefined;
  readonly #watched = new Map<string, WatchedResource>();
  /** Names without watchers of which the server has not been told yet. */
  readonly #leaving = new Map<string, WatchedResource>();
  readonly #versions = new Map<string, string>();
  readonly #ttls = new Map<string, Timer>();

  constructor(typeUrl: string, protocol: TypeProtocol, clock: Clock) {
    this.typeUrl = typeUrl;
    this.protocol = protocol;
    this.#clock = clock;
  }

  get isWildcard(): boolean {
    return this.#wildcard !== undefined;
  }

  get names(): Iterable<string> {
    return this.#watched.keys();
  }

  get isEmpty(): boolean {
    return this.#wildcard === undefined && this.#watched.size === 0;
  }

  get versions(): ReadonlyMap<string, string> {
    return this.#versions;
  }

  setWildcard(handler: WildcardHandler, timeoutMs: number): () => void {
    if (this.#wildcard !== undefined) throw new Error(`${this.typeUrl} has a wildcard handler already`);
    const wildcard = new Wildcard(this.#clock, handler, timeoutMs);
    this.#wildcard = wildcard;
    this.protocol.subscribed(WILDCARD);
    return () => {
      if (this.#wildcard !== wildcard) return;
      wildcard.close();
      this.#wildcard = undefined;
      for (const name of this.#versions.keys()) if (!this.#watched.has(name)) this.#forget(name);
      this.protocol.unsubscribed(WILDCARD);
    };
  }

  watch(name: string, watcher: ResourceWatcher, timeoutMs: number): () => void {
    let entry = this.#watched.get(name);
    if (entry === undefined) {
      entry = this.#leaving.get(name) ?? new WatchedResource(this.#clock);
      this.#leaving.delete(name);
      this.#watched.set(name, entry);
      this.protocol.subscribed(name);
    }
    const watched = entry;
    const stop = watched.watch(watcher, timeoutMs);
    return () => {
      stop();
      if (!watched.isUnwatched || this.#watched.get(name) !== watched) return;
      this.#watched.delete(name);
      if (!this.protocol.asksAnew) this.#leaving.set(name, watched);
      if (this.#wildcard === undefined) this.#forget(name);
      this.protocol.unsubscribed(name);
    };
  }

  /** A new stream: its server knows nothing yet. */
  restart(): void {
    this.#leaving.clear();
    this.protocol.restart();
  }

  /** The next request; call while the protocol has one. */
  takeRequest(): XdsRequest {
    this.#leaving.clear();
    return this.protocol.takeRequest(this);
  }

  /** Applies what is good of a response; returns what is not. */
  apply(update: ReceivedUpdate): readonly RejectedResource[] {
    const duplicate = duplicateName(update);
    if (duplicate !== undefined) {
      this.#rejectAll();
      return [{ name: "", problems: [{ code: "duplicate-resource", level: "error", path: "", message: duplicate }] }];
    }
    const rejected: RejectedResource[] = [];
    const good: ReceivedResource[] = [];
    for (const resource of update.resources) {
      this.#refreshTtl(resource);
      if (resource.problems.length > 0) {
        rejected.push({ name: resource.name, problems: resource.problems });
        this.#watched.get(resource.name)?.reject(resource.problems);
      } else if (resource.message === undefined) {
        for (const alias of resource.aliases) this.#watched.get(alias)?.remove(update.version);
      } else {
        good.push(resource);
      }
    }
    if (this.#wildcard !== undefined) rejected.push(...this.#wildcard.update(update, good, rejected.length > 0));
    for (const resource of good) rejected.push(...this.#updateWatched(resource, update));
    for (const name of update.removed) this.#watched.get(name)?.remove(update.version);
    this.#applyErrors(update);
    this.#rememberVersions(good, update.removed, rejected);
    return rejected;
  }

  /** The stream could not be opened or ended. */
  countConnectionFailure(): void {
    const count = ({ stats }: WildcardHandler | ResourceWatcher): void => {
      if (stats !== undefined) countFailure(stats);
    };
    if (this.#wildcard !== undefined) count(this.#wildcard.handler);
    for (const watched of this.#watched.values()) watched.forEachWatcher(count);
  }

  close(): void {
    this.#wildcard?.close();
    for (const watched of this.#watched.values()) watched.close();
    for (const timer of this.#ttls.values()) timer.cancel();
    this.#ttls.clear();
  }

  #updateWatched({ name, version, message, bytes }: ReceivedResource, update: ReceivedUpdate): RejectedResource[] {
    const watched = this.#watched.get(name) ?? this.#leaving.get(name);
    // What nobody asked for is ignored.
    if (watched === undefined || message === undefined) return [];
    // A state-of-the-world response repeats what has not changed.
    if (update.isWhole && watched.holds(bytes)) {
      watched.confirm(update.version);
      return [];
    }
    const problems = watched.update({ name, version, message }, update.isWhole ? bytes : undefined, update.version);
    return problems.length > 0 ? [{ name, problems }] : [];
  }

  #applyErrors({ errors }: ReceivedUpdate): void {
    for (const { name, isMissing, message } of errors) {
      const problem: Problem = { code: "server-error", level: "error", path: "", message };
      if (isMissing) this.#watched.get(name)?.remove();
      else this.#watched.get(name)?.reject([problem]);
    }
  }

  /**
   * What is there is told after a reconnect: of what was refused the old version, so that the server sends it again.
   * Differs from Envoy, which keeps the old versions of a whole refused response although it has applied the good ones; a
   * cluster that came with such a response and goes while the stream is down would then stay for ever.
   */
  #rememberVersions(
    good: readonly ReceivedResource[],
    removed: readonly string[],
    rejected: readonly RejectedResource[],
  ): void {
    const refused = new Set(rejected.map(({ name }) => name));
    for (const { name, version } of good) {
      if (refused.has(name)) continue;
      if (this.#wildcard !== undefined || this.#watched.has(name)) this.#versions.set(name, version);
    }
    for (const name of removed) this.#forget(name);
  }

  #forget(name: string): void {
    this.#versions.delete(name);
    this.#ttls.get(name)?.cancel();
    this.#ttls.delete(name);
  }

  /** A TTL counts from the last time that the resource, or a heartbeat for it, came. */
  #refreshTtl({ name, ttlMs, message, version }: ReceivedResource): void {
    if (message === undefined && this.#versions.get(name) !== version) return;
    this.#ttls.get(name)?.cancel();
    this.#ttls.delete(name);
    if (ttlMs === undefined) return;
    const expire = (): void => {
      this.#forget(name);
      this.#wildcard?.expire(name);
      this.#watched.get(name)?.remove();
    };
    this.#ttls.set(name, this.#clock.setTimer(ttlMs, expire));
  }

  #rejectAll(): void {
    this.#wildcard?.reject();
    for (const watched of this.#watched.values()) {
      watched.forEachWatcher(({ stats }) => {
        if (stats !== undefined) countRejected(stats);
      });
    }
  }
}

/** */
function duplicateName({ resources, removed }: ReceivedUpdate): string | undefined {
  const seen = new Set<string>();
  for (const { name } of resources) {
    if (name === "") continue;
    if (seen.has(name)) return `duplicate name ${name} found among added/updated resources`;
    seen.add(name);
  }
  for (const name of removed) {
    if (seen.has(name)) return `duplicate name ${name} found in the union of added+removed resources`;
    seen.add(name);
  }
  return undefined;
}
