/** `envoy.filters.http.grpc_stats`: counts gRPC calls and messages, by cluster and, where asked, by method. */
import type { Message } from "@bufbuild/protobuf";
import { MessageReader } from "#protos/reader.ts";
import type { FilterConfig } from "#protos/gen/envoy/extensions/filters/http/grpc_stats/v3/config_pb.js";
import type { Parsed, Problem } from "#lib/problem.ts";
import { isGrpcContentType } from "../../observability/grpc-status.ts";
import type { FilterStatus, FilterStream, HttpFilter, HttpFilterFactory } from "../filter.ts";
import type { HeaderMap } from "../header-map.ts";

export interface GrpcStatsConfig {
  readonly emitFilterState: boolean;
  readonly methods: "none" | "all" | ReadonlySet<string>;
  readonly enableUpstreamStats: boolean;
  readonly replaceDots: boolean;
}

/** Key of the filter state, and what is under it. */
export const GRPC_STATS = "envoy.filters.http.grpc_stats";

export interface GrpcMessageCounts {
  requestMessageCount: number;
  responseMessageCount: number;
}

export const grpcStats: HttpFilterFactory<GrpcStatsConfig> = {
  name: GRPC_STATS,
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"],
  parse: parseGrpcStats,
  create(config) {
    return (stream) =>
      isGrpcContentType(stream.requestHeaders.get("content-type")) ? new GrpcStatsFilter(config, stream) : undefined;
  },
};

class GrpcStatsFilter implements HttpFilter {
  readonly #counts: GrpcMessageCounts = { requestMessageCount: 0, responseMessageCount: 0 };
  readonly #request = new MessageCounter();
  readonly #response = new MessageCounter();
  #hasResponded = false;
  readonly #config: GrpcStatsConfig;
  readonly #stream: FilterStream;
  /** `service.method.` where it is counted by itself, else empty. */
  readonly #method: string;

  constructor(config: GrpcStatsConfig, stream: FilterStream) {
    this.#config = config;
    this.#stream = stream;
    this.#method = methodPrefix(config, stream.requestHeaders.path);
  }

  decodeData(chunk: Buffer): FilterStatus {
    const added = this.#request.count(chunk);
    if (added > 0) {
      this.#counts.requestMessageCount += added;
      this.#emit();
    }
    return "continue";
  }

  encodeHeaders(headers: HeaderMap, endStream: boolean): FilterStatus {
    if (endStream) this.#charge(headers);
    return "continue";
  }

  encodeData(chunk: Buffer): FilterStatus {
    const added = this.#response.count(chunk);
    if (added > 0) {
      this.#counts.responseMessageCount += added;
      this.#emit();
    }
    return "continue";
  }

  encodeTrailers(trailers: HeaderMap): FilterStatus {
    this.#charge(trailers);
    return "continue";
  }

  onStreamComplete(): void {
    const { info } = this.#stream;
    const scope = info.cluster?.scope;
    if (scope === undefined) return;
    const { requestMessageCount, responseMessageCount } = this.#counts;
    if (requestMessageCount > 0) scope.counter(`grpc.${this.#method}request_message_count`).add(requestMessageCount);
    if (responseMessageCount > 0) scope.counter(`grpc.${this.#method}response_message_count`).add(responseMessageCount);
    if (this.#config.enableUpstreamStats && info.requestEnd > 0)
      scope.histogram(`grpc.${this.#method}upstream_rq_time`).record(Math.floor(info.end - info.requestEnd));
  }

  #emit(): void {
    if (!this.#config.emitFilterState) return;
    (this.#stream.info.filterState ??= new Map<string, unknown>()).set(GRPC_STATS, this.#counts);
  }

  #charge(headers: HeaderMap): void {
    const status = headers.get("grpc-status");
    const scope = this.#stream.info.cluster?.scope;
    if (status === undefined || scope === undefined || this.#hasResponded || !/^\d{1,3}$/.test(status)) return;
    this.#hasResponded = true;
    scope.counter(`grpc.${this.#method}${status}`).inc();
    scope.counter(`grpc.${this.#method}${status === "0" ? "success" : "failure"}`).inc();
    scope.counter(`grpc.${this.#method}total`).inc();
  }
}

/** Counts length-prefixed messages in a stream that is cut anywhere. */
export class MessageCounter {
  #headerBytes = 0;
  #length = 0;
  #left = 0;

  /** How many messages begin in `chunk` (their prefix ends in it). */
  count(chunk: Buffer): number {
    let messages = 0;
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, chunk.length - at);
        this.#left -= step;
        at += step;
        continue;
      }
      const byte = chunk[at++] as number;
      if (this.#headerBytes > 0) this.#length = this.#length * 256 + byte;
      if (++this.#headerBytes < 5) continue;
      messages++;
      this.#left = this.#length;
      this.#headerBytes = 0;
      this.#length = 0;
    }
    return messages;
  }
}

function methodPrefix(config: GrpcStatsConfig, path: string): string {
  if (config.methods === "none") return "";
  const [, service, method, rest] = (path.split("?")[0] as string).split("/");
  if (service === undefined || method === undefined || rest !== undefined) return "";
  if (config.methods !== "all" && !config.methods.has(`${service}/${method}`)) return "";
  return `${config.replaceDots ? service.replaceAll(".", "_") : service}.${method}.`;
}

function parseGrpcStats(message: Message, path: string): Parsed<GrpcStatsConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as FilterConfig, path, problems);
  const specifier = reader.get("perMethodStatSpecifier");
  let methods: GrpcStatsConfig["methods"] = "none";
  if (specifier.case === "statsForAllMethods" && specifier.value) methods = "all";
  else if (specifier.case === "individualMethodStatsAllowlist")
    methods = new Set(
      specifier.value.services.flatMap(({ name, methodNames }) => methodNames.map((method) => `${name}/${method}`)),
    );
  const value: GrpcStatsConfig = {
    emitFilterState: reader.get("emitFilterState"),
    methods,
    enableUpstreamStats: reader.get("enableUpstreamStats"),
    replaceDots: reader.get("replaceDotsInGrpcServiceName"),
  };
  reader.finish();
  return problems.length > 0 ? { problems } : { value, problems };
}
