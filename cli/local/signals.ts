/** Ctrl-C and its kin: the first asks for an orderly end, the second does not wait for it. */
export interface EndingSignals {
  readonly signal: AbortSignal;
  /** Resolves at the first signal. */
  readonly ended: Promise<void>;
  /** As if the first signal had come. */
  end(): void;
  close(): void;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export function endingSignals(): EndingSignals {
  const controller = new AbortController();
  const onSignal = (): void => {
    // The guard ends the children when this process is gone.
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  return {
    signal: controller.signal,
    ended: new Promise((resolve) => controller.signal.addEventListener("abort", () => resolve(), { once: true })),
    end: () => controller.abort(),
    close() {
      for (const name of SIGNALS) process.off(name, onSignal);
    },
  };
}
