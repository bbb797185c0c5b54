/** State-of-the-world xDS (X-12 … X-32). */
import { createMessage } from "#protos/registry.ts";
import type { DiscoveryRequest, DiscoveryResponse } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { Status } from "#protos/gen/google/rpc/status_pb.js";
import type { XdsResponse } from "./ads-transport.ts";
import { receivedFromAny } from "./decode-resource.ts";
import {
  NACK_CODE,
  NOT_FOUND,
  WILDCARD,
  type Interest,
  type ReceivedUpdate,
  type TypeProtocol,
} from "./type-protocol.ts";

export class SotwProtocol implements TypeProtocol {
  readonly asksAnew = false;
  readonly #typeUrl: string;
  /** `version_info` that was accepted last. */
  #version = "";
  #nonce = "";
  #isStarted = false;
  #isDue = false;
  #error: string | undefined;
  /** Once a name was sent, an empty list no longer means everything. */
  #hasSentNames = false;

  constructor(typeUrl: string) {
    this.#typeUrl = typeUrl;
  }

  restart(): void {
    this.#nonce = "";
    this.#isStarted = false;
    this.#isDue = false;
    this.#error = undefined;
    this.#hasSentNames = false;
  }

  subscribed(_name: string): void {
    this.#isDue = true;
  }

  unsubscribed(_name: string): void {
    this.#isDue = true;
  }

  hasRequest(interest: Interest): boolean {
    return this.#isStarted ? this.#isDue : !interest.isEmpty;
  }

  takeRequest(interest: Interest): DiscoveryRequest {
    this.#isStarted = true;
    this.#isDue = false;
    const names = [...interest.names];
    if (interest.isWildcard && (names.length > 0 || this.#hasSentNames)) names.unshift(WILDCARD);
    this.#hasSentNames ||= names.length > 0;
    const request = createMessage<DiscoveryRequest>("envoy.service.discovery.v3.DiscoveryRequest", {
      typeUrl: this.#typeUrl,
      versionInfo: this.#version,
      responseNonce: this.#nonce,
      resourceNames: names,
    });
    if (this.#error !== undefined) {
      request.errorDetail = createMessage<Status>("google.rpc.Status", { code: NACK_CODE, message: this.#error });
      this.#error = undefined;
    }
    return request;
  }

  read(response: XdsResponse): ReceivedUpdate {
    const { versionInfo, nonce, resources, resourceErrors } = response as DiscoveryResponse;
    return {
      version: versionInfo,
      nonce,
      resources: resources.map((resource) => receivedFromAny(resource, this.#typeUrl, versionInfo)),
      removed: [],
      isWhole: true,
      errors: resourceErrors.map(({ resourceName, errorDetail }) => ({
        name: resourceName?.name ?? "",
        isMissing: errorDetail?.code === NOT_FOUND,
        message: errorDetail?.message ?? "",
      })),
    };
  }

  settle({ version, nonce, resources }: ReceivedUpdate, error: string | undefined, interest: Interest): void {
    this.#nonce = nonce;
    if (interest.isEmpty) {
      // Nobody wants the type any more: an empty answer is taken in silence, another is answered with the old version.
      if (resources.length === 0) this.#version = version;
      else this.#isDue = true;
      return;
    }
    if (error === undefined) this.#version = version;
    this.#error = error;
    this.#isDue = true;
  }
}
