/** `envoy.filters.http.on_demand`: without VHDS and ODCDS, which are refused by name, there is nothing to ask for. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { OnDemand, PerRouteConfig } from "#protos/gen/envoy/extensions/filters/http/on_demand/v3/on_demand_pb.js";
import type { HttpFilterFactory } from "../filter.ts";

export const onDemand: HttpFilterFactory<null, null> = {
  name: "envoy.filters.http.on_demand",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.on_demand.v3.OnDemand"],
  routeTypeUrls: ["type.googleapis.com/envoy.extensions.filters.http.on_demand.v3.PerRouteConfig"],
  parse,
  parseRoute: parse,
  create: () => () => undefined,
};

function parse(message: Message, path: string): Parsed<null> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as OnDemand | PerRouteConfig, path, problems);
  if (reader.get("odcds") !== undefined)
    reader.unsupported("odcds", "clusters are not discovered on demand here; send them over CDS");
  reader.finish();
  return problems.length > 0 ? { problems } : { value: null, problems };
}
