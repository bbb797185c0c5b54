/** A snapshot as an Envoy bootstrap of static resources, so that `envoy --mode validate` reads every part of it. */
import type { ProxyConfigSnapshot, ResourceJson } from "#control-plane/translate/types.ts";

/** What a stock Envoy says it has, of the extensions that translation asks about. */
export const STOCK_EXTENSIONS: ReadonlySet<string> = new Set([
  "envoy.tracers.datadog",
  "envoy.tracers.opentelemetry",
  "envoy.tracers.skywalking",
  "envoy.tracers.zipkin",
  "envoy.access_loggers.file",
  "envoy.filters.http.cors",
  "envoy.filters.http.ext_authz",
  "envoy.filters.http.fault",
  "envoy.filters.http.grpc_stats",
  "envoy.filters.http.grpc_web",
  "envoy.filters.http.jwt_authn",
  "envoy.filters.http.rbac",
  "envoy.filters.http.router",
  "envoy.filters.listener.http_inspector",
  "envoy.filters.listener.original_dst",
  "envoy.filters.listener.tls_inspector",
  "envoy.filters.network.ext_authz",
  "envoy.filters.network.http_connection_manager",
  "envoy.filters.network.mongo_proxy",
  "envoy.filters.network.rbac",
  "envoy.filters.network.tcp_proxy",
  "envoy.network.dns_resolver.cares",
  "envoy.transport_sockets.raw_buffer",
  "envoy.transport_sockets.tls",
]);

/** Route configurations and endpoints are written into the listeners and clusters that would fetch them. */
export function bootstrapOf(snapshot: ProxyConfigSnapshot): ResourceJson {
  const routes = new Map(snapshot.routes.map((route) => [route["name"], route]));
  const assignments = new Map(snapshot.endpoints.map((assignment) => [assignment["clusterName"], assignment]));
  return {
    node: { id: "sidecar~10.0.0.1~a.default~default.svc.cluster.local", cluster: "a.default" },
    admin: { address: { socketAddress: { address: "127.0.0.1", portValue: 0 } } },
    dynamicResources: {
      adsConfig: {
        apiType: "GRPC",
        transportApiVersion: "V3",
        grpcServices: [{ envoyGrpc: { clusterName: "xds-grpc" } }],
      },
    },
    staticResources: {
      clusters: [
        localGrpc("xds-grpc"),
        localGrpc("sds-grpc"),
        ...snapshot.clusters.map((cluster) => withEndpoints(cluster, assignments)),
      ],
      listeners: snapshot.listeners.map((listener) => withRoutes(listener, routes)),
    },
  };
}

function localGrpc(name: string): ResourceJson {
  return {
    name,
    type: "STATIC",
    connectTimeout: "1s",
    typedExtensionProtocolOptions: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        explicitHttpConfig: { http2ProtocolOptions: {} },
      },
    },
    loadAssignment: {
      clusterName: name,
      endpoints: [
        { lbEndpoints: [{ endpoint: { address: { socketAddress: { address: "127.0.0.1", portValue: 15012 } } } }] },
      ],
    },
  };
}

function withEndpoints(cluster: ResourceJson, assignments: ReadonlyMap<unknown, ResourceJson>): ResourceJson {
  if (cluster["type"] !== "EDS") return cluster;
  const { edsClusterConfig: _eds, ...rest } = cluster;
  const name = cluster["name"];
  return { ...rest, type: "STATIC", loadAssignment: assignments.get(name) ?? { clusterName: name } };
}

function withRoutes(value: ResourceJson, routes: ReadonlyMap<unknown, ResourceJson>): ResourceJson {
  return replaced(value, routes) as ResourceJson;
}

function replaced(value: unknown, routes: ReadonlyMap<unknown, ResourceJson>): unknown {
  if (Array.isArray(value)) return value.map((item) => replaced(item, routes));
  if (typeof value !== "object" || value === null) return value;
  const result: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const name = key === "rds" ? (item as { readonly routeConfigName?: string }).routeConfigName : undefined;
    const route = name === undefined ? undefined : routes.get(name);
    if (route === undefined) result[key] = replaced(item, routes);
    else result["routeConfig"] = route;
  }
  return result;
}
