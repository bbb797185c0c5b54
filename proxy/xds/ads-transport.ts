/** The seam between the xDS client and what carries it: a bidirectional stream of messages. */
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { DiscoveryRequest, DiscoveryResponse } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";

export type XdsRequest = DiscoveryRequest | DeltaDiscoveryRequest;
export type XdsResponse = DiscoveryResponse | DeltaDiscoveryResponse;

export interface AdsTransport {
  /** Opens one stream. The handler hears nothing during this call. */
  open(handler: AdsStreamHandler): AdsStream;
}

export interface AdsStream {
  /** Requests are delivered in order; those before the connection is there wait for it. */
  send(request: XdsRequest): void;
  /** Ends the stream; the handler hears nothing more. */
  close(): void;
}

export interface AdsStreamHandler {
  /** The server answered the call: the stream is there. */
  onConnect(): void;
  onMessage(response: XdsResponse): void;
  /** The stream is gone, once and last. `reason` says why: gRPC status and details. */
  onEnd(reason: string): void;
}
