/** `istio.stats` for HTTP: counts a stream when it is complete. */
import type { FilterFactoryContext, FilterStream, HttpFilter, HttpFilterFactory } from "../../http/filter.ts";
import type { StreamInfo } from "../../stream-info.ts";
import type { Counter, Histogram } from "../stats.ts";
import type { Labels } from "../stats-store.ts";
import { grpcStatus, isGrpcContentType } from "../grpc-status.ts";
import { DOWNSTREAM_PEER, UPSTREAM_PEER, peerFromNodeMetadata, peerOf } from "../peer.ts";
import { formatResponseFlags } from "../response-flags.ts";
import { ISTIO_STATS_TYPE_URL, parseIstioStats, type IstioStatsConfig } from "./config.ts";
import { standardLabels, type Parties, type Reporter } from "./labels.ts";
import { needsHost, partiesOf, type PartySettings } from "./parties.ts";
import { PartyCache } from "./party-cache.ts";
import { counterMetric, histogramMetric, type Metric } from "./series.ts";

/** Filter state of `envoy.filters.http.grpc_stats`. */
const GRPC_STATS_STATE = "envoy.filters.http.grpc_stats";

interface GrpcMessageCounts {
  readonly requestMessageCount: number;
  readonly responseMessageCount: number;
}

export const istioStatsHttp: HttpFilterFactory<IstioStatsConfig> = {
  name: "istio.stats",
  typeUrls: [ISTIO_STATS_TYPE_URL],
  parse: parseIstioStats,
  create(config, context) {
    const recorder = new Recorder(config, context);
    return (stream) => new StatsFilter(stream, recorder);
  },
};

class StatsFilter implements HttpFilter {
  readonly #stream: FilterStream;
  readonly #recorder: Recorder;
  constructor(stream: FilterStream, recorder: Recorder) {
    this.#stream = stream;
    this.#recorder = recorder;
  }
  onStreamComplete(): void {
    this.#recorder.record(this.#stream);
  }
}

/** Handles of one outcome between the same parties. */
interface Series {
  readonly standard: Labels;
  readonly requests: Counter | undefined;
  readonly duration: Histogram | undefined;
  readonly requestBytes: Histogram | undefined;
  readonly responseBytes: Histogram | undefined;
  readonly requestMessages: Counter | undefined;
  readonly responseMessages: Counter | undefined;
}

class Recorder {
  readonly #config: IstioStatsConfig;
  readonly #settings: PartySettings;
  readonly #parties = new PartyCache<Series>();
  readonly #requests: Metric<Counter>;
  readonly #duration: Metric<Histogram>;
  readonly #requestBytes: Metric<Histogram>;
  readonly #responseBytes: Metric<Histogram>;
  readonly #requestMessages: Metric<Counter>;
  readonly #responseMessages: Metric<Counter>;
  /** Some label is taken from the stream: handles can't be kept by parties and outcome. */
  readonly #dependsOnStream: boolean;

  constructor(config: IstioStatsConfig, { rootScope, node, trafficDirection }: FilterFactoryContext) {
    const scope = rootScope.scope("istiocustom");
    this.#config = config;
    this.#settings = {
      reporter: reporterOf(trafficDirection, config.isServerGateway),
      local: peerFromNodeMetadata(node.metadata),
      useHostHeader: config.useHostHeader,
    };
    this.#requests = counterMetric(scope, "requests_total", config);
    this.#duration = histogramMetric(scope, "request_duration_milliseconds", config);
    this.#requestBytes = histogramMetric(scope, "request_bytes", config);
    this.#responseBytes = histogramMetric(scope, "response_bytes", config);
    this.#requestMessages = counterMetric(scope, "request_messages_total", config);
    this.#responseMessages = counterMetric(scope, "response_messages_total", config);
    this.#dependsOnStream = [
      this.#requests,
      this.#duration,
      this.#requestBytes,
      this.#responseBytes,
      this.#requestMessages,
      this.#responseMessages,
    ].some(({ dependsOnStream }) => dependsOnStream);
    const version = node.metadata["ISTIO_VERSION"];
    const tag = typeof version === "string" ? version : "unknown";
    scope
      .labelledGauge("istio_build", [
        ["component", "proxy"],
        ["tag", tag],
      ])
      .set(1);
  }

  record(stream: FilterStream): void {
    const { info } = stream;
    const { cluster } = info;
    const host = needsHost(cluster, this.#config.useHostHeader) ? stream.requestHeaders.authority : "";
    const isSource = this.#settings.reporter === "source";
    const peer = peerOf(info.filterState, isSource ? UPSTREAM_PEER : DOWNSTREAM_PEER);
    const tls = isSource ? info.upstreamConnection?.tls : info.connection?.tls;
    const parties = this.#parties.get(cluster, peer, tls, host, () => partiesOf(info, host, this.#settings));
    const isGrpc = isGrpcContentType(stream.requestHeaders.get("content-type"));
    const status = isGrpc ? (grpcStatus(stream.responseTrailers, stream.responseHeaders, info.responseCode) ?? -1) : -1;
    // Codes below 1024, 18 statuses (with "none"), a bit for gRPC; flags above: one number names the outcome.
    const outcome = ((info.flags * 2 + (isGrpc ? 1 : 0)) * 32 + (status + 1)) * 1024 + info.responseCode;
    let series = parties.series.get(outcome);
    if (series === undefined) {
      series = this.#resolve(parties.parties, isGrpc, status, stream);
      parties.series.set(outcome, series);
    }
    this.#count(this.#dependsOnStream ? this.#handles(series.standard, stream) : series, info);
  }

  #resolve(parties: Parties, isGrpc: boolean, status: number, stream: FilterStream): Series {
    const standard = standardLabels(parties, {
      protocol: isGrpc ? "grpc" : "http",
      responseCode: String(stream.info.responseCode),
      grpcStatus: isGrpc && status >= 0 ? String(status) : "",
      responseFlags: formatResponseFlags(stream.info.flags),
    });
    return this.#handles(standard, stream);
  }

  #handles(standard: Labels, stream: FilterStream): Series {
    const isGrpc = stream.info.filterState?.has(GRPC_STATS_STATE) === true;
    return {
      standard,
      requests: this.#requests.resolve(standard, stream),
      duration: this.#duration.resolve(standard, stream),
      requestBytes: this.#requestBytes.resolve(standard, stream),
      responseBytes: this.#responseBytes.resolve(standard, stream),
      requestMessages: isGrpc ? this.#requestMessages.resolve(standard, stream) : undefined,
      responseMessages: isGrpc ? this.#responseMessages.resolve(standard, stream) : undefined,
    };
  }

  #count(series: Series, info: StreamInfo): void {
    series.requests?.inc();
    series.duration?.record(info.end - info.start);
    series.requestBytes?.record(info.requestHeaderBytes + info.bytesReceived);
    series.responseBytes?.record(info.responseHeaderBytes + info.bytesSent);
    if (series.requestMessages === undefined && series.responseMessages === undefined) return;
    const counts = info.filterState?.get(GRPC_STATS_STATE) as GrpcMessageCounts | undefined;
    series.requestMessages?.add(counts?.requestMessageCount ?? 0);
    series.responseMessages?.add(counts?.responseMessageCount ?? 0);
  }
}

/** Gateways report as the source, as everything that is not inbound. */
export function reporterOf(direction: FilterFactoryContext["trafficDirection"], isServerGateway: boolean): Reporter {
  if (isServerGateway) return "waypoint";
  return direction === "inbound" ? "destination" : "source";
}
