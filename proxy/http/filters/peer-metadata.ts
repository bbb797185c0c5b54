/**
 * `istio.metadata_exchange` for HTTP (`io.istio.http.peer_metadata.Config`): tells the other side who we are, and learns
 * who it is, in the headers `x-envoy-peer-metadata` and `-id`. They never reach an application.
 */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type {
  Config,
  Config_DiscoveryMethod,
  Config_PropagationMethod,
} from "#protos/gen/io/istio/http/peer_metadata/config_pb.js";
import { DOWNSTREAM_PEER, peerFromNodeMetadata, UPSTREAM_PEER, type PeerMetadata } from "../../observability/peer.ts";
import { decodePeer, encodePeer } from "../../observability/peer-struct.ts";
import type { ClusterManager } from "../../upstream/types.ts";
import type { FilterStatus, FilterStream, HttpFilter, HttpFilterFactory } from "../filter.ts";
import type { HeaderMap } from "../header-map.ts";

const METADATA_HEADER = "x-envoy-peer-metadata";
const ID_HEADER = "x-envoy-peer-metadata-id";

export interface PeerMetadataConfig {
  /** Learn from requests who calls. */
  readonly discoversDownstream: boolean;
  /** Learn from responses who answers. */
  readonly discoversUpstream: boolean;
  /** Tell callers who we are. */
  readonly tellsDownstream: boolean;
  /** Tell upstreams who we are. */
  readonly tellsUpstream: boolean;
  readonly skipsExternalClusters: boolean;
  readonly additionalLabels: readonly string[];
}

export const peerMetadata: HttpFilterFactory<PeerMetadataConfig> = {
  name: "istio.metadata_exchange",
  typeUrls: ["type.googleapis.com/io.istio.http.peer_metadata.Config"],
  parse: parsePeerMetadata,
  create(config, { node, clusters }) {
    const shared: Shared = {
      config,
      clusters,
      id: node.id,
      metadata: Buffer.from(encodePeer(peerFromNodeMetadata(node.metadata), config.additionalLabels)).toString(
        "base64",
      ),
      known: new Map(),
    };
    return (stream) => new PeerMetadataFilter(shared, stream);
  },
};

interface Shared {
  readonly config: PeerMetadataConfig;
  readonly clusters: ClusterManager;
  readonly id: string;
  readonly metadata: string;
  /** Header text → peer: a mesh has few workloads and many requests. */
  readonly known: Map<string, PeerMetadata | undefined>;
}

/** Peers remembered by their header; beyond it the memory starts afresh. */
const MOST_KNOWN_PEERS = 1024;

class PeerMetadataFilter implements HttpFilter {
  readonly #shared: Shared;
  readonly #stream: FilterStream;
  #isPeerTold = false;

  constructor(shared: Shared, stream: FilterStream) {
    this.#shared = shared;
    this.#stream = stream;
  }

  decodeHeaders(headers: HeaderMap): FilterStatus {
    const { config } = this.#shared;
    if (config.discoversDownstream) this.#isPeerTold = this.#learn(headers, DOWNSTREAM_PEER);
    if (config.tellsUpstream && !(config.skipsExternalClusters && this.#isExternal())) this.#tell(headers);
    return "continue";
  }

  encodeHeaders(headers: HeaderMap): FilterStatus {
    const { config } = this.#shared;
    if (config.discoversUpstream) this.#learn(headers, UPSTREAM_PEER);
    // Only to who has introduced itself: others would see headers that they did not ask for.
    if (config.tellsDownstream && this.#isPeerTold) this.#tell(headers);
    return "continue";
  }

  #tell(headers: HeaderMap): void {
    headers.set(METADATA_HEADER, this.#shared.metadata);
    headers.set(ID_HEADER, this.#shared.id);
  }

  /** Takes the peer's headers off; true when there were any. */
  #learn(headers: HeaderMap, key: string): boolean {
    const text = headers.get(METADATA_HEADER);
    const hasId = headers.remove(ID_HEADER);
    if (text === undefined) return hasId;
    headers.remove(METADATA_HEADER);
    const peer = this.#peerOf(text);
    if (peer !== undefined) {
      const { info } = this.#stream;
      info.filterState ??= new Map();
      info.filterState.set(key, peer);
    }
    return true;
  }

  #peerOf(text: string): PeerMetadata | undefined {
    const { known } = this.#shared;
    const before = known.get(text);
    if (before !== undefined || known.has(text)) return before;
    const peer = decodePeer(Buffer.from(text, "base64"));
    if (known.size >= MOST_KNOWN_PEERS) known.clear();
    known.set(text, peer);
    return peer;
  }

  #isExternal(): boolean {
    const name = this.#stream.forwardRoute?.clusterName;
    const cluster = name === undefined ? undefined : this.#shared.clusters.get(name);
    return cluster?.metadata["istio"]?.["external"] === true;
  }
}

function parsePeerMetadata(message: Message, path: string): Parsed<PeerMetadataConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as Config, path, problems);
  const downstream = reader.children("downstreamPropagation").map(propagationOf);
  const upstream = reader.children("upstreamPropagation").map(propagationOf);
  const config: PeerMetadataConfig = {
    discoversDownstream: reader.children("downstreamDiscovery").map(discoversByHeaders).includes(true),
    discoversUpstream: reader.children("upstreamDiscovery").map(discoversByHeaders).includes(true),
    tellsDownstream: downstream.some((method) => method.byHeaders),
    tellsUpstream: upstream.some((method) => method.byHeaders),
    skipsExternalClusters: upstream.some((method) => method.skipsExternal),
    additionalLabels: reader.get("additionalLabels"),
  };
  reader.ignore("sharedWithUpstream", "filter state is never shared with upstream streams here");
  reader.finish();
  return problems.length > 0 ? { problems } : { value: config, problems };
}

function discoversByHeaders(reader: MessageReader<Config_DiscoveryMethod>): boolean {
  const method = reader.get("methodSpecifier");
  switch (method.case) {
    case "istioHeaders":
      return true;
    case "workloadDiscovery":
      // By address, from a table that a control plane of ambient meshes pushes: empty for sidecars.
      return false;
    default:
      reader.unsupported("methodSpecifier");
      return false;
  }
}

function propagationOf(reader: MessageReader<Config_PropagationMethod>): {
  byHeaders: boolean;
  skipsExternal: boolean;
} {
  const method = reader.get("methodSpecifier");
  if (method.case === "istioHeaders") return { byHeaders: true, skipsExternal: method.value.skipExternalClusters };
  reader.unsupported("methodSpecifier");
  return { byHeaders: false, skipsExternal: false };
}
