/** Counts what the start waits for. */

/** Opens once: when everything that was registered before `close` is done. */
export interface InitGate {
  /** Names what is waited for; call the result when it is there. */
  wait(name: string): () => void;
  /** Nothing more will be registered; `onOpen` follows when all is done, at once if it is. */
  whenOpen(onOpen: () => void): void;
  /** What is not there yet. */
  readonly waiting: readonly string[];
}

/** A gate that nothing has passed yet. */
export function createInitGate(): InitGate {
  const waiting = new Map<symbol, string>();
  let onOpen: (() => void) | undefined;
  const check = (): void => {
    if (waiting.size > 0) return;
    const open = onOpen;
    onOpen = undefined;
    open?.();
  };
  return {
    wait(name) {
      const key = Symbol(name);
      waiting.set(key, name);
      return () => {
        if (waiting.delete(key)) check();
      };
    },
    whenOpen(callback) {
      onOpen = callback;
      check();
    },
    get waiting() {
      return [...waiting.values()];
    },
  };
}
