/** Requests from the wire into the subscription's terms, responses into wire messages. */
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { createMessage } from "#protos/registry.ts";
import type { DeltaRequest, SotwRequest } from "./subscription.ts";
import type { XdsResponse } from "./xds-connection.ts";

export function deltaRequestFrom(message: DeltaDiscoveryRequest): DeltaRequest {
  return {
    mode: "delta",
    subscribe: message.resourceNamesSubscribe,
    unsubscribe: message.resourceNamesUnsubscribe,
    initialVersions: message.initialResourceVersions,
    nonce: message.responseNonce,
    errorDetail: message.errorDetail === undefined ? undefined : message.errorDetail.message,
  };
}

export function sotwRequestFrom(message: DiscoveryRequest): SotwRequest {
  return {
    mode: "sotw",
    names: message.resourceNames,
    version: message.versionInfo,
    nonce: message.responseNonce,
    errorDetail: message.errorDetail === undefined ? undefined : message.errorDetail.message,
  };
}

export function deltaResponseFrom(response: XdsResponse, identifier: string): DeltaDiscoveryResponse {
  return createMessage<DeltaDiscoveryResponse>("envoy.service.discovery.v3.DeltaDiscoveryResponse", {
    typeUrl: response.type.typeUrl,
    systemVersionInfo: response.version,
    nonce: response.nonce,
    controlPlane: { identifier },
    removedResources: [...response.removed],
    resources: response.resources.map(({ name, version, typeUrl, bytes }) => ({
      name,
      version,
      resource: { typeUrl, value: bytes },
    })),
  });
}

export function sotwResponseFrom(response: XdsResponse, identifier: string): DiscoveryResponse {
  return createMessage<DiscoveryResponse>("envoy.service.discovery.v3.DiscoveryResponse", {
    typeUrl: response.type.typeUrl,
    versionInfo: response.version,
    nonce: response.nonce,
    controlPlane: { identifier },
    resources: response.resources.map(({ typeUrl, bytes }) => ({ typeUrl, value: bytes })),
  });
}
