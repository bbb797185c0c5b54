/** LDS of gRPC without a proxy: an ApiListener for each `host:port` that is called, a listener for each that is served. */
import { FAULT_FILTER } from "./fault.ts";
import { hostPortFrom, portNumbered, SERVER_LISTENER_PREFIX, serviceNamed } from "./grpc-proxyless.ts";
import { grpcServerListener } from "./grpc-server-listener.ts";
import { any, byText, type JsonObject } from "./json.ts";
import { outboundCluster, WILDCARD_ADDRESS } from "./names.ts";
import type { ScopedPort, ScopedService } from "./scope.ts";
import { ADS_SOURCE } from "./secrets.ts";
import { addressesFor } from "./service-addresses.ts";
import type { View } from "./view.ts";

/**
 * Sorted by name. Without `names` those of every service under its full name. Differs from istiod: a name without a port
 * gives nothing; istiod answers it with `host:port` listeners, which nobody asked for and gRPC drops.
 */
export function grpcListeners(view: View, names: readonly string[] | undefined): readonly JsonObject[] {
  const found = names === undefined ? allListeners(view) : names.flatMap((name) => listenerNamed(view, name));
  return found.toSorted((a, b) => byText(String(a["name"]), String(b["name"])));
}

function allListeners(view: View): readonly JsonObject[] {
  return view.scope.services.flatMap((service) =>
    service.ports.map((port) => clientListener(view, `${service.host}:${port.number}`, service, port)),
  );
}

function listenerNamed(view: View, name: string): readonly JsonObject[] {
  if (name.startsWith(SERVER_LISTENER_PREFIX)) return grpcServerListener(view, name);
  const called = hostPortFrom(name);
  if (called === undefined) return [];
  const service = serviceNamed(view, called.host);
  const port = portNumbered(service, called.port);
  return service === undefined || port === undefined ? [] : [clientListener(view, name, service, port)];
}

const FILTERS: readonly JsonObject[] = [
  { name: FAULT_FILTER, typedConfig: any("envoy.extensions.filters.http.fault.v3.HTTPFault") },
  { name: "envoy.filters.http.router", typedConfig: any("envoy.extensions.filters.http.router.v3.Router") },
];

function clientListener(view: View, name: string, service: ScopedService, { number }: ScopedPort): JsonObject {
  const [address = WILDCARD_ADDRESS] = addressesFor(view, service);
  return {
    name,
    address: { socketAddress: { address, portValue: number } },
    apiListener: {
      apiListener: any("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", {
        httpFilters: FILTERS,
        rds: { configSource: ADS_SOURCE, routeConfigName: outboundCluster(number, "", service.host) },
      }),
    },
  };
}
