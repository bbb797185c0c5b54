/** `envoy.filters.network.set_filter_state`: objects of a connection that later filters, matchers and upstreams read. */
import type { Message } from "@bufbuild/protobuf";
import type { Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { Config } from "#protos/gen/envoy/extensions/filters/network/set_filter_state/v3/set_filter_state_pb.js";
import { parseFilterStateValues, type FilterStateSetter } from "../set-filter-state.ts";
import type { NetworkFilterFactory } from "./filter.ts";

interface SetFilterStateConfig {
  readonly onNewConnection: readonly FilterStateSetter[];
  readonly onData: readonly FilterStateSetter[];
}

/** Filters here see a connection once its handshake is done: what is for that moment is set with what is for a new connection. */
export const networkSetFilterState: NetworkFilterFactory<SetFilterStateConfig> = {
  name: "envoy.filters.network.set_filter_state",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config"],
  isTerminal: false,
  parse(message: Message, path: string) {
    const problems: Problem[] = [];
    const reader = new MessageReader(message as Config, path, problems);
    const value: SetFilterStateConfig = {
      onNewConnection: [
        ...parseFilterStateValues(reader.children("onNewConnection")),
        ...parseFilterStateValues(reader.children("onDownstreamTlsHandshake")),
      ],
      onData: parseFilterStateValues(reader.children("onDownstreamData")),
    };
    reader.finish();
    return problems.length > 0 ? { problems } : { value, problems };
  },
  create({ onNewConnection, onData }, { runtime }) {
    const atStart = onNewConnection.map((setter) => setter.create(runtime));
    const atData = onData.map((setter) => setter.create(runtime));
    return ({ info, filterState }) => {
      let hasData = false;
      return {
        onNewConnection() {
          for (const set of atStart) set({ info }, filterState);
          return "continue";
        },
        ...(atData.length === 0
          ? {}
          : {
              onRead(chunk: Buffer) {
                if (!hasData) for (const set of atData) set({ info }, filterState);
                hasData = true;
                return chunk;
              },
            }),
      };
    };
  },
};
