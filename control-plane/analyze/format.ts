/** Messages as text, in istioctl's three forms. */
import { stringify } from "yaml";
import { documentationUrl, type MessageLevel } from "./messages.ts";
import { messageLine, type AnalysisMessage } from "./run-analysis.ts";

export type MessageFormat = "log" | "json" | "yaml";

export interface FormatOptions {
  readonly format: MessageFormat;
  readonly isColored?: boolean;
}

const colors: Readonly<Record<MessageLevel, string>> = { Error: "\u001B[1;31m", Warning: "\u001B[33m", Info: "" };
const RESET = "\u001B[0m";

/** Ends with a line break, also where there is nothing to say. */
export function formatMessages(messages: readonly AnalysisMessage[], options: FormatOptions): string {
  switch (options.format) {
    case "json":
      return `${JSON.stringify(messages.map(plain), undefined, "\t")}\n`;
    case "yaml":
      return stringify(messages.map(plain));
    case "log":
      return `${messages.map((message) => coloredLine(message, options.isColored === true)).join("\n")}\n`;
  }
}

/** The keys that scripts read, in the order in which istioctl writes them. */
function plain({ type, origin, reference, message }: AnalysisMessage): Readonly<Record<string, string>> {
  const { code, level } = type;
  return { code, documentationUrl: documentationUrl(code), level, message, origin, reference };
}

function coloredLine(message: AnalysisMessage, isColored: boolean): string {
  const line = messageLine(message);
  const { level } = message.type;
  return isColored ? `${colors[level]}${level}${RESET}${line.slice(level.length)}` : line;
}
