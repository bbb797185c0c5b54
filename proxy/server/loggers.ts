/** The components that log. */
import type { Logger, LogLevel } from "#lib/runtime.ts";

/** By Envoy's names; `identity` is ours. */
const LOGGERS = ["admin", "config", "http", "identity", "secret", "tracing", "upstream"];

/** Makes all of them from the start: `/logging` lists them, and refuses to set what it does not know. */
export function componentLoggers(log: Logger, levels: ReadonlyMap<string, LogLevel>): void {
  for (const component of LOGGERS) log.child(component);
  for (const [component, level] of levels) log.child(component).level = level;
}
