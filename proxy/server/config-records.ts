/** What `/config_dump` tells of resources: which are in force, since when, and what was refused. */
import type { Message } from "@bufbuild/protobuf";
import type { Clock } from "#lib/runtime.ts";
import { formatProblem, type Problem } from "#lib/problem.ts";

export interface ConfigRecord {
  readonly name: string;
  readonly message: Message;
  /** Empty for what the bootstrap holds. */
  readonly version: string;
  readonly lastUpdatedMs: number;
}

/** The last attempt that was refused; it goes when a good one comes. */
export interface RefusedRecord {
  readonly message: Message | undefined;
  readonly version: string;
  readonly lastAttemptMs: number;
  readonly details: string;
}

/** Resources of one type. */
export class ConfigRecords {
  /** Of the last response that was accepted as a whole. */
  versionInfo = "";
  readonly fixed: Map<string, ConfigRecord> = new Map();
  readonly dynamic: Map<string, ConfigRecord> = new Map();
  readonly refused: Map<string, RefusedRecord> = new Map();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  addFixed(name: string, message: Message): void {
    this.fixed.set(name, { name, message, version: "", lastUpdatedMs: this.#clock.now() });
  }

  accept(name: string, message: Message, version: string): void {
    this.dynamic.set(name, { name, message, version, lastUpdatedMs: this.#clock.now() });
    this.refused.delete(name);
  }

  refuse(name: string, message: Message | undefined, version: string, problems: readonly Problem[]): void {
    const details = problems.map(formatProblem).join("; ");
    this.refused.set(name, { message, version, lastAttemptMs: this.#clock.now(), details });
  }

  remove(name: string): void {
    this.dynamic.delete(name);
    this.refused.delete(name);
  }
}
