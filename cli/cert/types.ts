/** An action of `glassmesh cert`: arguments in, exit code out. */
import type { CommandIo } from "../command.ts";

export type CertAction = (args: readonly string[], io: CommandIo) => Promise<number>;
