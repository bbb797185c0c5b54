/** What the rest of the proxy sees of xDS: subscriptions to resources, whatever carries them (ADS, files, the bootstrap). */
import type { Message } from "@bufbuild/protobuf";
import type { Problem } from "#lib/problem.ts";

/** Full type URLs. */
export const TypeUrl = {
  listener: "type.googleapis.com/envoy.config.listener.v3.Listener",
  route: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
  cluster: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
  endpoint: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
  secret: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
  extensionConfig: "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
  runtime: "type.googleapis.com/envoy.service.runtime.v3.Runtime",
} as const;

export interface XdsResource {
  readonly name: string;
  readonly version: string;
  /** Decoded, free of unknown fields, within `(validate.rules)`. */
  readonly message: Message;
}

/** A resource that was not accepted; all of them together become the NACK's message. */
export interface RejectedResource {
  readonly name: string;
  readonly problems: readonly Problem[];
}

export interface XdsSubscription {
  close(): void;
}

/** Hears of a wildcard type (CDS, LDS). State-of-the-world responses are turned into differences before. */
export interface WildcardHandler {
  /** Applies what is good, returns what is not. Called also with nothing changed, for the first response. */
  onUpdate(added: readonly XdsResource[], removed: readonly string[]): readonly RejectedResource[];
  /** `initial_fetch_timeout` passed without a response. */
  onFetchTimeout(): void;
}

/** Hears of one named resource (EDS, RDS, SDS, ECDS). */
export interface ResourceWatcher {
  /** Returns problems when the resource is refused; the old one stays in force. */
  onResource(resource: XdsResource): readonly Problem[];
  /** The server says that it does not exist, or `initial_fetch_timeout` passed. */
  onAbsent(reason: "removed" | "timeout"): void;
}

export interface XdsClient {
  /** One handler a type. */
  wildcard(typeUrl: string, handler: WildcardHandler, initialFetchTimeoutMs: number): XdsSubscription;
  /** Many watchers may share a name. `initialFetchTimeoutMs` 0: for ever. */
  resource(typeUrl: string, name: string, watcher: ResourceWatcher, initialFetchTimeoutMs: number): XdsSubscription;
  /** While paused, requests of this type are held back and then sent as one. Nests. */
  pause(typeUrl: string): void;
  resume(typeUrl: string): void;
  close(): void;
}
