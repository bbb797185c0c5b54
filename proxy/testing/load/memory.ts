/** What Linux says of the memory and the CPU time of a process. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";

/** False where there is no /proc. */
export const canReadMemory: boolean = existsSync("/proc/self/status");

export interface Memory {
  readonly residentBytes: number;
  /** The most since `resetPeak`. */
  readonly peakBytes: number;
}

export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const bytes = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * 1024;
  return { residentBytes: bytes("VmRSS"), peakBytes: bytes("VmHWM") };
}

/** From now on the peak counts from what is resident. */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}
