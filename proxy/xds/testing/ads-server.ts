/** A small management server over real gRPC, for tests: serves what it is given, and remembers what it was told. */
import { fromBinary, toBinary, type Message } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import {
  Server,
  ServerCredentials,
  type Metadata,
  type MethodDefinition,
  type ServerDuplexStream,
} from "@grpc/grpc-js";
import { typeUrlOf } from "#protos/any.ts";
import { createMessage, descOf, schema } from "#protos/registry.ts";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { DiscoveryRequest, DiscoveryResponse } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { resourceName } from "../decode-resource.ts";

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
type Stream = ServerDuplexStream<Request, DiscoveryResponse | DeltaDiscoveryResponse>;

interface Versioned {
  readonly version: string;
  readonly resource: Any;
}

/** What one stream was told of one type. */
interface TypeOnStream {
  isWildcard: boolean;
  readonly names: Set<string>;
  readonly sent: Map<string, string>;
}

const service = "/envoy.service.discovery.v3.AggregatedDiscoveryService";

/** Listens on the loopback, on any free port unless told otherwise. */
export async function startAdsServer(options: TestAdsServerOptions = {}): Promise<TestAdsServer> {
  const server = new Server();
  const state = new ServerState();
  server.addService(
    { delta: method("delta"), sotw: method("sotw") },
    {
      delta: (stream: Stream) => state.onStream(stream, true),
      sotw: (stream: Stream) => state.onStream(stream, false),
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
    requests: state.requests,
    metadata: state.metadata,
    set: (typeUrl, resources) => state.set(typeUrl, resources),
    request: (fits) => state.request(fits as (request: Request) => boolean) as never,
    endStreams: () => state.endStreams(),
    close: () =>
      new Promise((resolve) => {
        state.endStreams();
        server.forceShutdown();
        resolve();
      }),
  };
}

class ServerState {
  readonly requests: Request[] = [];
  readonly metadata: Metadata[] = [];
  readonly #resources = new Map<string, Map<string, Versioned>>();
  readonly #streams = new Map<Stream, { readonly isDelta: boolean; readonly types: Map<string, TypeOnStream> }>();
  readonly #waiting = new Set<(request: Request) => void>();
  #version = 0;

  onStream(stream: Stream, isDelta: boolean): void {
    const types = new Map<string, TypeOnStream>();
    this.#streams.set(stream, { isDelta, types });
    this.metadata.push(stream.metadata);
    stream.on("data", (request: Request) => {
      this.requests.push(request);
      for (const hear of this.#waiting) hear(request);
      if (isDelta) this.#onDelta(stream, types, request as DeltaDiscoveryRequest);
      else this.#onSotw(stream, types, request as DiscoveryRequest);
    });
    const forget = (): void => void this.#streams.delete(stream);
    stream.on("error", forget);
    stream.on("end", () => {
      forget();
      stream.end();
    });
  }

  set(typeUrl: string, resources: readonly Message[]): void {
    this.#version++;
    const before = this.#resources.get(typeUrl);
    const now = new Map<string, Versioned>();
    for (const message of resources) {
      const value = toBinary(descOf(message), message);
      const name = resourceName(message);
      const old = before?.get(name);
      const isSame = old !== undefined && Buffer.compare(old.resource.value, value) === 0;
      const resource = createMessage<Any>("google.protobuf.Any", { typeUrl: typeUrlOf(message.$typeName), value });
      now.set(name, isSame ? old : { version: String(this.#version), resource });
    }
    this.#resources.set(typeUrl, now);
    for (const [stream, { isDelta, types }] of this.#streams) {
      const type = types.get(typeUrl);
      if (type === undefined) continue;
      if (isDelta) this.#sendDelta(stream, typeUrl, type, new Set());
      else this.#sendSotw(stream, typeUrl, type);
    }
  }

  request(fits: (request: Request) => boolean): Promise<Request> {
    const past = this.requests.find(fits);
    if (past !== undefined) return Promise.resolve(past);
    return new Promise((resolve) => {
      const hear = (request: Request): void => {
        if (!fits(request)) return;
        this.#waiting.delete(hear);
        resolve(request);
      };
      this.#waiting.add(hear);
    });
  }

  endStreams(): void {
    for (const stream of this.#streams.keys()) stream.end();
    this.#streams.clear();
  }

  #onDelta(stream: Stream, types: Map<string, TypeOnStream>, request: DeltaDiscoveryRequest): void {
    const { typeUrl, resourceNamesSubscribe: added, resourceNamesUnsubscribe: dropped } = request;
    let type = types.get(typeUrl);
    const isFirst = type === undefined;
    if (type === undefined) {
      type = {
        isWildcard: added.length === 0,
        names: new Set(),
        sent: new Map(Object.entries(request.initialResourceVersions)),
      };
      types.set(typeUrl, type);
    }
    for (const name of dropped) {
      type.names.delete(name);
      type.sent.delete(name);
    }
    for (const name of added) {
      if (name === "*") type.isWildcard = true;
      else type.names.add(name);
    }
    if (isFirst || added.length > 0) this.#sendDelta(stream, typeUrl, type, new Set(isFirst ? [] : added), isFirst);
  }

  #sendDelta(stream: Stream, typeUrl: string, type: TypeOnStream, asked: ReadonlySet<string>, always = false): void {
    const all = this.#resources.get(typeUrl) ?? new Map<string, Versioned>();
    const wanted = type.isWildcard ? new Set([...all.keys(), ...type.names]) : type.names;
    const changed = [...wanted].filter((name) => {
      const found = all.get(name);
      return found !== undefined && (asked.has(name) || type.sent.get(name) !== found.version);
    });
    const known = new Set([...type.sent.keys(), ...asked]);
    const removed = [...known].filter((name) => name !== "*" && !all.has(name));
    if (changed.length === 0 && removed.length === 0 && !always) return;
    for (const name of removed) type.sent.delete(name);
    const resources = changed.map((name) => {
      const { version, resource } = all.get(name) as Versioned;
      type.sent.set(name, version);
      return { name, version, resource };
    });
    stream.write(
      createMessage<DeltaDiscoveryResponse>("envoy.service.discovery.v3.DeltaDiscoveryResponse", {
        typeUrl,
        nonce: `n${++this.#version}`,
        systemVersionInfo: String(this.#version),
        resources,
        removedResources: removed,
        controlPlane: { identifier: "test-ads-server" },
      }),
    );
  }

  #onSotw(stream: Stream, types: Map<string, TypeOnStream>, request: DiscoveryRequest): void {
    const { typeUrl, resourceNames } = request;
    let type = types.get(typeUrl);
    const isFirst = type === undefined;
    if (type === undefined) {
      type = { isWildcard: false, names: new Set(), sent: new Map() };
      types.set(typeUrl, type);
    }
    const names = resourceNames.filter((name) => name !== "*");
    const isNew = isFirst || names.some((name) => !type.names.has(name));
    type.isWildcard = resourceNames.includes("*") || (resourceNames.length === 0 && (isFirst || type.isWildcard));
    type.names.clear();
    for (const name of names) type.names.add(name);
    if (isNew) this.#sendSotw(stream, typeUrl, type);
  }

  #sendSotw(stream: Stream, typeUrl: string, type: TypeOnStream): void {
    const all = this.#resources.get(typeUrl) ?? new Map<string, Versioned>();
    const wanted = [...all].filter(([name]) => type.isWildcard || type.names.has(name));
    stream.write(
      createMessage<DiscoveryResponse>("envoy.service.discovery.v3.DiscoveryResponse", {
        typeUrl,
        nonce: `n${++this.#version}`,
        versionInfo: String(this.#version),
        resources: wanted.map(([, { resource }]) => resource),
        controlPlane: { identifier: "test-ads-server" },
      }),
    );
  }
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
