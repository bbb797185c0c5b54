/** The main thread's side of ports that listeners leave open: the first worker that asks binds one, the others follow. */

interface Agreement {
  /** Undefined: a worker is binding. */
  port: number | undefined;
  holders: number;
  readonly waiting: ((port: number) => void)[];
}

export class PortAgreements {
  readonly #agreements = new Map<string, Agreement>();

  /** 0: bind any, and say `bound`. */
  portOf(key: string): number | Promise<number> {
    const known = this.#agreements.get(key);
    if (known === undefined) {
      this.#agreements.set(key, { port: undefined, holders: 1, waiting: [] });
      return 0;
    }
    known.holders++;
    if (known.port !== undefined) return known.port;
    return new Promise((resolve) => known.waiting.push(resolve));
  }

  /** 0: it could not be had; the next that waits tries. */
  bound(key: string, port: number): void {
    const agreement = this.#agreements.get(key);
    if (agreement === undefined) return;
    if (port === 0) {
      agreement.waiting.shift()?.(0);
      return;
    }
    agreement.port = port;
    for (const resolve of agreement.waiting.splice(0)) resolve(port);
  }

  /** A worker has closed its socket; after the last one the next listener of this name gets a port of its own. */
  released(key: string): void {
    const agreement = this.#agreements.get(key);
    if (agreement !== undefined && --agreement.holders === 0) this.#agreements.delete(key);
  }
}
