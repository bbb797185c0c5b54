/**
 * Routes may lead to a new cluster only when it serves, and a proxy lets a cluster serve when it has its endpoints: until
 * then pushes of listeners and routes wait.
 */
export class Warming {
  /** EDS names of clusters that were sent and whose endpoints were not. */
  readonly #waiting = new Set<string>();
  readonly #unsent = new Set<string>();
  /** Nonce of an EDS response → the names among `#waiting` that it holds. */
  readonly #answering = new Map<string, readonly string[]>();

  get isOver(): boolean {
    return this.#waiting.size === 0;
  }

  /** Names whose endpoints must go out once more, even to a proxy that has them: their clusters were sent since. */
  get unsent(): Iterable<string> {
    return this.#unsent;
  }

  clustersSent(endpointNames: Iterable<string>): void {
    for (const name of endpointNames) {
      this.#waiting.add(name);
      this.#unsent.add(name);
    }
  }

  endpointsSent(names: readonly string[], nonce: string): void {
    for (const name of names) this.#unsent.delete(name);
    const warming = names.filter((name) => this.#waiting.has(name));
    if (warming.length > 0) this.#answering.set(nonce, warming);
  }

  /** A proxy that refuses endpoints does not wait for them, either. */
  endpointsAnswered(nonce: string): void {
    for (const name of this.#answering.get(nonce) ?? []) this.#waiting.delete(name);
    this.#answering.delete(nonce);
  }

  /** The clusters were refused, or it takes too long: routes go out as they are. */
  giveUp(): void {
    this.#waiting.clear();
    this.#unsent.clear();
    this.#answering.clear();
  }
}
