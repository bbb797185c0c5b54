/** `Http1ProtocolOptions.HeaderKeyFormat`: how names of fields are spelled on the wire of HTTP/1, for peers that mind. */
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type { Http1ProtocolOptions_HeaderKeyFormat } from "#protos/gen/envoy/config/core/v3/protocol_pb.js";
import type { PreserveCaseFormatterConfig } from "#protos/gen/envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case_pb.js";

/** A name in lower case → as it is written. */
export type HeaderKeyFormat = (name: string) => string;

export interface HeaderKeySettings {
  /** For every message that this side writes; undefined: lower case. */
  readonly format: HeaderKeyFormat | undefined;
  /** Messages that this side reads keep the spelling of their sender, wherever they are written again. */
  readonly newSpelling: (() => PreservedCase) | undefined;
}

/** Nothing is spelled in any way but lower case. */
export const lowerCaseKeys: HeaderKeySettings = { format: undefined, newSpelling: undefined };

/** The spelling of one message's names. */
export class PreservedCase {
  readonly #spellings = new Map<string, string>();
  readonly #others: HeaderKeyFormat | undefined;

  /** `others`: names that were not in the message, being the proxy's own. */
  constructor(others: HeaderKeyFormat | undefined) {
    this.#others = others;
  }

  /** The first of several spellings stays. */
  learn(name: string, spelling: string): void {
    if (!this.#spellings.has(name)) this.#spellings.set(name, spelling);
  }

  readonly format: HeaderKeyFormat = (name) => this.#spellings.get(name) ?? this.#others?.(name) ?? name;
}

/** `x-my-header` → `X-My-Header`. */
export function properCase(name: string): string {
  return name.replaceAll(
    /(^|[^a-z0-9])([a-z])/g,
    (_all, before: string, letter: string) => before + letter.toUpperCase(),
  );
}

const preserveCase = "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig";

/** Reads it; problems are on the reader's list. */
export function parseHeaderKeyFormat(
  reader: MessageReader<Http1ProtocolOptions_HeaderKeyFormat> | undefined,
): HeaderKeySettings {
  if (reader === undefined) return lowerCaseKeys;
  const chosen = reader.get("headerFormat");
  const at = reader.at("headerFormat");
  reader.finish();
  if (chosen.case === "properCaseWords") return { format: properCase, newSpelling: undefined };
  const formatter = chosen.value === undefined ? undefined : reader.oneof("headerFormat", chosen.value);
  formatter?.ignore("name", "the type says what it is");
  const config = formatter?.get("typedConfig");
  const inside = `${at}.typed_config`;
  const opened = config === undefined ? undefined : unpackAny(config, inside);
  if (opened?.value === undefined || opened.value.$typeName !== preserveCase) {
    if (opened?.value === undefined && opened !== undefined) reader.problems.push(...opened.problems);
    else reader.unsupported("headerFormat", `a formatter of names is proper_case_words or ${preserveCase}`);
    return lowerCaseKeys;
  }
  const inner = new MessageReader(opened.value as PreserveCaseFormatterConfig, inside, reader.problems);
  const others = inner.get("formatterTypeOnEnvoyHeaders") === 1 ? properCase : undefined;
  if (inner.get("forwardReasonPhrase")) inner.unsupported("forwardReasonPhrase", "reason phrases are written anew");
  inner.finish();
  return { format: undefined, newSpelling: () => new PreservedCase(others) };
}
