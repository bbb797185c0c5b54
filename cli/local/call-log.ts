/** The calls that a sidecar made for its application: one JSON line each, written by the sidecar itself. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

export interface LoggedCall {
  /** x-request-id. */
  readonly id: string;
  readonly code: number;
  readonly flags: string;
  readonly details: string;
  /** `ip:port` of the endpoint that answered, or "" when none was reached. */
  readonly host: string;
  readonly cluster: string;
  readonly authority: string;
  readonly durationMs: number;
}

/** Reads what was appended since the last `read`. A half-written last line waits for its rest. */
export class CallLogReader {
  readonly #path: string;
  #offset: number;
  #rest = "";

  /** Starts at the present end of the file, or at 0 when it does not exist yet. */
  constructor(path: string) {
    this.#path = path;
    this.#offset = sizeOf(path);
  }

  read(): readonly LoggedCall[] {
    const text = this.#readNew();
    if (text === "") return [];
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    const calls: LoggedCall[] = [];
    for (const line of lines) {
      const call = parseCall(line);
      if (call !== undefined) calls.push(call);
    }
    return calls;
  }

  #readNew(): string {
    let file: number;
    try {
      file = openSync(this.#path, "r");
    } catch {
      return "";
    }
    try {
      const size = fstatSync(file).size;
      if (size < this.#offset) this.#offset = 0;
      const buffer = Buffer.alloc(size - this.#offset);
      const length = readSync(file, buffer, 0, buffer.length, this.#offset);
      this.#offset += length;
      return buffer.toString("utf8", 0, length);
    } finally {
      closeSync(file);
    }
  }
}

/** The 15th character of a request id says why it is traced (or not): a proxy may change it. */
export function requestIdKey(id: string): string {
  return id.slice(0, 14) + id.slice(15);
}

function parseCall(line: string): LoggedCall | undefined {
  try {
    const entry = JSON.parse(line) as Record<string, unknown>;
    return {
      id: text(entry["id"]),
      code: Number(entry["code"] ?? 0),
      flags: text(entry["flags"]) || "-",
      details: text(entry["details"]),
      host: text(entry["host"]),
      cluster: text(entry["cluster"]),
      authority: text(entry["authority"]),
      durationMs: Number(entry["duration"] ?? 0),
    };
  } catch {
    return undefined;
  }
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function sizeOf(path: string): number {
  try {
    const file = openSync(path, "r");
    try {
      return fstatSync(file).size;
    } finally {
      closeSync(file);
    }
  } catch {
    return 0;
  }
}
