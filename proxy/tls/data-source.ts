/** `envoy.config.core.v3.DataSource`: text that stands inline, in a file, or in the environment. */
import { readFileSync } from "node:fs";
import type { MessageReader } from "#protos/reader.ts";
import type { DataSource as DataSourceMessage } from "#protos/gen/envoy/config/core/v3/base_pb.js";

/** Where text comes from. A file is read again when its content may have changed. */
export type TextSource =
  | { readonly kind: "inline"; readonly text: string }
  | { readonly kind: "file"; readonly path: string };

/** Reads a data source; undefined when it is not set or has problems, which are on the reader's list. */
export function parseDataSource(reader: MessageReader<DataSourceMessage> | undefined): TextSource | undefined {
  if (reader === undefined) return undefined;
  const specifier = reader.get("specifier");
  reader.ignore("watchedDirectory", "files are watched by their content wherever they are");
  reader.finish();
  switch (specifier.case) {
    case "inlineString":
      return { kind: "inline", text: specifier.value };
    case "inlineBytes":
      return { kind: "inline", text: Buffer.from(specifier.value).toString("utf8") };
    case "filename":
      return { kind: "file", path: specifier.value };
    case "environmentVariable": {
      const text = process.env[specifier.value];
      if (text !== undefined) return { kind: "inline", text };
      reader.invalid("specifier", `the environment variable ${specifier.value} is not set`);
      return undefined;
    }
    case undefined:
      reader.invalid("specifier", "one of filename, inline_bytes, inline_string, environment_variable must be set");
      return undefined;
  }
}

/** The text now. Throws an error that names the file. */
export function readText(source: TextSource): string {
  if (source.kind === "inline") return source.text;
  try {
    return readFileSync(source.path, "utf8");
  } catch (error) {
    throw new Error(`unable to read file: ${source.path} (${error instanceof Error ? error.message : String(error)})`, {
      cause: error,
    });
  }
}
