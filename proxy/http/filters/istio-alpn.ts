/** `istio.alpn`: offers Istio's ALPN names to the upstream, so that its proxy knows what it will be spoken to. */
import type { Message } from "@bufbuild/protobuf";
import { MessageReader } from "#protos/reader.ts";
import type { FilterConfig } from "#protos/gen/istio/envoy/config/filter/http/alpn/v2alpha1/config_pb.js";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { ClusterManager } from "../../upstream/types.ts";
import type { FilterStatus, FilterStream, HttpFilter, HttpFilterFactory } from "../filter.ts";

type UpstreamProtocol = "HTTP/1.0" | "HTTP/1.1" | "HTTP/2";

export type AlpnConfig = ReadonlyMap<UpstreamProtocol, readonly string[]>;

export const istioAlpn: HttpFilterFactory<AlpnConfig> = {
  name: "istio.alpn",
  typeUrls: ["type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig"],
  parse: parseAlpn,
  create:
    (config, { clusters }) =>
    (stream) =>
      new AlpnFilter(config, stream, clusters),
};

class AlpnFilter implements HttpFilter {
  readonly #config: AlpnConfig;
  readonly #stream: FilterStream;
  readonly #clusters: ClusterManager;

  constructor(config: AlpnConfig, stream: FilterStream, clusters: ClusterManager) {
    this.#config = config;
    this.#stream = stream;
    this.#clusters = clusters;
  }

  decodeHeaders(): FilterStatus {
    const stream = this.#stream;
    const name = stream.forwardRoute?.clusterName;
    const cluster = name === undefined ? undefined : this.#clusters.get(name);
    if (cluster === undefined || cluster.metadata["istio"]?.["alpn_override"] === "false") return "continue";
    const upstream = cluster.upstreamProtocol(stream.info.protocol);
    stream.upstreamAlpnOverride = this.#config.get(upstream === "http2" ? "HTTP/2" : "HTTP/1.1");
    return "continue";
  }
}

const protocols = ["HTTP/1.0", "HTTP/1.1", "HTTP/2"] as const;

function parseAlpn(message: Message, path: string): Parsed<AlpnConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as FilterConfig, path, problems);
  const config = new Map<UpstreamProtocol, readonly string[]>();
  for (const override of reader.children("alpnOverride")) {
    const protocol = protocols[override.get("upstreamProtocol")];
    if (protocol !== undefined) config.set(protocol, override.get("alpnOverride"));
    override.finish();
  }
  reader.finish();
  return problems.length > 0 ? { problems } : { value: config, problems };
}
