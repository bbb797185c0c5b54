/** Where a `config_source` leads: the aggregated stream, a stream of one type, or a file. */
import type { Parsed, Problem } from "#lib/problem.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { ApiConfigSource, ConfigSource } from "#protos/gen/envoy/config/core/v3/config_source_pb.js";
import type { PathConfigSource } from "#protos/gen/envoy/config/core/v3/config_source_pb.js";
import { MessageReader } from "#protos/reader.ts";
import type { BootstrapModel, GrpcSourceModel } from "../bootstrap/model.ts";
import { parseGrpcSource } from "../bootstrap/parse-grpc-source.ts";
import { durationMs } from "../config-values.ts";
import type { StatsScope } from "../observability/stats.ts";
import { createXdsClient } from "./ads-client.ts";
import type { AdsTransport } from "./ads-transport.ts";
import { createFileClient } from "./file-client.ts";
import { grpcTargetOf } from "./grpc-target.ts";
import { createGrpcTransport } from "./grpc-transport.ts";
import { adsMethod, typeMethod } from "./methods.ts";
import type { XdsClient } from "./types.ts";

/** A `config_source`, opened. */
export interface XdsSource {
  readonly client: XdsClient;
  /** 0: for ever. */
  readonly initialFetchTimeoutMs: number;
}

export interface XdsSources {
  /** What `ads: {}` means; undefined without `ads_config`. */
  readonly ads: XdsClient | undefined;
  /** Opens a `config_source` for a type. The same source gives the same client. */
  open(source: ConfigSource, typeUrl: string, path: string): Parsed<XdsSource>;
  close(): void;
}

export interface XdsSourcesDeps {
  readonly runtime: Runtime;
  /** The root of the statistics. */
  readonly scope: StatsScope;
  readonly bootstrap: Pick<BootstrapModel, "ads" | "clusters" | "node" | "identity">;
  /** Makes the transport of a stream; default: gRPC to the static cluster of the bootstrap. */
  readonly transportOf?: (source: GrpcSourceModel, method: string) => Parsed<AdsTransport>;
}

export const DEFAULT_FETCH_TIMEOUT_MS = 15_000;
const V2 = 1;

/** Problems name what stands in the way of the aggregated stream. */
export function createXdsSources(deps: XdsSourcesDeps): Parsed<XdsSources> {
  const { ads } = deps.bootstrap;
  if (ads === undefined) return { value: new Sources(deps, undefined), problems: [] };
  const client = clientOf(deps, ads, adsMethod(ads.protocol), deps.scope);
  if (client.value === undefined) return { problems: client.problems };
  return { value: new Sources(deps, client.value), problems: client.problems };
}

function clientOf(deps: XdsSourcesDeps, source: GrpcSourceModel, method: string, scope: StatsScope): Parsed<XdsClient> {
  const { runtime, bootstrap } = deps;
  const transport = (deps.transportOf ?? grpcTransportOf(deps))(source, method);
  if (transport.value === undefined) return { problems: transport.problems };
  const { protocol, backOff, rateLimit, setNodeOnFirstMessageOnly } = source;
  const options = { protocol, backOff, rateLimit, setNodeOnFirstMessageOnly, server: source.clusterName };
  const client = createXdsClient({ runtime, scope, node: bootstrap.node, transport: transport.value, ...options });
  return { value: client, problems: transport.problems };
}

function grpcTransportOf({ bootstrap, runtime }: XdsSourcesDeps): NonNullable<XdsSourcesDeps["transportOf"]> {
  return (source, method) => {
    const cluster = bootstrap.clusters.find(({ name }) => name === source.clusterName);
    if (cluster === undefined) {
      const message = `no static cluster ${source.clusterName}: add it to static_resources.clusters`;
      return { problems: [{ code: "invalid-value", level: "error", path: "", message }] };
    }
    const target = grpcTargetOf(cluster);
    if (target.value === undefined) return { problems: target.problems };
    const tokenFile = bootstrap.identity?.tokenFile || undefined;
    const options = { source, target: target.value, method, tokenFile, clock: runtime.clock };
    return { value: createGrpcTransport(options), problems: target.problems };
  };
}

class Sources implements XdsSources {
  readonly ads: XdsClient | undefined;
  readonly #deps: XdsSourcesDeps;
  /** By path, or by method and cluster. */
  readonly #clients = new Map<string, XdsClient>();

  constructor(deps: XdsSourcesDeps, ads: XdsClient | undefined) {
    this.#deps = deps;
    this.ads = ads;
  }

  open(source: ConfigSource, typeUrl: string, path: string): Parsed<XdsSource> {
    const problems: Problem[] = [];
    const reader = new MessageReader(source, path, problems);
    const initialFetchTimeoutMs = durationMs(reader.get("initialFetchTimeout")) ?? DEFAULT_FETCH_TIMEOUT_MS;
    if (reader.get("resourceApiVersion") === V2)
      reader.invalid("resourceApiVersion", "only V3 resources are supported");
    const specifier = reader.get("configSourceSpecifier");
    reader.finish();
    let client: XdsClient | undefined;
    switch (specifier.case) {
      case "ads":
        client = this.ads;
        if (client === undefined) reader.invalid("configSourceSpecifier", "ads: {} needs dynamic_resources.ads_config");
        break;
      case "path":
        client = this.#file(specifier.value);
        break;
      case "pathConfigSource":
        client = this.#pathSource(reader.oneof("configSourceSpecifier", specifier.value));
        break;
      case "apiConfigSource":
        client = this.#apiSource(reader.oneof("configSourceSpecifier", specifier.value), typeUrl);
        break;
      case "self":
      case undefined:
        reader.unsupported(
          "configSourceSpecifier",
          "a config_source is one of ads, api_config_source, path_config_source",
        );
    }
    if (client === undefined || problems.length > 0) return { problems };
    return { value: { client, initialFetchTimeoutMs }, problems };
  }

  close(): void {
    this.ads?.close();
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #pathSource(reader: MessageReader<PathConfigSource>): XdsClient {
    const path = reader.get("path");
    reader.ignore("watchedDirectory", "the file is watched by its content wherever it is");
    reader.ignore("pollInterval", "the file is looked at every second");
    reader.finish();
    return this.#file(path);
  }

  #file(path: string): XdsClient {
    return this.#once(`file ${path}`, () => createFileClient({ runtime: this.#deps.runtime, path }));
  }

  #apiSource(reader: MessageReader<ApiConfigSource>, typeUrl: string): XdsClient | undefined {
    const source = parseGrpcSource(reader);
    if (source === undefined) return undefined;
    const method = typeMethod(typeUrl, source.protocol);
    if (method === undefined) {
      reader.invalid("apiType", `${typeUrl} has no service of its own; use ads: {}`);
      return undefined;
    }
    const key = `${method} ${source.clusterName} ${source.authority}`;
    const known = this.#clients.get(key);
    if (known !== undefined) return known;
    const scope = this.#deps.scope.scope("cluster").scope(source.clusterName);
    const { value, problems } = clientOf(this.#deps, source, method, scope);
    reader.problems.push(...problems);
    if (value !== undefined) this.#clients.set(key, value);
    return value;
  }

  #once(key: string, make: () => XdsClient): XdsClient {
    const client = this.#clients.get(key) ?? make();
    this.#clients.set(key, client);
    return client;
  }
}
