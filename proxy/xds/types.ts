/** What the rest of the proxy sees of xDS: subscriptions to resources, whatever carries them (ADS, files, the bootstrap). */
import type { Message } from "@bufbuild/protobuf";
import type { Problem } from "#lib/problem.ts";
import type { SubscriptionStats } from "./subscription-stats.ts";

/** Full type URLs. */
export const TypeUrl = {
  listener: "type.googleapis.com/envoy.config.listener.v3.Listener",
  route: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
  cluster: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
  endpoint: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
  secret: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
  extensionConfig: "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
  proxyConfig: "type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig",
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
  /** Statistics of this subscription (`cluster_manager.cds.`, `listener_manager.lds.`). */
  readonly stats?: SubscriptionStats | undefined;
  /** Applies what is good, returns what is not. Called also with nothing changed, for the first response. */
  onUpdate(added: readonly XdsResource[], removed: readonly string[]): readonly RejectedResource[];
  /** `initial_fetch_timeout` passed without a response. */
  onFetchTimeout(): void;
}

/** Hears of one named resource (EDS, RDS, SDS, ECDS). */
export interface ResourceWatcher {
  /** Statistics of this subscription (`cluster.<name>.`, `http.<prefix>.rds.<name>.`, `sds.<name>.`). */
  readonly stats?: SubscriptionStats | undefined;
  /** Returns problems when the resource is refused; the old one stays in force. */
  onResource(resource: XdsResource): readonly Problem[];
  /** The server says that it does not exist, or `initial_fetch_timeout` passed. */
  onAbsent(reason: "removed" | "timeout"): void;
  /**
   * The server sent it, but it is not a valid message, has unknown fields or breaks a rule. What was there stays in
   * force. Without this method a watcher that has no resource yet hears `onAbsent("timeout")`.
   */
  onRejected?(problems: readonly Problem[]): void;
}

export interface XdsClient {
  /** One handler a type. The callbacks never come during this call. */
  wildcard(typeUrl: string, handler: WildcardHandler, initialFetchTimeoutMs: number): XdsSubscription;
  /**
   * Many watchers may share a name. `initialFetchTimeoutMs` 0: for ever. A resource that is known already is handed
   * over during this call.
   */
  resource(typeUrl: string, name: string, watcher: ResourceWatcher, initialFetchTimeoutMs: number): XdsSubscription;
  /** While paused, requests of this type are held back and then sent as one. Nests. */
  pause(typeUrl: string): void;
  resume(typeUrl: string): void;
  close(): void;
}
