/** `/logging`: the levels of the loggers. */
import type { Logger, LogLevel } from "#lib/runtime.ts";
import { text, type AdminEndpoint, type AdminRequest, type AdminResponse } from "./endpoint.ts";

const LEVELS: readonly LogLevel[] = ["trace", "debug", "info", "warning", "error", "critical", "off"];

const USAGE = `usage: /logging?<name>=<level> (change single level)
usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)
usage: /logging?level=<level> (change all levels)
levels: ${LEVELS.join(" ")} \n`;

/** `log` is the root; its components are listed by name. */
export function loggingEndpoint(log: Logger): AdminEndpoint {
  return {
    path: "/logging",
    help: "query/change logging levels",
    mutates: true,
    parameters: [
      {
        name: "paths",
        help: "Change multiple logging levels by setting to <logger_name1>:<desired_level1>,<logger_name2>:<desired_level2>.",
      },
      {
        name: "level",
        help: `desired logging level, this will change all loggers's level; One of (, ${LEVELS.join(", ")})`,
      },
    ],
    handle(request) {
      const problem = change(request, log);
      return problem === undefined ? text(listing(log)) : refused(problem, log);
    },
  };
}

/** Does what the query asks for, all or nothing; the words of the refusal. */
function change({ query }: AdminRequest, root: Logger): string | undefined {
  if (query.size === 0) return undefined;
  if (query.size > 1) return "invalid number of parameters";
  const [[name, value] = ["", ""]] = [...query];
  if (name === "level") {
    const level = levelOf(value);
    if (level === undefined) return "unknown logger level";
    root.level = level;
    return undefined;
  }
  if (name !== "paths") return setOne(name, value, root);
  const pairs = value.split(",").map((pair) => pair.split(":"));
  if (pairs.length === 1 && pairs[0]?.length === 1) {
    const level = levelOf(value);
    if (level === undefined) return "empty logger name or empty logger level";
    root.level = level;
    return undefined;
  }
  for (const [logger = "", level = ""] of pairs) {
    if (logger === "" || level === "") return "empty logger name or empty logger level";
    if (levelOf(level) === undefined) return "unknown logger level";
    if (logger !== "*" && find(logger, root) === undefined) return "unknown logger name";
  }
  for (const [logger = "", level = ""] of pairs) {
    if (logger === "*") root.level = levelOf(level) ?? root.level;
    else setOne(logger, level, root);
  }
  return undefined;
}

function setOne(name: string, value: string, root: Logger): string | undefined {
  const logger = find(name, root);
  if (logger === undefined) return "unknown logger name";
  const level = levelOf(value);
  if (level === undefined) return "unknown logger level";
  if (logger !== root) {
    logger.level = level;
    return undefined;
  }
  // The root's level is everybody's: keep the others as they are.
  const others = root.components().filter((other) => other !== root);
  const levels = others.map((other) => other.level);
  root.level = level;
  for (const [index, other] of others.entries()) other.level = levels[index] ?? other.level;
  return undefined;
}

function find(name: string, root: Logger): Logger | undefined {
  return root.components().find(({ component }) => component === name);
}

function levelOf(text: string): LogLevel | undefined {
  return LEVELS.find((level) => level === text || (level === "warning" && text === "warn"));
}

function listing(root: Logger): string {
  const lines = root.components().map(({ component, level }) => `  ${component}: ${level}\n`);
  return `active loggers:\n${lines.sort().join("")}\n`;
}

function refused(reason: string, root: Logger): AdminResponse {
  return text(`error: ${reason}\n\n${USAGE}${listing(root)}`, 400);
}
