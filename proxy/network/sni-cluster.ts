/** `envoy.filters.network.sni_cluster`: the server name that the client asked for is the cluster of the TCP proxy. */
import type { Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { NetworkFilterFactory } from "./filter.ts";

export const sniCluster: NetworkFilterFactory<true> = {
  name: "envoy.filters.network.sni_cluster",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.network.sni_cluster.v3.SniCluster"],
  isTerminal: false,
  parse(message, path) {
    const problems: Problem[] = [];
    new MessageReader(message, path, problems).finish();
    return problems.length > 0 ? { problems } : { value: true, problems };
  },
  create:
    () =>
    ({ requestedServerName, filterState }) => ({
      onNewConnection() {
        if (requestedServerName !== "") filterState.set("envoy.tcp_proxy.cluster", requestedServerName);
        return "continue";
      },
    }),
};
