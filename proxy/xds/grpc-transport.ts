/** Shell: xDS streams over @grpc/grpc-js. */
import { readFileSync } from "node:fs";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ChannelCredentials,
  Client,
  Metadata,
  status,
  type ChannelOptions,
  type ClientDuplexStream,
} from "@grpc/grpc-js";
import type { SocketAddress } from "#lib/connection.ts";
import type { Clock } from "#lib/runtime.ts";
import { schema } from "#protos/registry.ts";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { DiscoveryRequest, DiscoveryResponse } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { GrpcSourceModel } from "../bootstrap/model.ts";
import type { AdsStream, AdsStreamHandler, AdsTransport, XdsRequest, XdsResponse } from "./ads-transport.ts";
import { grpcTls } from "./grpc-credentials.ts";
import type { GrpcTarget } from "./grpc-target.ts";

export interface GrpcTransportOptions {
  readonly source: GrpcSourceModel;
  readonly target: GrpcTarget;
  /** `/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources`. */
  readonly method: string;
  /** Its content is the bearer token of every stream. */
  readonly tokenFile?: string | undefined;
  readonly clock: Clock;
}

/** Servers of Go's gRPC end connections that ping more often than every five minutes. */
const KEEPALIVE_MS = 300_000;

const CHANNEL_OPTIONS: ChannelOptions = {
  // Traffic to the control plane never takes the proxy that the environment names for applications.
  "grpc.enable_http_proxy": 0,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  "grpc.keepalive_time_ms": KEEPALIVE_MS,
  "grpc.keepalive_timeout_ms": 20_000,
};

/**
 * Each stream has a connection of its own: names are resolved and certificates read anew, and the client's back-off is the
 * only one. Endpoints are tried in turn.
 */
export function createGrpcTransport(options: GrpcTransportOptions): AdsTransport {
  let turn = 0;
  return {
    open: (handler) => {
      const { addresses } = options.target;
      const address = addresses[turn++ % addresses.length] ?? addresses[0];
      return new GrpcStream(options, address, handler);
    },
  };
}

class GrpcStream implements AdsStream {
  #handler: AdsStreamHandler | undefined;
  #client: Client | undefined;
  #call: ClientDuplexStream<XdsRequest, XdsResponse> | undefined;

  constructor(options: GrpcTransportOptions, address: SocketAddress, handler: AdsStreamHandler) {
    this.#handler = handler;
    try {
      this.#start(options, address);
    } catch (error) {
      // A file that can't be read. The handler hears nothing during `open`.
      const reason = error instanceof Error ? error.message : String(error);
      options.clock.setTimer(0, () => this.#end(reason));
    }
  }

  send(request: XdsRequest): void {
    this.#call?.write(request);
  }

  close(): void {
    this.#handler = undefined;
    this.#call?.cancel();
    this.#client?.close();
  }

  #start({ source, target, method, tokenFile }: GrpcTransportOptions, address: SocketAddress): void {
    const metadata = new Metadata();
    for (const [key, value] of source.initialMetadata) metadata.add(key, value);
    if (tokenFile !== undefined) metadata.set("authorization", `Bearer ${readFileSync(tokenFile, "utf8").trim()}`);
    const host = address.kind === "ip" ? address.address : source.clusterName;
    const tls = target.tls === undefined ? undefined : grpcTls(target.tls, host);
    const client = new Client(targetText(address), tls?.credentials ?? ChannelCredentials.createInsecure(), {
      ...CHANNEL_OPTIONS,
      ...tls?.options,
      "grpc.default_authority": source.authority === "" ? source.clusterName : source.authority,
      "grpc.max_receive_message_length": source.maxReceiveMessageBytes ?? -1,
    });
    this.#client = client;
    const { serialize, deserialize } = source.protocol === "delta" ? deltaCodec() : sotwCodec();
    const call = client.makeBidiStreamRequest<XdsRequest, XdsResponse>(method, serialize, deserialize, metadata);
    this.#call = call;
    call.on("metadata", () => this.#handler?.onConnect());
    call.on("data", (response: XdsResponse) => this.#handler?.onMessage(response));
    call.on("error", (error: Error & { code?: number; details?: string }) => {
      this.#end(`${status[error.code ?? status.UNKNOWN] ?? "UNKNOWN"}: ${error.details ?? error.message}`);
    });
    call.on("status", ({ code, details }: { code: number; details: string }) => {
      this.#end(`${status[code] ?? code}${details === "" ? "" : `: ${details}`}`);
    });
  }

  #end(reason: string): void {
    const handler = this.#handler;
    this.#handler = undefined;
    this.#client?.close();
    handler?.onEnd(reason);
  }
}

function targetText(address: SocketAddress): string {
  if (address.kind !== "ip") return `unix:${address.path}`;
  const { address: host, port } = address;
  if (host.includes(":")) return `ipv6:[${host}]:${port}`;
  return /^[\d.]+$/.test(host) ? `ipv4:${host}:${port}` : `dns:${host}:${port}`;
}

interface Codec {
  readonly serialize: (request: XdsRequest) => Buffer;
  readonly deserialize: (bytes: Buffer) => XdsResponse;
}

function deltaCodec(): Codec {
  const request = schema<DeltaDiscoveryRequest>("envoy.service.discovery.v3.DeltaDiscoveryRequest");
  const response = schema<DeltaDiscoveryResponse>("envoy.service.discovery.v3.DeltaDiscoveryResponse");
  return {
    serialize: (message) => Buffer.from(toBinary(request, message as DeltaDiscoveryRequest)),
    deserialize: (bytes) => fromBinary(response, bytes),
  };
}

function sotwCodec(): Codec {
  const request = schema<DiscoveryRequest>("envoy.service.discovery.v3.DiscoveryRequest");
  const response = schema<DiscoveryResponse>("envoy.service.discovery.v3.DiscoveryResponse");
  return {
    serialize: (message) => Buffer.from(toBinary(request, message as DiscoveryRequest)),
    deserialize: (bytes) => fromBinary(response, bytes),
  };
}
