/** A command is one value: what it is called, what it does, how it is run. `main.ts` lists them all. */

export interface Command {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** One line for the list of commands. */
  readonly summary: string;
  /** The whole help text. */
  readonly help: string;
  /** The command reads `--help` itself (it has another's flags). */
  readonly passesHelpOn?: boolean;
  /** Runs to its end; the number is the exit code (0 fine, 1 a finding, 2 misuse). */
  run(args: readonly string[], io: CommandIo): Promise<number>;
}

/** What a command may touch: stdout is data, stderr is talk. */
export interface CommandIo {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  out(text: string): void;
  err(text: string): void;
}
