/** A transport without a network, for tests of the client: the test is the server. */
import { toBinary, type Message } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { typeUrlOf } from "#protos/type-url.ts";
import { createMessage, descOf } from "#protos/registry.ts";
import type { DeltaDiscoveryResponse } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { DeltaDiscoveryRequest, DiscoveryRequest } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { DiscoveryResponse } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { AdsStreamHandler, AdsTransport, XdsRequest, XdsResponse } from "../ads-transport.ts";
import { resourceName } from "../decode-resource.ts";

/** One stream as its server sees it. */
export interface FakeStream {
  /** All requests on it, in order. */
  readonly requests: XdsRequest[];
  readonly handler: AdsStreamHandler;
  isClosed: boolean;
  /** The delta requests that have come since the last call. */
  takeDelta(): DeltaDiscoveryRequest[];
  /** The state-of-the-world requests that have come since the last call. */
  takeSotw(): DiscoveryRequest[];
  respond(response: XdsResponse): void;
}

export interface FakeTransport extends AdsTransport {
  readonly streams: FakeStream[];
  /** The newest. */
  readonly stream: FakeStream;
}

export function createFakeTransport(): FakeTransport {
  const streams: FakeStream[] = [];
  return {
    streams,
    get stream() {
      const last = streams.at(-1);
      if (last === undefined) throw new Error("no stream was opened");
      return last;
    },
    open: (handler) => {
      const requests: XdsRequest[] = [];
      let taken = 0;
      const take = (): XdsRequest[] => {
        const fresh = requests.slice(taken);
        taken = requests.length;
        return fresh;
      };
      const stream: FakeStream = {
        requests,
        handler,
        isClosed: false,
        takeDelta: () => take() as DeltaDiscoveryRequest[],
        takeSotw: () => take() as DiscoveryRequest[],
        respond: (response) => handler.onMessage(response),
      };
      streams.push(stream);
      return {
        // An absent error is said to be undefined, so that a test can ask for it.
        send: (request) => void requests.push({ ...request, errorDetail: request.errorDetail }),
        close: () => {
          stream.isClosed = true;
        },
      };
    },
  };
}

export function anyOf(message: Message): Any {
  const value = toBinary(descOf(message), message);
  return createMessage<Any>("google.protobuf.Any", { typeUrl: typeUrlOf(message.$typeName), value });
}

export interface DeltaAnswer {
  readonly nonce: string;
  /** Message and version; the name is the message's. */
  readonly resources?: readonly (readonly [Message, string])[];
  readonly removed?: readonly string[];
  readonly systemVersion?: string;
}

export function deltaResponse(typeUrl: string, answer: DeltaAnswer): DeltaDiscoveryResponse {
  return createMessage<DeltaDiscoveryResponse>("envoy.service.discovery.v3.DeltaDiscoveryResponse", {
    typeUrl,
    nonce: answer.nonce,
    systemVersionInfo: answer.systemVersion ?? "",
    resources: (answer.resources ?? []).map(([message, version]) => ({
      name: resourceName(message),
      version,
      resource: anyOf(message),
    })),
    removedResources: [...(answer.removed ?? [])],
  });
}

export function sotwResponse(
  typeUrl: string,
  answer: { readonly nonce: string; readonly version: string; readonly resources?: readonly Message[] },
): DiscoveryResponse {
  return createMessage<DiscoveryResponse>("envoy.service.discovery.v3.DiscoveryResponse", {
    typeUrl,
    nonce: answer.nonce,
    versionInfo: answer.version,
    resources: (answer.resources ?? []).map(anyOf),
  });
}
