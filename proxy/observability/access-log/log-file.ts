/** An access-log file: lines are gathered and written in pieces of 64 KiB, or each second. */
import { closeSync, openSync, write, writeSync } from "node:fs";
import { MeshError } from "#lib/problem.ts";
import type { Runtime, Timer } from "#lib/runtime.ts";
import { writeLatin1 } from "../../http/http1/latin1.ts";
import type { Counter, Gauge, StatsScope } from "../stats.ts";
import type { LineSink } from "./types.ts";

const FLUSH_BYTES = 64 * 1024;
/** Room for the line that crosses the limit. */
const BUFFER_BYTES = FLUSH_BYTES + 16 * 1024;
/** A pipe that is full is tried again. */
const RETRY_MS = 10;

/** The process' own streams; they are neither opened nor closed. */
const STANDARD: Readonly<Record<string, number>> = {
  "/dev/stdout": 1,
  "/dev/fd/1": 1,
  "/proc/self/fd/1": 1,
  "/dev/stderr": 2,
  "/dev/fd/2": 2,
  "/proc/self/fd/2": 2,
};

export interface FileStats {
  readonly buffered: Counter;
  readonly completed: Counter;
  readonly failed: Counter;
  readonly byTimer: Counter;
  readonly reopenFailed: Counter;
  readonly totalBuffered: Gauge;
}

/** `filesystem.` */
export function fileStats(scope: StatsScope): FileStats {
  const filesystem = scope.scope("filesystem");
  return {
    buffered: filesystem.counter("write_buffered"),
    completed: filesystem.counter("write_completed"),
    failed: filesystem.counter("write_failed"),
    byTimer: filesystem.counter("flushed_by_timer"),
    reopenFailed: filesystem.counter("reopen_failed"),
    totalBuffered: filesystem.gauge("write_total_buffered"),
  };
}

/** Held while bytes go to a file that several threads write: lines stay whole where the system takes a piece at a time. */
export class FileLock {
  readonly #cells: Int32Array;

  constructor(cells: Int32Array) {
    this.#cells = cells;
  }

  tryTake(): boolean {
    return Atomics.compareExchange(this.#cells, 0, 0, 1) === 0;
  }

  /** Waits, without the loop going on, for the other threads: at the end of the process, and when a file is exchanged. */
  take(): void {
    while (!this.tryTake()) Atomics.wait(this.#cells, 0, 1, RETRY_MS);
  }

  release(): void {
    Atomics.store(this.#cells, 0, 0);
    Atomics.notify(this.#cells, 0);
  }
}

/**
 * One open file. At most one write is under way; what comes meanwhile is gathered in another buffer. A line is bytes as
 * soon as it is complete: the pieces that it was joined from would otherwise live until the file is written.
 */
export class LogFile implements LineSink {
  readonly #path: string;
  readonly #runtime: Runtime;
  readonly #stats: FileStats;
  readonly #flushMs: number;
  readonly #lock: FileLock | undefined;
  #descriptor: number;
  #gathered: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #length = 0;
  /** The buffer that is not gathered into, when it is of the usual size and not under way. */
  #spare: Buffer | undefined = undefined;
  /** Under way to the system. */
  #writing: Buffer | undefined = undefined;
  #timer: Timer | undefined = undefined;
  #onWritten: (() => void) | undefined = undefined;
  #isClosed = false;

  /** `lock`: where other threads write to the same file. */
  constructor(path: string, runtime: Runtime, stats: FileStats, flushMs: number, lock?: FileLock) {
    this.#path = path;
    this.#lock = lock;
    this.#runtime = runtime;
    this.#stats = stats;
    this.#flushMs = flushMs;
    this.#descriptor = openFile(path);
  }

  append(line: string): void {
    if (this.#length + line.length > this.#gathered.length) this.#grow(line.length);
    this.#length += writeLatin1(this.#gathered, line, this.#length);
    this.#stats.buffered.value++;
    if (this.#length >= FLUSH_BYTES) this.#flush();
    else if (this.#timer === undefined) this.#arm();
  }

  /** Waits for the write under way: its bytes belong to the old file. */
  reopen(): void {
    if (STANDARD[this.#path] !== undefined) return;
    if (this.#writing !== undefined) {
      this.#onWritten = () => this.reopen();
      return;
    }
    this.#writeNow();
    try {
      const next = openFile(this.#path);
      closeSync(this.#descriptor);
      this.#descriptor = next;
    } catch {
      this.#stats.reopenFailed.inc();
    }
  }

  close(): Promise<void> {
    this.#timer?.cancel();
    return new Promise((resolve) => {
      const finish = (): void => {
        this.#writeNow();
        if (STANDARD[this.#path] === undefined) closeSync(this.#descriptor);
        this.#isClosed = true;
        resolve();
      };
      if (this.#writing === undefined) finish();
      else this.#onWritten = finish;
    });
  }

  #arm(): void {
    this.#timer = this.#runtime.clock.setTimer(this.#flushMs, () => {
      this.#timer = undefined;
      this.#stats.byTimer.inc();
      this.#flush();
    });
  }

  /** The file is slower than the lines come, or a line is longer than any should be. */
  #grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#gathered.length * 2, this.#length + needed));
    this.#gathered.copy(larger, 0, 0, this.#length);
    this.#gathered = larger;
  }

  #flush(): void {
    if (this.#writing !== undefined || this.#length === 0 || this.#isClosed) return;
    this.#writing = this.#take();
    this.#stats.totalBuffered.set(this.#writing.length);
    this.#writeOn(this.#writing);
  }

  /** What is gathered; the next lines go into the other buffer. */
  #take(): Buffer {
    const bytes = this.#gathered.subarray(0, this.#length);
    this.#gathered = this.#spare ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
    this.#spare = undefined;
    this.#length = 0;
    return bytes;
  }

  /** Keeps a buffer that was written for the next time. */
  #giveBack(bytes: Buffer): void {
    if (bytes.buffer.byteLength === BUFFER_BYTES) this.#spare = Buffer.from(bytes.buffer as ArrayBuffer);
  }

  #writeOn(bytes: Buffer, isLocked = this.#lock === undefined): void {
    if (!isLocked && this.#lock?.tryTake() === false) {
      this.#runtime.clock.setTimer(RETRY_MS, () => this.#writeOn(bytes));
      return;
    }
    write(this.#descriptor, bytes, (error, written) => {
      if (error?.code === "EAGAIN") {
        this.#runtime.clock.setTimer(RETRY_MS, () => this.#writeOn(bytes, true));
      } else if (error === null && written < bytes.length) {
        this.#writeOn(bytes.subarray(written), true);
      } else {
        if (error === null) this.#stats.completed.inc();
        else this.#stats.failed.inc();
        this.#lock?.release();
        this.#written();
      }
    });
  }

  #written(): void {
    if (this.#writing !== undefined) this.#giveBack(this.#writing);
    this.#writing = undefined;
    this.#stats.totalBuffered.set(this.#length);
    const onWritten = this.#onWritten;
    this.#onWritten = undefined;
    onWritten?.();
    if (this.#length >= FLUSH_BYTES) this.#flush();
    else if (this.#length > 0 && this.#timer === undefined && !this.#isClosed) this.#arm();
  }

  /** Synchronously, for the end of the process and before a file is exchanged. */
  #writeNow(): void {
    const bytes = this.#take();
    if (bytes.length === 0) return;
    this.#lock?.take();
    this.#writeAll(bytes);
    this.#lock?.release();
  }

  #writeAll(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      try {
        at += writeSync(this.#descriptor, bytes, at);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EAGAIN") continue;
        this.#stats.failed.inc();
        return;
      }
    }
  }
}

function openFile(path: string): number {
  const standard = STANDARD[path];
  if (standard !== undefined) return standard;
  try {
    return openSync(path, "a", 0o644);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MeshError(
      "access-log-file",
      `unable to open the access log file '${path}': ${reason}. Create its directory, or name a file that may be written`,
    );
  }
}
