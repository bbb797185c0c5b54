/** What the parts of the matching engine share: what can be asked, what can be done, and how extensions are opened. */
import type { Message } from "@bufbuild/protobuf";
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type { TypedExtensionConfig } from "#protos/gen/xds/core/v3/extension_pb.js";
import type { RegexCache } from "../router/regex.ts";

/** Finds the action for a context; undefined: nothing matched. */
export type Matcher<Context, Action> = (context: Context) => Action | undefined;

/** One thing that is known of a context; undefined: it is not. */
export type MatchInput<Context> = (context: Context) => string | undefined;

export interface MatcherKit<Context, Action> {
  /** Reads an input; undefined when there is none of this type, or when it has problems, which are on the list. */
  input(message: Message, reader: MessageReader<Message>): MatchInput<Context> | undefined;
  /** Reads an action, as `input`. */
  action(message: Message, reader: MessageReader<Message>): Action | undefined;
  readonly regexes: RegexCache;
  /** Keys of maps as inputs give them (bytes, where these come off the wire); absent: as they are. */
  readonly textOf?: (key: string) => string;
}

/** Opens an extension's Any and hands it to `read`; a type that `read` does not know is refused by name. */
export function openExtension<T>(
  reader: MessageReader<TypedExtensionConfig>,
  read: (message: Message, reader: MessageReader<Message>) => T | undefined,
): T | undefined {
  reader.ignore("name", "the type says what it is");
  const any = reader.get("typedConfig");
  const at = reader.at("typedConfig");
  reader.finish();
  if (any === undefined) {
    reader.invalid("typedConfig", "typed_config must be set");
    return undefined;
  }
  const opened = unpackAny(any, at);
  reader.problems.push(...opened.problems);
  if (opened.value === undefined) return undefined;
  const before = reader.problems.length;
  const found = read(opened.value, new MessageReader(opened.value, at, reader.problems));
  if (found === undefined && reader.problems.length === before)
    reader.unsupported("typedConfig", `${opened.value.$typeName} is not supported here`);
  return found;
}
