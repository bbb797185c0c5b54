/** `envoy.transport_sockets.internal_upstream`: gives metadata and filter state along to an internal listener. */
import type { MessageReader } from "#protos/reader.ts";
import type { InternalUpstreamTransport } from "#protos/gen/envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream_pb.js";
import type { Passthrough } from "./internal-network.ts";
import type { UpstreamTarget, UpstreamTransport } from "./types.ts";

export type MetadataSource = "request" | "route" | "cluster" | "host";

export interface PassedMetadata {
  readonly kind: MetadataSource;
  readonly name: string;
}

/** Reads `passthrough_metadata`; problems go to the reader's list. */
export function parsePassedMetadata(reader: MessageReader<InternalUpstreamTransport>): readonly PassedMetadata[] {
  const passed: PassedMetadata[] = [];
  for (const entry of reader.children("passthroughMetadata")) {
    const name = entry.get("name");
    const kind = entry.get("kind")?.kind.case;
    entry.finish();
    if (kind === undefined) entry.invalid("kind", "one of request, route, cluster, host must be set");
    else passed.push({ kind, name });
  }
  return passed;
}

/** Wraps a transport, which is raw bytes as a rule. */
export function internalUpstream(passed: readonly PassedMetadata[], inner: UpstreamTransport): UpstreamTransport {
  return {
    isSecure: inner.isSecure,
    isUnverified: inner.isUnverified,
    wantsDownstream: true,
    get isReady() {
      return inner.isReady;
    },
    onReady: (callback) => inner.onReady(callback),
    connect: (target, handler) => inner.connect({ ...target, passthrough: passthroughOf(passed, target) }, handler),
    close: () => inner.close(),
  };
}

function passthroughOf(passed: readonly PassedMetadata[], target: UpstreamTarget): Passthrough {
  const { downstream, hostMetadata, clusterMetadata } = target;
  const metadata = new Map<string, Readonly<Record<string, unknown>>>();
  for (const { kind, name } of passed) {
    const source =
      kind === "host" ? hostMetadata : kind === "cluster" ? clusterMetadata : downstream?.metadata.get(kind);
    const found = source?.[name];
    if (found !== undefined) metadata.set(name, { ...metadata.get(name), ...found });
  }
  return { filterState: downstream?.filterState, metadata };
}
