/** What is wrong with a configuration, as a value: it becomes a NACK detail, a finding, a line on the console. */
export interface Problem {
  /** Stable, for scripts: `unsupported-field`, `unknown-field`, `invalid-value`, `IST0101`, … */
  readonly code: string;
  readonly level: "error" | "warning" | "info";
  /** Where inside the object or message: `spec.http[0].route[1].weight`, `virtual_hosts[0].routes[2].match`. Empty for the whole. */
  readonly path: string;
  /** What is wrong, and the way out. */
  readonly message: string;
  /** The object it is about: `VirtualService default/reviews`, `cluster outbound|80||a`. */
  readonly object?: string | undefined;
  readonly source?: SourceLocation | undefined;
}

export interface SourceLocation {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

/** A value, or the problems that stand in its way. Warnings may stand beside a value. */
export interface Parsed<T> {
  readonly value?: T | undefined;
  readonly problems: readonly Problem[];
}

/** `file:line:column: object path: message`, leaving out what is not there. */
export function formatProblem(problem: Problem): string {
  const { source, object, path, message } = problem;
  const place = source === undefined ? "" : `${source.file}:${source.line}:${source.column}: `;
  const what = [object, path].filter((part) => part !== undefined && part !== "").join(" ");
  return `${place}${what === "" ? "" : `${what}: `}${message}`;
}

/** An error for the person at the keyboard: `code` is stable and documented, the message says what, why and the next step. */
export class MeshError extends Error {
  override readonly name = "MeshError";
  readonly code: string;
  readonly problems: readonly Problem[];
  constructor(code: string, message: string, problems: readonly Problem[] = []) {
    super(message);
    this.code = code;
    this.problems = problems;
  }
}
