/** networking.istio.io EnvoyFilter, as read. */
import type { JsonObject } from "../json.ts";

export type PatchContext = "ANY" | "SIDECAR_INBOUND" | "SIDECAR_OUTBOUND" | "GATEWAY" | "WAYPOINT";

export type ApplyTo =
  | "LISTENER"
  | "FILTER_CHAIN"
  | "NETWORK_FILTER"
  | "HTTP_FILTER"
  | "ROUTE_CONFIGURATION"
  | "VIRTUAL_HOST"
  | "HTTP_ROUTE"
  | "CLUSTER"
  | "EXTENSION_CONFIG"
  | "BOOTSTRAP"
  | "LISTENER_FILTER";

export type PatchOperation = "MERGE" | "ADD" | "REMOVE" | "INSERT_BEFORE" | "INSERT_AFTER" | "INSERT_FIRST" | "REPLACE";

export interface EnvoyFilterSpec {
  readonly workloadSelector?: { readonly labels?: Readonly<Record<string, string>> };
  readonly targetRefs?: readonly TargetRef[];
  readonly configPatches?: readonly ConfigPatch[];
  readonly priority?: number;
}

export interface TargetRef {
  readonly kind?: string;
  readonly group?: string;
  readonly name?: string;
  readonly namespace?: string;
}

export interface ConfigPatch {
  readonly applyTo?: ApplyTo;
  readonly match?: ObjectMatch;
  readonly patch?: { readonly operation?: PatchOperation; readonly value?: JsonObject; readonly filterClass?: string };
}

export interface ObjectMatch {
  readonly context?: PatchContext;
  readonly proxy?: { readonly proxyVersion?: string; readonly metadata?: Readonly<Record<string, string>> };
  readonly listener?: ListenerMatch;
  readonly routeConfiguration?: RouteConfigurationMatch;
  readonly cluster?: ClusterMatch;
  readonly waypoint?: WaypointMatch;
}

export interface ListenerMatch {
  readonly portNumber?: number;
  readonly name?: string;
  readonly listenerFilter?: string;
  readonly filterChain?: FilterChainMatch;
}

export interface FilterChainMatch {
  readonly name?: string;
  readonly sni?: string;
  readonly transportProtocol?: string;
  readonly applicationProtocols?: string;
  readonly destinationPort?: number;
  readonly filter?: { readonly name?: string; readonly subFilter?: { readonly name?: string } };
}

export interface RouteConfigurationMatch {
  readonly portNumber?: number;
  readonly portName?: string;
  readonly gateway?: string;
  readonly name?: string;
  readonly vhost?: {
    readonly name?: string;
    readonly domainName?: string;
    readonly route?: { readonly name?: string; readonly action?: "ANY" | "ROUTE" | "REDIRECT" | "DIRECT_RESPONSE" };
  };
}

export interface ClusterMatch {
  readonly portNumber?: number;
  readonly service?: string;
  readonly subset?: string;
  readonly name?: string;
}

export interface WaypointMatch {
  readonly portNumber?: number;
  readonly filter?: { readonly name?: string; readonly subFilter?: { readonly name?: string } };
  readonly route?: { readonly name?: string };
}
