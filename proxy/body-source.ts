/** `envoy.config.core.v3.DataSource` for bodies that the proxy sends itself: bytes, one a character. */
import { readFileSync } from "node:fs";
import type { MessageReader } from "#protos/reader.ts";
import { byteString } from "#lib/xxhash64.ts";
import type { DataSource } from "#protos/gen/envoy/config/core/v3/base_pb.js";

/** Reads it once, when the configuration arrives; undefined when it is not set or has problems, which are on the reader's list. */
export function parseBodySource(reader: MessageReader<DataSource> | undefined): string | undefined {
  if (reader === undefined) return undefined;
  const specifier = reader.get("specifier");
  if (reader.child("watchedDirectory") !== undefined)
    reader.unsupported("watchedDirectory", "a body is read once, when its configuration arrives");
  reader.finish();
  switch (specifier.case) {
    case "inlineString":
      return byteString(specifier.value);
    case "inlineBytes":
      return Buffer.from(specifier.value).toString("latin1");
    case "filename":
      try {
        return readFileSync(specifier.value, "latin1");
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        reader.invalid("specifier", `unable to read file: ${specifier.value} (${reason})`);
        return undefined;
      }
    case "environmentVariable": {
      const text = process.env[specifier.value];
      if (text !== undefined) return byteString(text);
      reader.invalid("specifier", `the environment variable ${specifier.value} is not set`);
      return undefined;
    }
    case undefined:
      reader.invalid("specifier", "one of filename, inline_bytes, inline_string, environment_variable must be set");
      return undefined;
  }
}
