/** What Gateway API objects are told about themselves: their `status`, as a controller writes it. */

export interface Condition {
  readonly type: string;
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

/** A parentRef as the API server returns it: group and kind are always there, the rest as it was written. */
export interface ParentReference {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  readonly sectionName?: string;
  readonly port?: number;
}

export interface RouteParentStatus {
  readonly parentRef: ParentReference;
  readonly controllerName: string;
  readonly conditions: readonly Condition[];
}

export interface ListenerStatus {
  readonly name: string;
  readonly attachedRoutes: number;
  readonly supportedKinds: readonly { readonly group: string; readonly kind: string }[];
  readonly conditions: readonly Condition[];
}

export interface AncestorStatus {
  readonly ancestorRef: ParentReference;
  readonly controllerName: string;
  readonly conditions: readonly Condition[];
}

/** Of a Gateway or GatewayClass conditions, of a route parents, of a policy ancestors. */
export interface GatewayApiStatus {
  readonly conditions?: readonly Condition[];
  readonly addresses?: readonly { readonly type: string; readonly value: string }[];
  readonly listeners?: readonly ListenerStatus[];
  readonly parents?: readonly RouteParentStatus[];
  readonly ancestors?: readonly AncestorStatus[];
}
