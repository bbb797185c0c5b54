/** `envoy.filters.http.set_filter_state`: objects that later filters and access logs read. */
import type { Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { Config } from "#protos/gen/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state_pb.js";
import { parseFilterStateValues, type FilterStateSetter } from "../../set-filter-state.ts";
import type { HttpFilterFactory } from "../filter.ts";

export interface SetFilterStateConfig {
  readonly setters: readonly FilterStateSetter[];
  readonly clearsRouteCache: boolean;
}

const typeUrl = "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config";

export const setFilterState: HttpFilterFactory<SetFilterStateConfig, SetFilterStateConfig> = {
  name: "envoy.filters.http.set_filter_state",
  typeUrls: [typeUrl],
  routeTypeUrls: [typeUrl],
  parse,
  parseRoute: parse,
  create(config, { runtime }, name) {
    const own = config.setters.map((setter) => setter.create(runtime));
    const ofRoutes = new WeakMap<SetFilterStateConfig, typeof own>();
    return (stream) => ({
      decodeHeaders(headers) {
        const state = (stream.info.filterState ??= new Map<string, unknown>());
        const context = { info: stream.info, requestHeaders: headers, route: stream.route };
        for (const set of own) set(context, state);
        const routes = stream.routeConfigs<SetFilterStateConfig>(name);
        for (const route of routes.toReversed()) {
          let setters = ofRoutes.get(route);
          if (setters === undefined) {
            setters = route.setters.map((setter) => setter.create(runtime));
            ofRoutes.set(route, setters);
          }
          for (const set of setters) set(context, state);
        }
        if (config.clearsRouteCache || routes.some(({ clearsRouteCache }) => clearsRouteCache))
          stream.clearRouteCache();
        return "continue";
      },
    });
  },
};

function parse(
  ...[message, path]: Parameters<HttpFilterFactory["parse"]>
): ReturnType<HttpFilterFactory<SetFilterStateConfig>["parse"]> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as Config, path, problems);
  const value = {
    setters: parseFilterStateValues(reader.children("onRequestHeaders")),
    clearsRouteCache: reader.get("clearRouteCache"),
  };
  reader.finish();
  return problems.length > 0 ? { problems } : { value, problems };
}
