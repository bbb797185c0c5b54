/**
 * `istio.metadata_exchange` for HTTP (`io.istio.http.peer_metadata.Config`): tells the other side who we are in
 * `x-envoy-peer-metadata`, learns who it is, and takes the headers off.
 */
import { fromBinary, toBinary, type Message } from "@bufbuild/protobuf";
import type { Struct } from "@bufbuild/protobuf/wkt";
import { MessageReader } from "#protos/reader.ts";
import { messageFromJson, messageToJson } from "#protos/json.ts";
import { descOf, schema } from "#protos/registry.ts";
import type {
  Config,
  Config_DiscoveryMethod,
  Config_PropagationMethod,
} from "#protos/gen/io/istio/http/peer_metadata/config_pb.js";
import type { Parsed, Problem } from "#lib/problem.ts";
import { DOWNSTREAM_PEER, UPSTREAM_PEER, peerFromNodeMetadata, type PeerMetadata } from "../../observability/peer.ts";
import type { FilterFactoryContext, FilterStatus, FilterStream, HttpFilter, HttpFilterFactory } from "../filter.ts";
import type { HeaderMap } from "../header-map.ts";

export interface PeerMetadataConfig {
  readonly learnsDownstream: boolean;
  readonly learnsUpstream: boolean;
  readonly tellsDownstream: boolean;
  readonly tellsUpstream: boolean;
  readonly skipsExternalClusters: boolean;
  readonly additionalLabels: readonly string[];
}

const metadataHeader = "x-envoy-peer-metadata";
const idHeader = "x-envoy-peer-metadata-id";

export const istioPeerMetadata: HttpFilterFactory<PeerMetadataConfig> = {
  name: "istio.metadata_exchange",
  typeUrls: ["type.googleapis.com/io.istio.http.peer_metadata.Config"],
  parse: parsePeerMetadata,
  create(config, context) {
    const exchange = new Exchange(config, context);
    return (stream) => new PeerMetadataFilter(exchange, stream);
  },
};

/** Whoever talks to us is one of few: what they sent is read once. Beyond this many, each time. */
const maxKnownPeers = 1000;

/** What all streams share: our own metadata, encoded once, and the peers seen so far. */
class Exchange {
  readonly config: PeerMetadataConfig;
  readonly own: string;
  readonly id: string;
  readonly context: FilterFactoryContext;
  readonly #known = new Map<string, PeerMetadata>();

  constructor(config: PeerMetadataConfig, context: FilterFactoryContext) {
    this.config = config;
    this.context = context;
    this.id = context.node.id;
    this.own = encodedMetadata(context.node.metadata, config.additionalLabels);
  }

  peer(text: string): PeerMetadata | undefined {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const peer = decodedMetadata(text);
    if (peer !== undefined && this.#known.size < maxKnownPeers) this.#known.set(text, peer);
    return peer;
  }
}

class PeerMetadataFilter implements HttpFilter {
  #wasTold = false;
  #wasToldId = false;
  readonly #exchange: Exchange;
  readonly #stream: FilterStream;

  constructor(exchange: Exchange, stream: FilterStream) {
    this.#exchange = exchange;
    this.#stream = stream;
  }

  decodeHeaders(headers: HeaderMap): FilterStatus {
    const { config } = this.#exchange;
    if (config.learnsDownstream) {
      this.#wasToldId = headers.remove(idHeader);
      this.#wasTold = this.#learn(headers, DOWNSTREAM_PEER);
    }
    if (config.tellsUpstream && !this.#isExternal()) this.#tell(headers);
    return "continue";
  }

  encodeHeaders(headers: HeaderMap): FilterStatus {
    const { config, own, id } = this.#exchange;
    if (config.learnsUpstream) {
      this.#learn(headers, UPSTREAM_PEER);
      headers.remove(idHeader);
    }
    // Only who has told us is told: others would not know what to do with it.
    if (config.tellsDownstream) {
      if (this.#wasTold) headers.set(metadataHeader, own);
      if (this.#wasToldId) headers.set(idHeader, id);
    }
    return "continue";
  }

  #learn(headers: HeaderMap, key: string): boolean {
    const text = headers.get(metadataHeader);
    if (text === undefined) return false;
    headers.remove(metadataHeader);
    const peer = this.#exchange.peer(text);
    if (peer !== undefined) (this.#stream.info.filterState ??= new Map<string, unknown>()).set(key, peer);
    return true;
  }

  #tell(headers: HeaderMap): void {
    headers.set(metadataHeader, this.#exchange.own);
    headers.set(idHeader, this.#exchange.id);
  }

  #isExternal(): boolean {
    const { config, context } = this.#exchange;
    if (!config.skipsExternalClusters) return false;
    const name = this.#stream.forwardRoute?.clusterName;
    const cluster = name === undefined ? undefined : context.clusters.get(name);
    return cluster?.metadata["istio"]?.["external"] === true;
  }
}

const sharedLabels = ["app", "version", "service.istio.io/canonical-name", "service.istio.io/canonical-revision"];
const sharedKeys = ["APP_CONTAINERS", "CLUSTER_ID", "NAME", "NAMESPACE", "OWNER", "PLATFORM_METADATA", "WORKLOAD_NAME"];

/** base64 of a `google.protobuf.Struct` with its keys in order. */
export function encodedMetadata(node: Readonly<Record<string, unknown>>, additionalLabels: readonly string[]): string {
  const shared: Record<string, unknown> = {};
  for (const key of sharedKeys) if (node[key] !== undefined && node[key] !== "") shared[key] = node[key];
  const labels = node["LABELS"];
  if (typeof labels === "object" && labels !== null) {
    const wanted = new Set([...sharedLabels, ...additionalLabels]);
    shared["LABELS"] = Object.fromEntries(Object.entries(labels).filter(([name]) => wanted.has(name)));
  }
  const { value } = messageFromJson("google.protobuf.Struct", sorted(shared));
  return value === undefined ? "" : Buffer.from(toBinary(descOf(value), value)).toString("base64");
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}

/** Undefined when it is not what it says to be: then the peer stays unknown. */
function decodedMetadata(text: string): PeerMetadata | undefined {
  try {
    const struct = fromBinary(schema<Struct>("google.protobuf.Struct"), Buffer.from(text, "base64"));
    return peerFromNodeMetadata(messageToJson(struct) as Readonly<Record<string, unknown>>);
  } catch {
    return undefined;
  }
}

function parsePeerMetadata(message: Message, path: string): Parsed<PeerMetadataConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as Config, path, problems);
  const learnsDownstream = readDiscovery(reader.children("downstreamDiscovery"));
  const learnsUpstream = readDiscovery(reader.children("upstreamDiscovery"));
  const downstream = readPropagation(reader.children("downstreamPropagation"));
  const upstream = readPropagation(reader.children("upstreamPropagation"));
  const additionalLabels = reader.get("additionalLabels");
  reader.finish();
  const value: PeerMetadataConfig = {
    learnsDownstream,
    learnsUpstream,
    tellsDownstream: downstream.tells,
    tellsUpstream: upstream.tells,
    skipsExternalClusters: upstream.skipsExternal,
    additionalLabels,
  };
  return problems.length > 0 ? { problems } : { value, problems };
}

function readDiscovery(readers: readonly MessageReader<Config_DiscoveryMethod>[]): boolean {
  let byHeaders = false;
  for (const reader of readers) {
    const method = reader.get("methodSpecifier");
    if (method.case === "istioHeaders") {
      byHeaders = true;
      const headers = reader.oneof("methodSpecifier", method.value);
      headers.ignore("skipExternalClusters", "says what is told, not what is discovered");
      headers.finish();
    }
    // `workload_discovery` asks a service that only ambient meshes have; without it, it finds nobody, as in Istio's proxy.
    else if (method.case !== "workloadDiscovery") reader.unsupported("methodSpecifier");
    reader.finish();
  }
  return byHeaders;
}

function readPropagation(readers: readonly MessageReader<Config_PropagationMethod>[]): {
  readonly tells: boolean;
  readonly skipsExternal: boolean;
} {
  let tells = false;
  let skipsExternal = false;
  for (const reader of readers) {
    const method = reader.get("methodSpecifier");
    if (method.case === "istioHeaders") {
      tells = true;
      skipsExternal = method.value.skipExternalClusters;
    } else reader.unsupported("methodSpecifier");
    reader.finish();
  }
  return { tells, skipsExternal };
}
