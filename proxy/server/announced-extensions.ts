/** What the proxy tells the management server that it has, as Envoy does: so nothing else is sent to it. */
import { clone } from "@bufbuild/protobuf";
import type { Extension, Node } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import { createMessage, schema } from "#protos/registry.ts";

/** Names by category; filters are listed by the registries that have them. */
export interface AnnouncedFilters {
  readonly http: readonly { readonly name: string }[];
  readonly network: readonly { readonly name: string }[];
}

const OTHERS: Readonly<Record<string, readonly string[]>> = {
  "envoy.access_loggers": ["envoy.access_loggers.file"],
  "envoy.filters.listener": [
    "envoy.filters.listener.http_inspector",
    "envoy.filters.listener.original_dst",
    "envoy.filters.listener.tls_inspector",
  ],
  "envoy.network.dns_resolver": ["envoy.network.dns_resolver.cares"],
  "envoy.tracers": ["envoy.tracers.opentelemetry", "envoy.tracers.zipkin"],
  "envoy.transport_sockets.downstream": ["envoy.transport_sockets.raw_buffer", "envoy.transport_sockets.tls"],
  "envoy.transport_sockets.upstream": ["envoy.transport_sockets.raw_buffer", "envoy.transport_sockets.tls"],
};

/** A copy of the node with `extensions` filled in. */
export function withAnnouncedExtensions(node: Node, filters: AnnouncedFilters): Node {
  const names = (list: readonly { readonly name: string }[]): readonly string[] => list.map(({ name }) => name);
  const byCategory = {
    ...OTHERS,
    "envoy.filters.http": names(filters.http),
    "envoy.filters.network": names(filters.network),
  };
  const announced = clone(schema<Node>("envoy.config.core.v3.Node"), node);
  announced.extensions = Object.entries(byCategory).flatMap(([category, list]) =>
    list.map((name) => createMessage<Extension>("envoy.config.core.v3.Extension", { name, category })),
  );
  return announced;
}
