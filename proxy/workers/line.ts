/**
 * The line between the main thread and one worker: each side can tell the other something, or ask and be answered. The main
 * thread can also wait for answers without letting anything else happen; a worker never does, so that they can't block
 * each other.
 */
import { receiveMessageOnPort, type MessagePort } from "node:worker_threads";
import { MeshError, type Problem } from "#lib/problem.ts";

/** What can be asked: operation → what it takes and gives. Values are copied, as by `structuredClone`. */
export type Operations = Readonly<Record<string, { readonly takes: unknown; readonly gives: unknown }>>;

export type Handlers<O extends Operations> = {
  readonly [K in keyof O]: (value: O[K]["takes"]) => O[K]["gives"] | Promise<O[K]["gives"]>;
};

type Envelope =
  | { readonly kind: "call"; readonly id: number; readonly operation: string; readonly value: unknown }
  | { readonly kind: "answer"; readonly id: number; readonly value: unknown }
  | { readonly kind: "failure"; readonly id: number; readonly message: string; readonly problems: readonly Problem[] };

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** An operation that nobody waits for. */
const NOBODY = 0;
/** A worker that does not answer for so long is stuck: the process ends rather than to serve two configurations. */
const PATIENCE_MS = 60_000;
const LOOK_MS = 1000;

/** `Own`: what is answered here; `Other`: what the other side answers. */
export class Line<Own extends Operations, Other extends Operations> {
  readonly #port: MessagePort;
  readonly #bell: Int32Array;
  readonly #onError: (error: unknown) => void;
  readonly #pending = new Map<number, Pending>();
  #handlers: Handlers<Own> | undefined = undefined;
  /** Calls that came while an answer was waited for. */
  readonly #postponed: Extract<Envelope, { kind: "call" }>[] = [];
  #nextId = 1;

  /** `bell` is rung with each message, for who waits. `onError`: an operation that nobody waits for has failed. */
  constructor(port: MessagePort, bell: Int32Array, onError: (error: unknown) => void) {
    this.#port = port;
    this.#bell = bell;
    this.#onError = onError;
  }

  /** Begins to listen; the line keeps the thread alive from here on. */
  open(handlers: Handlers<Own>): void {
    this.#handlers = handlers;
    this.#port.on("message", (envelope: Envelope) => this.#onMessage(envelope));
  }

  tell<K extends keyof Other & string>(operation: K, value: Other[K]["takes"]): void {
    this.#post({ kind: "call", id: NOBODY, operation, value });
  }

  ask<K extends keyof Other & string>(operation: K, value: Other[K]["takes"]): Promise<Other[K]["gives"]> {
    return new Promise((resolve, reject) => {
      this.#call(operation, value, { resolve: (answer) => resolve(answer as Other[K]["gives"]), reject });
    });
  }

  close(): void {
    this.#port.close();
    for (const { reject } of this.#pending.values()) reject(new Error("the line is closed"));
    this.#pending.clear();
  }

  /**
   * Asks all of them and waits, in the order of the lines. What the workers ask meanwhile is done when all have answered,
   * before this returns.
   */
  static askNow<Own extends Operations, Other extends Operations, K extends keyof Other & string>(
    lines: readonly Line<Own, Other>[],
    operation: K,
    value: Other[K]["takes"],
  ): Other[K]["gives"][] {
    const answers: Other[K]["gives"][] = [];
    let left = lines.length;
    let failure: Error | undefined;
    for (const [index, line] of lines.entries())
      line.#call(operation, value, {
        resolve(answer) {
          answers[index] = answer as Other[K]["gives"];
          left--;
        },
        reject(error) {
          failure ??= error;
          left--;
        },
      });
    // Time stands still for this thread while it waits: only the waiting itself is counted.
    let patience = PATIENCE_MS;
    const [first] = lines;
    const bell = first === undefined ? undefined : first.#bell;
    while (bell !== undefined && left > 0) {
      const heard = Atomics.load(bell, 0);
      for (const line of lines) line.#drain();
      if (left === 0) break;
      if (Atomics.wait(bell, 0, heard, LOOK_MS) === "timed-out" && (patience -= LOOK_MS) <= 0) {
        const stuck = new MeshError("worker-stuck", `a worker did not answer '${operation}' for ${PATIENCE_MS} ms`);
        for (const line of lines) line.#onError(stuck);
        throw stuck;
      }
    }
    for (const line of lines) line.#goOn();
    if (failure !== undefined) throw failure;
    return answers;
  }

  #drain(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { readonly message: Envelope } | undefined;
      if (received === undefined) return;
      if (received.message.kind === "call") this.#postponed.push(received.message);
      else this.#onMessage(received.message);
    }
  }

  #goOn(): void {
    for (const call of this.#postponed.splice(0)) this.#onMessage(call);
  }

  #call(operation: string, value: unknown, pending: Pending): void {
    const id = this.#nextId++;
    this.#pending.set(id, pending);
    this.#post({ kind: "call", id, operation, value });
  }

  #post(envelope: Envelope): void {
    this.#port.postMessage(envelope);
    Atomics.add(this.#bell, 0, 1);
    Atomics.notify(this.#bell, 0);
  }

  #onMessage(envelope: Envelope): void {
    switch (envelope.kind) {
      case "call":
        this.#answer(envelope);
        break;
      case "answer":
        this.#take(envelope.id)?.resolve(envelope.value);
        break;
      case "failure":
        this.#take(envelope.id)?.reject(new MeshError("worker", envelope.message, envelope.problems));
        break;
    }
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  #answer({ id, operation, value }: Extract<Envelope, { kind: "call" }>): void {
    const fail = (error: unknown): void => {
      if (id === NOBODY) {
        this.#onError(error);
        return;
      }
      const message = error instanceof Error ? error.message : String(error);
      this.#post({ kind: "failure", id, message, problems: error instanceof MeshError ? error.problems : [] });
    };
    const give = (answer: unknown): void => {
      if (id !== NOBODY) this.#post({ kind: "answer", id, value: answer });
    };
    try {
      const answer: unknown = this.#handlers?.[operation]?.(value);
      if (answer instanceof Promise) answer.then(give, fail);
      else give(answer);
    } catch (error) {
      fail(error);
    }
  }
}
