/** `filter_chain_matcher`: which filter chain takes a connection, by the generic matcher. */
import type { Message } from "@bufbuild/protobuf";
import type { StringValueSchema } from "@bufbuild/protobuf/wkt";
import type { MessageShape } from "@bufbuild/protobuf";
import type { MessageReader } from "#protos/reader.ts";
import type { Matcher as MatcherMessage } from "#protos/gen/xds/type/matcher/v3/matcher_pb.js";
import { parseFilterStateInput } from "../matcher/common-inputs.ts";
import type { Matcher, MatcherKit, MatchInput } from "../matcher/kit.ts";
import { parseMatcher } from "../matcher/matcher.ts";
import { RegexCache } from "../router/regex.ts";
import type { ConnectionFacts } from "./filter-chain-match.ts";

/** What is asked about: the connection, and the objects that listener filters or the client side have set. */
export interface MatchedConnection extends ConnectionFacts {
  readonly filterState: ReadonlyMap<string, unknown>;
}

/** Gives the name of a chain. */
export type FilterChainByName = Matcher<MatchedConnection, string>;

const PREFIX = "envoy.extensions.matching.common_inputs.network.v3.";

/** "" counts as unknown but for the names of what a client may leave out. */
const inputs: Readonly<Record<string, MatchInput<MatchedConnection>>> = {
  [`${PREFIX}DestinationIPInput`]: ({ destinationAddress }) => known(destinationAddress),
  [`${PREFIX}DestinationPortInput`]: ({ destinationAddress, destinationPort }) =>
    destinationAddress === "" ? undefined : String(destinationPort),
  [`${PREFIX}SourceIPInput`]: ({ sourceAddress }) => known(sourceAddress),
  [`${PREFIX}SourcePortInput`]: ({ sourceAddress, sourcePort }) =>
    sourceAddress === "" ? undefined : String(sourcePort),
  [`${PREFIX}DirectSourceIPInput`]: ({ directSourceAddress }) => known(directSourceAddress),
  [`${PREFIX}SourceTypeInput`]: (facts) => (isLocal(facts) ? "local" : undefined),
  [`${PREFIX}ServerNameInput`]: ({ serverName }) => known(serverName),
  [`${PREFIX}TransportProtocolInput`]: ({ transportProtocol }) => known(transportProtocol),
  // As Envoy writes a list: quoted, with commas.
  [`${PREFIX}ApplicationProtocolInput`]: ({ applicationProtocols }) =>
    applicationProtocols.length === 0 ? undefined : `'${applicationProtocols.join("','")}'`,
};

const kit: Omit<MatcherKit<MatchedConnection, string>, "regexes"> = {
  input(message: Message, reader: MessageReader<Message>) {
    const state = parseFilterStateInput(message, reader);
    if (state !== undefined) return ({ filterState }) => state(filterState);
    const input = inputs[message.$typeName];
    if (input !== undefined) reader.finish();
    return input;
  },
  action(message: Message) {
    return message.$typeName === "google.protobuf.StringValue"
      ? (message as MessageShape<typeof StringValueSchema>).value
      : undefined;
  },
};

/** Problems go to the reader's list. */
export function parseFilterChainMatcher(reader: MessageReader<MatcherMessage>): FilterChainByName {
  return parseMatcher(reader, { ...kit, regexes: new RegexCache() });
}

function known(text: string): string | undefined {
  return text === "" ? undefined : text;
}

function isLocal({ sourceAddress, destinationAddress }: ConnectionFacts): boolean {
  return sourceAddress === destinationAddress || sourceAddress.startsWith("127.") || sourceAddress === "::1";
}
