/** The comments of the proxy's sources that say `Differs from Envoy:`, each a deviation on purpose. */
import { globSync, readFileSync } from "node:fs";

export interface Difference {
  /** From the root of the checkout. */
  readonly file: string;
  readonly text: string;
}

const ROOT = new URL("../../", import.meta.url).pathname;

/** In the order of the files. */
export function differences(): readonly Difference[] {
  const files = globSync("{proxy,lib,certs}/**/*.ts", { cwd: ROOT }).filter(
    (file) => !/\.test\.ts$|\/testing\//.test(file),
  );
  return files.sort().flatMap((file) => differencesIn(readFileSync(`${ROOT}${file}`, "utf8"), file));
}

/** A comment begins a sentence with the words; it ends with the block, or before the next line of code. */
export function differencesIn(source: string, file: string): readonly Difference[] {
  const found: Difference[] = [];
  const lines = source.split("\n");
  for (const [index, line] of lines.entries()) {
    const start = line.indexOf("Differs from Envoy");
    if (start < 0) continue;
    const parts = [line.slice(start)];
    const isOfLine = line.includes("//");
    for (const next of isOfLine || !line.includes("*/") ? lines.slice(index + 1) : []) {
      const isMore = isOfLine ? /^\s*\/\//.test(next) : /^\s*\*/.test(next);
      if (!isMore || parts.at(-1)?.includes("*/") === true) break;
      parts.push(next);
    }
    const text = parts
      .map((part) =>
        part
          .replace(/\*\/.*$/, "")
          .replace(/^\s*(?:\/\/|\*)?\s*/, "")
          .trim(),
      )
      .join(" ");
    found.push({ file, text: text.trim() });
  }
  return found;
}
