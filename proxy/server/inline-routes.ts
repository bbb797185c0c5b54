/** Route configurations that stand inside listeners: `/config_dump` lists them as static ones. */
import type { Message } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { unpackAny } from "#protos/any.ts";
import type { Listener } from "#protos/gen/envoy/config/listener/v3/listener_pb.js";
import type { RouteConfiguration } from "#protos/gen/envoy/config/route/v3/route_pb.js";
import type { HttpConnectionManager } from "#protos/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";

const CONNECTION_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/** In the order of listeners and chains. */
export function inlineRoutes(listeners: Iterable<Message>): RouteConfiguration[] {
  const routes: RouteConfiguration[] = [];
  for (const message of listeners) {
    const { filterChains, defaultFilterChain } = message as Listener;
    for (const chain of [...filterChains, ...(defaultFilterChain === undefined ? [] : [defaultFilterChain])])
      for (const { configType } of chain.filters)
        if (configType.case === "typedConfig") addRoute(configType.value, routes);
  }
  return routes;
}

function addRoute(config: Any, routes: RouteConfiguration[]): void {
  if (!config.typeUrl.endsWith(CONNECTION_MANAGER)) return;
  const { value } = unpackAny(config, "");
  const specifier = (value as HttpConnectionManager | undefined)?.routeSpecifier;
  if (specifier?.case === "routeConfig") routes.push(specifier.value);
}
