/** What delta and state-of-the-world differ in, for one resource type on one stream. */
import type { XdsRequest, XdsResponse } from "./ads-transport.ts";
import type { ReceivedResource } from "./decode-resource.ts";

/** Which resources of a type are wanted, and which of them are there. */
export interface Interest {
  readonly isWildcard: boolean;
  readonly names: Iterable<string>;
  readonly isEmpty: boolean;
  /** Versions that were accepted, of resources that are wanted. */
  readonly versions: ReadonlyMap<string, string>;
}

export interface ReceivedUpdate {
  readonly version: string;
  readonly nonce: string;
  readonly resources: readonly ReceivedResource[];
  readonly removed: readonly string[];
  /** Whether a wildcard resource that is not in it is gone. */
  readonly isWhole: boolean;
  /** Resources that the server says it can't give. */
  readonly errors: readonly { readonly name: string; readonly isMissing: boolean; readonly message: string }[];
}

export interface TypeProtocol {
  /**
   * Whether a name that goes and comes back between two requests is asked for anew. Otherwise the server never
   * learns that it was gone, and does not send it again.
   */
  readonly asksAnew: boolean;
  /** The stream is a new one: nonces are void, the next request is a first one. */
  restart(): void;
  subscribed(name: string): void;
  unsubscribed(name: string): void;
  hasRequest(interest: Interest): boolean;
  /** The next request, without `node`. Call while `hasRequest`. */
  takeRequest(interest: Interest): XdsRequest;
  read(response: XdsResponse): ReceivedUpdate;
  /** Makes the ACK, or with an error the NACK, the next request. */
  settle(update: ReceivedUpdate, error: string | undefined, interest: Interest): void;
}

/** Stands for the wildcard in a list of names. */
export const WILDCARD = "*";

/** gRPC status INTERNAL: what Envoy puts into a NACK. */
export const NACK_CODE = 13;

/** gRPC status NOT_FOUND. */
export const NOT_FOUND = 5;
