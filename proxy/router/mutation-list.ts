/** `envoy.config.common.mutation_rules.v3.HeaderMutation`, a list of operations done one after the other. */
import { MessageReader } from "#protos/reader.ts";
import type { HeaderMutation } from "#protos/gen/envoy/config/common/mutation_rules/v3/mutation_rules_pb.js";
import { composeMutations, parseHeaderMutations } from "./header-mutations.ts";
import { RegexCache } from "./regex.ts";
import { parseStringMatcher } from "./string-matcher.ts";
import type { HeaderMutations } from "./types.ts";

/** Compiles the list; undefined when there is nothing to do. Problems are on the readers' list. */
export function parseMutationList(readers: readonly MessageReader<HeaderMutation>[]): HeaderMutations | undefined {
  return composeMutations(readers.map(parseMutation));
}

function parseMutation(reader: MessageReader<HeaderMutation>): HeaderMutations | undefined {
  const action = reader.get("action");
  const at = reader.at("action");
  const { problems } = reader;
  reader.finish();
  switch (action.case) {
    case "remove":
      return parseHeaderMutations({ add: [], remove: [action.value], removeAt: at, problems });
    case "append": {
      const add = [new MessageReader(action.value, at, problems)];
      return parseHeaderMutations({ add, remove: [], removeAt: at, problems });
    }
    case "removeOnMatch": {
      const inner = new MessageReader(action.value, at, problems);
      const matcher = inner.child("keyMatcher");
      inner.finish();
      const matches = matcher === undefined ? undefined : parseStringMatcher(matcher, new RegexCache());
      if (matcher === undefined) inner.invalid("keyMatcher", "the matcher of names is missing");
      if (matches === undefined) return undefined;
      return {
        apply(headers) {
          for (const name of new Set(headers.names)) if (matches(name)) headers.remove(name);
        },
      };
    }
    case undefined:
      reader.invalid("action", "one of remove, append and remove_on_match is required");
      return undefined;
  }
}
