/** The gRPC methods of `envoy.service.discovery.v3.AggregatedDiscoveryService`, for @grpc/grpc-js, server and client. */
import { fromBinary, toBinary, type Message } from "@bufbuild/protobuf";
import type { MethodDefinition } from "@grpc/grpc-js";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { schema } from "#protos/registry.ts";

const SERVICE = "envoy.service.discovery.v3";

export interface DiscoveryServiceDefinition {
  readonly streamAggregatedResources: MethodDefinition<DiscoveryRequest, DiscoveryResponse>;
  readonly deltaAggregatedResources: MethodDefinition<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;
}

export function discoveryServiceDefinition(): DiscoveryServiceDefinition {
  return {
    streamAggregatedResources: method(
      "StreamAggregatedResources",
      codec<DiscoveryRequest>(`${SERVICE}.DiscoveryRequest`),
      codec<DiscoveryResponse>(`${SERVICE}.DiscoveryResponse`),
    ),
    deltaAggregatedResources: method(
      "DeltaAggregatedResources",
      codec<DeltaDiscoveryRequest>(`${SERVICE}.DeltaDiscoveryRequest`),
      codec<DeltaDiscoveryResponse>(`${SERVICE}.DeltaDiscoveryResponse`),
    ),
  };
}

interface Codec<T> {
  readonly write: (message: T) => Buffer;
  readonly read: (bytes: Buffer) => T;
}

function codec<T extends Message>(typeName: T["$typeName"]): Codec<T> {
  const desc = schema<T>(typeName);
  return {
    write: (message) => Buffer.from(toBinary(desc, message)),
    read: (bytes) => fromBinary(desc, bytes) as T,
  };
}

function method<Request, Response>(
  name: string,
  request: Codec<Request>,
  response: Codec<Response>,
): MethodDefinition<Request, Response> {
  return {
    path: `/${SERVICE}.AggregatedDiscoveryService/${name}`,
    originalName: name,
    requestStream: true,
    responseStream: true,
    requestSerialize: request.write,
    requestDeserialize: request.read,
    responseSerialize: response.write,
    responseDeserialize: response.read,
  };
}
