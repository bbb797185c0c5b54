/** A thread that ends the process when one input is run for too long, and tells the input: an endless loop tells nothing. */
import { Worker } from "node:worker_threads";

const MAX_BYTES = 1 << 16;
const PATIENCE_MS = 15_000;

const SOURCE = `
const { workerData } = require("node:worker_threads");
const state = new Int32Array(workerData.shared, 0, 2);
const bytes = new Uint8Array(workerData.shared, 8);
let before = -1;
setInterval(() => {
  if (state[0] === before && before > 0) {
    require("node:fs").writeSync(2, "HANGS " + JSON.stringify(Buffer.from(bytes.slice(0, state[1])).toString("latin1")) + "\\n");
    process.kill(process.pid, "SIGKILL");
  }
  before = state[0];
}, workerData.patience);
`;

export interface Watchdog {
  readonly onInput: (bytes: Buffer) => void;
  close(): void;
}

export function watchForHang(): Watchdog {
  const shared = new SharedArrayBuffer(8 + MAX_BYTES);
  const state = new Int32Array(shared, 0, 2);
  const copy = new Uint8Array(shared, 8);
  const worker = new Worker(SOURCE, { eval: true, workerData: { shared, patience: PATIENCE_MS } });
  worker.unref();
  return {
    onInput(bytes) {
      copy.set(bytes.subarray(0, MAX_BYTES));
      state[1] = Math.min(bytes.length, MAX_BYTES);
      state[0] = ((state[0] ?? 0) + 1) & 0x3fffffff;
    },
    close: () => void worker.terminate(),
  };
}
