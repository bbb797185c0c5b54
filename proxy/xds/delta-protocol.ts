/** Incremental xDS (X-33 … X-49). */
import { createMessage } from "#protos/registry.ts";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { Status } from "#protos/gen/google/rpc/status_pb.js";
import type { XdsResponse } from "./ads-transport.ts";
import { receivedFromResource } from "./decode-resource.ts";
import {
  NACK_CODE,
  NOT_FOUND,
  WILDCARD,
  type Interest,
  type ReceivedUpdate,
  type TypeProtocol,
} from "./type-protocol.ts";

interface Ack {
  readonly nonce: string;
  readonly error: string | undefined;
}

export class DeltaProtocol implements TypeProtocol {
  readonly asksAnew = true;
  readonly #typeUrl: string;
  #isStarted = false;
  readonly #subscribe = new Set<string>();
  readonly #unsubscribe = new Set<string>();
  #acks: Ack[] = [];

  constructor(typeUrl: string) {
    this.#typeUrl = typeUrl;
  }

  restart(): void {
    this.#isStarted = false;
    this.#subscribe.clear();
    this.#unsubscribe.clear();
    this.#acks = [];
  }

  /** A name that went and came back is asked for anew: its copy here is forgotten. */
  subscribed(name: string): void {
    this.#unsubscribe.delete(name);
    this.#subscribe.add(name);
  }

  unsubscribed(name: string): void {
    this.#subscribe.delete(name);
    this.#unsubscribe.add(name);
  }

  hasRequest(interest: Interest): boolean {
    if (!this.#isStarted) return !interest.isEmpty;
    return this.#acks.length > 0 || this.#subscribe.size > 0 || this.#unsubscribe.size > 0;
  }

  takeRequest(interest: Interest): DeltaDiscoveryRequest {
    const request = createMessage<DeltaDiscoveryRequest>("envoy.service.discovery.v3.DeltaDiscoveryRequest", {
      typeUrl: this.#typeUrl,
    });
    if (this.#isStarted) {
      request.resourceNamesSubscribe = [...this.#subscribe];
      request.resourceNamesUnsubscribe = [...this.#unsubscribe];
    } else {
      this.#isStarted = true;
      const names = [...interest.names];
      // Nothing at all in a first request is the wildcard.
      request.resourceNamesSubscribe = interest.isWildcard && names.length > 0 ? [WILDCARD, ...names] : names;
      request.initialResourceVersions = Object.fromEntries(interest.versions);
    }
    this.#subscribe.clear();
    this.#unsubscribe.clear();
    const ack = this.#acks.shift();
    if (ack !== undefined) {
      request.responseNonce = ack.nonce;
      if (ack.error !== undefined) {
        request.errorDetail = createMessage<Status>("google.rpc.Status", { code: NACK_CODE, message: ack.error });
      }
    }
    return request;
  }

  read(response: XdsResponse): ReceivedUpdate {
    const { systemVersionInfo, nonce, resources, removedResources, resourceErrors } =
      response as DeltaDiscoveryResponse;
    return {
      version: systemVersionInfo,
      nonce,
      resources: resources.map((resource) => receivedFromResource(resource, this.#typeUrl)),
      removed: removedResources,
      isWhole: false,
      errors: resourceErrors.map(({ resourceName, errorDetail }) => ({
        name: resourceName?.name ?? "",
        isMissing: errorDetail?.code === NOT_FOUND,
        message: errorDetail?.message ?? "",
      })),
    };
  }

  settle({ nonce }: ReceivedUpdate, error: string | undefined): void {
    this.#acks.push({ nonce, error });
  }
}
