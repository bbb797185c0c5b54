/** Envoy's application log: `[2026-11-21 01:02:03.456][pid][info][upstream] message`. */
import type { Logger, LogLevel } from "./runtime.ts";

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Wall clock, ms. */
  readonly now: () => number;
  readonly pid: number;
  readonly write: (line: string) => void;
}

const SEVERITY: Readonly<Record<LogLevel, number>> = {
  trace: 0,
  debug: 1,
  info: 2,
  warning: 3,
  error: 4,
  critical: 5,
  off: 6,
};

/**
 * Makes the root logger, component `main`. `child` gives one logger a component, whoever asks; each has a level of its
 * own, and setting the root's sets all of them.
 */
export function createLogger(options: LoggerOptions): Logger {
  const components = new Map<string, ComponentLogger>();
  const family: Family = { options, components };
  const root = new ComponentLogger("main", family, options.level);
  components.set("main", root);
  return root;
}

interface Family {
  readonly options: LoggerOptions;
  readonly components: Map<string, ComponentLogger>;
}

class ComponentLogger implements Logger {
  readonly component: string;
  readonly #family: Family;
  #level: LogLevel;
  #severity: number;

  constructor(component: string, family: Family, level: LogLevel) {
    this.component = component;
    this.#family = family;
    this.#level = level;
    this.#severity = SEVERITY[level];
  }

  get level(): LogLevel {
    return this.#level;
  }

  set level(level: LogLevel) {
    if (this.component === "main") for (const logger of this.#family.components.values()) logger.#setOwn(level);
    else this.#setOwn(level);
  }

  components(): readonly Logger[] {
    return [...this.#family.components.values()];
  }

  child(component: string): Logger {
    const { components } = this.#family;
    let logger = components.get(component);
    if (logger === undefined) {
      const root = components.get("main") as ComponentLogger;
      logger = new ComponentLogger(component, this.#family, root.level);
      components.set(component, logger);
    }
    return logger;
  }

  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void {
    if (SEVERITY[level] < this.#severity || level === "off") return;
    const { now, pid, write } = this.#family.options;
    let line = `[${timestamp(now())}][${pid}][${level}][${this.component}] ${oneLine(message)}`;
    if (fields !== undefined) for (const name of Object.keys(fields)) line += ` ${name}=${fieldText(fields[name])}`;
    write(`${line}\n`);
  }

  debug(message: string, fields?: Readonly<Record<string, unknown>>): void {
    if (this.#severity <= SEVERITY.debug) this.log("debug", message, fields);
  }
  info(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.log("info", message, fields);
  }
  warning(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.log("warning", message, fields);
  }
  error(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.log("error", message, fields);
  }

  #setOwn(level: LogLevel): void {
    this.#level = level;
    this.#severity = SEVERITY[level];
  }
}

function timestamp(ms: number): string {
  return new Date(ms).toISOString().slice(0, 23).replace("T", " ");
}

// What a peer sent may stand in a message: it must not be able to forge a line.
function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control bytes are what is looked for
  return text.replace(/[\u0000-\u001f\u007f]/g, (char) => (char === "\n" ? "\\n" : `\\x${hex(char)}`));
}

function hex(char: string): string {
  return char.charCodeAt(0).toString(16).padStart(2, "0");
}

function fieldText(value: unknown): string {
  const text =
    typeof value === "string" ? value : value instanceof Error ? value.message : (JSON.stringify(value) ?? "undefined");
  return oneLine(/[\s"=]/.test(text) ? JSON.stringify(text) : text);
}
