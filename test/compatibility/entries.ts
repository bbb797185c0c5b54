/** The real parsers of the proxy, one for each message that a control plane or a bootstrap may send. */
import { create, type Message } from "@bufbuild/protobuf";
import type { Problem } from "#lib/problem.ts";
import { MeshError } from "#lib/problem.ts";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { schema } from "#protos/registry.ts";
import { MessageReader } from "#protos/reader.ts";
import type { Bootstrap } from "#protos/gen/envoy/config/bootstrap/v3/bootstrap_pb.js";
import type { Cluster } from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import type { ConfigSource } from "#protos/gen/envoy/config/core/v3/config_source_pb.js";
import type { ClusterLoadAssignment } from "#protos/gen/envoy/config/endpoint/v3/endpoint_pb.js";
import type { Listener } from "#protos/gen/envoy/config/listener/v3/listener_pb.js";
import { parseBootstrap } from "#proxy/bootstrap/parse-bootstrap.ts";
import { createConnectionManagerFactory } from "#proxy/http/connection-manager.ts";
import { standardHttpFilters } from "#proxy/http/filters/standard-filters.ts";
import { parseIdentityConfig } from "#proxy/identity/parse-identity-config.ts";
import { parseListener } from "#proxy/listener/parse-listener.ts";
import { builtInNetworkFilters } from "#proxy/network/built-in.ts";
import { createNetworkFilterRegistry } from "#proxy/network/registry.ts";
import { parseAccessLogs } from "#proxy/observability/access-log/parse.ts";
import { istioStatsTcp } from "#proxy/observability/istio-stats/network-filter.ts";
import { createStatsStore } from "#proxy/observability/stats-store.ts";
import { createTracingFactory } from "#proxy/observability/tracing/tracing.ts";
import { parseRouteConfiguration } from "#proxy/router/parse-route-config.ts";
import { createStatsSettings } from "#proxy/server/stats-settings.ts";
import { parseSecret } from "#proxy/tls/secret-providers.ts";
import { createTransportFactory } from "#proxy/tls/transport-factory.ts";
import { parseAssignment } from "#proxy/upstream/config/assignment.ts";
import { parseCluster } from "#proxy/upstream/config/parse-cluster.ts";
import { createXdsSources } from "#proxy/xds/sources.ts";
import { TypeUrl } from "#proxy/xds/types.ts";

export interface Entry {
  readonly typeName: string;
  /** Path of the message in the problems of its parsers. */
  readonly path: string;
  readonly title: string;
  parse(message: Message): readonly Problem[];
}

/** The parsers as a proxy has them that can do everything. */
export function entries(): readonly Entry[] {
  const runtime = simulatedRuntime({ seed: 1 });
  const scope = createStatsStore().root;
  const transports = createTransportFactory({ runtime, scope, secrets: { subscribe: () => ({ close() {} }) } });
  const httpFilters = standardHttpFilters();
  const filters = createNetworkFilterRegistry([
    createConnectionManagerFactory({ filters: httpFilters, tracing: createTracingFactory() }),
    ...builtInNetworkFilters,
    istioStatsTcp,
  ]);
  const parsers = { filters, hasOriginalDestination: true, hasInternalListeners: true };

  const listener = (message: Message): readonly Problem[] => {
    const { filterChains, defaultFilterChain } = message as Listener;
    const sockets = [
      ...filterChains.map(({ transportSocket }) => ({ transportSocket, at: "filter_chains[0]" })),
      { transportSocket: defaultFilterChain?.transportSocket, at: "default_filter_chain" },
    ];
    return [
      ...parseListener(message as Listener, parsers).problems,
      ...sockets.flatMap(
        ({ transportSocket, at }) => transports.downstream(transportSocket, `${at}.transport_socket`).problems,
      ),
    ];
  };

  const cluster = (message: Message): readonly Problem[] => {
    const { value, problems } = parseCluster(message, { transports, scope });
    value?.transports.close();
    return problems;
  };

  const bootstrap = (message: Message): readonly Problem[] => {
    const problems: Problem[] = [];
    const { statsConfig, admin } = message as Bootstrap;
    const model = parseBootstrap(message as Bootstrap, problems);
    const logs = parseAccessLogs(admin?.accessLog ?? [], "admin.access_log").problems;
    return [...problems, ...logs, ...settingsProblems(statsConfig), ...identityProblems(model?.identity)];
  };

  const source = (message: Message): readonly Problem[] => {
    const sources = createXdsSources({
      runtime,
      scope,
      bootstrap: {
        ads: { clusterName: "x", protocol: "delta" } as never,
        clusters: [create(schema<Cluster>("envoy.config.cluster.v3.Cluster"), { name: "x" })],
        node: {} as never,
        identity: undefined,
      },
      transportOf: () => ({ value: { open: () => ({ send() {}, close() {} }), close() {} } as never, problems: [] }),
    });
    const opened = sources.value?.open(message as ConfigSource, TypeUrl.route, "config_source");
    sources.value?.close();
    return opened?.problems ?? sources.problems;
  };

  return [
    { typeName: "envoy.config.bootstrap.v3.Bootstrap", path: "", title: "Bootstrap", parse: bootstrap },
    { typeName: "envoy.config.core.v3.ConfigSource", path: "config_source", title: "xDS sources", parse: source },
    { typeName: "envoy.config.listener.v3.Listener", path: "", title: "Listeners", parse: listener },
    {
      typeName: "envoy.config.route.v3.RouteConfiguration",
      path: "",
      title: "Routes",
      parse: (message) => parseRouteConfiguration(message, { filters: httpFilters.all }).problems,
    },
    { typeName: "envoy.config.cluster.v3.Cluster", path: "", title: "Clusters", parse: cluster },
    {
      typeName: "envoy.config.endpoint.v3.ClusterLoadAssignment",
      path: "",
      title: "Endpoints",
      parse(message) {
        const problems: Problem[] = [];
        parseAssignment(new MessageReader(message as ClusterLoadAssignment, "", problems), false);
        return problems;
      },
    },
    {
      typeName: "envoy.extensions.transport_sockets.tls.v3.Secret",
      path: "",
      title: "Secrets",
      parse: (message) => parseSecret(message).problems,
    },
  ];
}

function settingsProblems(config: Bootstrap["statsConfig"]): readonly Problem[] {
  try {
    createStatsSettings(config);
    return [];
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
    return error.problems;
  }
}

function identityProblems(identity: Parameters<typeof parseIdentityConfig>[0] | undefined): readonly Problem[] {
  return identity === undefined ? [] : parseIdentityConfig(identity, "bootstrap_extensions[0].typed_config").problems;
}
