/** A small management server over real gRPC, for tests: serves what it is given, and remembers what it was told. */
import { fromBinary, toBinary, type Message } from "@bufbuild/protobuf";
import {
  Server,
  ServerCredentials,
  type Metadata,
  type MethodDefinition,
  type ServerDuplexStream,
} from "@grpc/grpc-js";
import { schema } from "#protos/registry.ts";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { DiscoveryRequest, DiscoveryResponse } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { ServerCore } from "./server-core.ts";

export interface TestAdsServer {
  /** `127.0.0.1:<port>`. */
  readonly address: string;
  readonly port: number;
  /** Every request, in order. */
  readonly requests: readonly (DiscoveryRequest | DeltaDiscoveryRequest)[];
  /** Metadata of each stream. */
  readonly metadata: readonly Metadata[];
  /** Replaces all resources of a type and tells every stream what has changed. */
  set(typeUrl: string, resources: readonly Message[]): void;
  /** Resolves with the first request, past or future, that fits. */
  request<T extends DiscoveryRequest | DeltaDiscoveryRequest>(fits: (request: T) => boolean): Promise<T>;
  /** Ends every open stream, as a server does that shuts down. */
  endStreams(): void;
  close(): Promise<void>;
}

export interface TestAdsServerOptions {
  readonly credentials?: ServerCredentials;
  /** Default 0: any. */
  readonly port?: number;
}

type Request = DiscoveryRequest | DeltaDiscoveryRequest;
type Response = DiscoveryResponse | DeltaDiscoveryResponse;
type Stream = ServerDuplexStream<Request, Response>;

const service = "/envoy.service.discovery.v3.AggregatedDiscoveryService";

/** Listens on the loopback, on any free port unless told otherwise. */
export async function startAdsServer(options: TestAdsServerOptions = {}): Promise<TestAdsServer> {
  const server = new Server();
  const core = new ServerCore();
  const metadata: Metadata[] = [];
  const serve = (stream: Stream, isDelta: boolean): void => {
    metadata.push(stream.metadata);
    const served = { write: (response: Response) => void stream.write(response), end: () => void stream.end() };
    const { onRequest, onEnd } = core.onStream(served, isDelta);
    stream.on("data", onRequest);
    stream.on("error", onEnd);
    stream.on("end", () => {
      onEnd();
      stream.end();
    });
  };
  server.addService(
    { delta: method("delta"), sotw: method("sotw") },
    {
      delta: (stream: Stream) => serve(stream, true),
      sotw: (stream: Stream) => serve(stream, false),
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    const credentials = options.credentials ?? ServerCredentials.createInsecure();
    server.bindAsync(`127.0.0.1:${options.port ?? 0}`, credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    address: `127.0.0.1:${port}`,
    port,
    requests: core.requests,
    metadata,
    set: (typeUrl, resources) => core.set(typeUrl, resources),
    request: (fits) => core.request(fits as (request: Request) => boolean) as never,
    endStreams: () => core.endStreams(),
    close: () =>
      new Promise((resolve) => {
        core.endStreams();
        server.forceShutdown();
        resolve();
      }),
  };
}

function method(protocol: "delta" | "sotw"): MethodDefinition<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
  const prefix = `envoy.service.discovery.v3.${protocol === "delta" ? "Delta" : ""}Discovery`;
  const request = schema<DeltaDiscoveryRequest>(`${prefix}Request` as DeltaDiscoveryRequest["$typeName"]);
  const response = schema<DeltaDiscoveryResponse>(`${prefix}Response` as DeltaDiscoveryResponse["$typeName"]);
  return {
    path: `${service}/${protocol === "delta" ? "DeltaAggregatedResources" : "StreamAggregatedResources"}`,
    originalName: protocol,
    requestStream: true,
    responseStream: true,
    requestSerialize: (message: DeltaDiscoveryRequest) => Buffer.from(toBinary(request, message)),
    requestDeserialize: (bytes: Buffer) => fromBinary(request, bytes),
    responseSerialize: (message: DeltaDiscoveryResponse) => Buffer.from(toBinary(response, message)),
    responseDeserialize: (bytes: Buffer) => fromBinary(response, bytes),
  };
}
