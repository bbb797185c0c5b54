/** One proxy on one stream: its subscriptions, and what it is sent in which order. No sockets: `send` is given. */
import type { Problem } from "#lib/problem.ts";
import type { Clock, Timer } from "#lib/runtime.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { EncodedResource } from "./resource-encoder.ts";
import type { ProxyResources } from "./proxy-resources.ts";
import { CDS, EDS, LDS, RDS, resourceTypes, type ResourceType } from "./resource-types.ts";
import { hostOfCluster } from "../translate/names.ts";
import { Warming } from "./warming.ts";
import {
  Subscription,
  type NextOptions,
  type SubscriptionRequest,
  type SubscriptionStatus,
  type Update,
  type Verdict,
} from "./subscription.ts";

/** A response, before it is written for delta or state-of-the-world. */
export interface XdsResponse {
  readonly type: ResourceType;
  readonly resources: readonly EncodedResource[];
  readonly removed: readonly string[];
  readonly nonce: string;
  readonly version: string;
}

export interface XdsConnectionDeps {
  readonly id: string;
  readonly mode: "delta" | "sotw";
  readonly node: ProxyNode;
  readonly resourcesIn: (
    mesh: MeshIndex,
    lastGood: (type: ResourceType, name: string) => EncodedResource | undefined,
    previous?: ProxyResources,
  ) => ProxyResources;
  readonly mesh: MeshIndex;
  readonly clock: Pick<Clock, "setTimer">;
  readonly send: (response: XdsResponse) => void;
  /** Translation for this proxy failed; it keeps what it has. */
  readonly onFailure: (type: ResourceType, error: unknown) => void;
}

export interface XdsConnection {
  readonly id: string;
  readonly mode: "delta" | "sotw";
  readonly node: ProxyNode;
  /** The mesh that the proxy is being brought to. */
  readonly resources: ProxyResources;
  /** Takes a request in and sends what it makes necessary. */
  request(type: ResourceType, request: SubscriptionRequest): Verdict;
  /** A new mesh: sends what differs. */
  push(mesh: MeshIndex): void;
  /** What of this type differs is sent, though the mesh is as it was. */
  refresh(type: ResourceType): void;
  /** Only types that were ever asked for. */
  statuses(): ReadonlyMap<ResourceType, SubscriptionStatus>;
  /** What the proxy has been sent and still has. */
  inForce(type: ResourceType): readonly EncodedResource[];
  readonly problems: readonly Problem[];
  close(): void;
}

/** Longest time for which routes wait until the clusters they lead to are warm. */
const WARMING_LIMIT_MS = 2000;

export function createXdsConnection(deps: XdsConnectionDeps): XdsConnection {
  const { id, mode, node, send, resourcesIn, onFailure, clock } = deps;
  const subscriptions = new Map<ResourceType, Subscription<EncodedResource>>();
  const delivered = new Map<ResourceType, Map<string, EncodedResource>>();
  const lastGood = (type: ResourceType, name: string): EncodedResource | undefined => delivered.get(type)?.get(name);
  let resources = resourcesIn(deps.mesh, lastGood);
  let sequence = 0;
  /** Types that may have something to send. */
  let dirty = new Set<ResourceType>();
  const warming = new Warming();
  let warmingLimit: Timer | undefined;
  /**
   * The last push of clusters took too long to be answered; nothing waits for it. Envoy answers when the clusters are
   * warm, which may be never.
   */
  let hasGivenUp = false;

  function available(
    type: ResourceType,
    subscription: Subscription<EncodedResource>,
    among: ReadonlySet<string> = subscription.names,
  ): ReadonlyMap<string, EncodedResource> | undefined {
    try {
      return resources.available(type, among);
    } catch (error) {
      onFailure(type, error);
      return undefined;
    }
  }

  /** Clusters, endpoints, listeners, routes; what is gone of clusters only when nothing else waits. */
  function flush(): void {
    for (const type of resourceTypes) {
      const isRemovedLater = type === CDS || type === EDS;
      const isHeld = (type === LDS || type === RDS) && isHeldByClusters();
      const isDone = look(type, { withRemovals: !isRemovedLater, isHeld });
      if (isDone && !isRemovedLater) dirty.delete(type);
    }
    const isWaiting = resourceTypes.some((type) => type !== CDS && type !== EDS && dirty.has(type));
    if (isWaiting || !look(CDS, {})) return;
    dirty.delete(CDS);
    // A proxy that lets go of a cluster lets go of its endpoints by itself.
    if (subscriptions.get(CDS)?.isAwaitingAnswer !== true && look(EDS, {})) dirty.delete(EDS);
  }

  /** Sends what there is to send of a type. False while something of it waits. */
  function look(type: ResourceType, options: NextOptions): boolean {
    const subscription = subscriptions.get(type);
    if (subscription === undefined || !dirty.has(type)) return true;
    const found = available(type, subscription, options.among);
    if (found === undefined) {
      dirty.delete(type);
      return true;
    }
    const update = subscription.next(found, { ...options, isImpatient: type === CDS && hasGivenUp });
    if (update !== undefined) sendUpdate(type, subscription, update);
    return !subscription.isHolding;
  }

  /** Nothing else differs, and nothing waits: only these assignments are looked at. */
  function pushEndpoints(hosts: ReadonlySet<string>): void {
    const subscription = subscriptions.get(EDS);
    if (subscription === undefined) return;
    const among = new Set([...subscription.names].filter((name) => hosts.has(hostOfCluster(name))));
    if (among.size === 0) return;
    dirty.add(EDS);
    if (look(EDS, { among })) dirty.delete(EDS);
  }

  function isHeldByClusters(): boolean {
    const isUnanswered = subscriptions.get(CDS)?.isAwaitingAnswer === true;
    return !hasGivenUp && (isUnanswered || !warming.isOver);
  }

  function limitWarming(): void {
    hasGivenUp = false;
    warmingLimit?.cancel();
    warmingLimit = clock.setTimer(WARMING_LIMIT_MS, () => {
      hasGivenUp = true;
      warming.giveUp();
      flush();
    });
  }

  function sendUpdate(
    type: ResourceType,
    subscription: Subscription<EncodedResource>,
    update: Update<EncodedResource>,
  ): void {
    sequence += 1;
    const nonce = `${id}-${sequence}`;
    const version = resources.mesh.version;
    const had = delivered.get(type) ?? new Map<string, EncodedResource>();
    delivered.set(type, had);
    if (type === CDS) clustersGoOut(update.resources, had);
    if (type === EDS)
      warming.endpointsSent(
        update.resources.map(({ name }) => name),
        nonce,
      );
    for (const resource of update.resources) had.set(resource.name, resource);
    for (const name of update.removed) had.delete(name);
    subscription.committed(update, nonce, version);
    send({ type, resources: update.resources, removed: update.removed, nonce, version });
  }

  /** A cluster that changed warms again, and waits for its endpoints even if they are as before. */
  function clustersGoOut(clusters: readonly EncodedResource[], had: ReadonlyMap<string, EncodedResource>): void {
    const changed = clusters.filter(({ name, version }) => had.get(name)?.version !== version);
    const names = changed.map(endpointsOf).filter((name) => name !== undefined);
    const endpoints = subscriptions.get(EDS);
    if (endpoints !== undefined && names.length > 0) {
      endpoints.resend(names);
      dirty.add(EDS);
    }
    warming.clustersSent(names);
    if (changed.length > 0) limitWarming();
  }

  function answered(type: ResourceType, verdict: Verdict): void {
    if (verdict.kind !== "ack" && verdict.kind !== "nack") return;
    if (type === EDS) warming.endpointsAnswered(verdict.nonce);
    if (type === CDS && verdict.kind === "nack") warming.giveUp();
    if (warming.isOver && subscriptions.get(CDS)?.isAwaitingAnswer !== true) {
      warmingLimit?.cancel();
      warmingLimit = undefined;
    }
  }

  return {
    id,
    mode,
    node,
    get resources() {
      return resources;
    },
    get problems() {
      return resources.problems;
    },
    request(type, request) {
      const subscription = subscriptions.get(type) ?? new Subscription<EncodedResource>(mode, type.isWildcard);
      subscriptions.set(type, subscription);
      const verdict = subscription.accept(request);
      answered(type, verdict);
      // A proxy that came back asks for endpoints it has, while their clusters have changed meanwhile.
      if (type === EDS) subscription.resend(warming.unsent);
      dirty.add(type);
      flush();
      return verdict;
    },
    push(mesh) {
      const isWaiting = dirty.size > 0;
      resources = resourcesIn(mesh, lastGood, resources);
      const { changedHosts } = resources;
      if (changedHosts === undefined || isWaiting) {
        dirty = new Set(subscriptions.keys());
        flush();
      } else {
        pushEndpoints(changedHosts);
      }
    },
    refresh(type) {
      if (!subscriptions.has(type)) return;
      dirty.add(type);
      flush();
    },
    statuses: () => new Map([...subscriptions].map(([type, subscription]) => [type, subscription.status])),
    inForce(type) {
      const subscription = subscriptions.get(type);
      if (subscription === undefined) return [];
      // What the proxy brought along when it came back was never sent by us, but it is what we would send.
      const made = available(type, subscription);
      const { sentNames } = subscription.status;
      const names = sentNames.map((name) => delivered.get(type)?.get(name) ?? made?.get(name));
      return names.filter((resource) => resource !== undefined);
    },
    close: () => warmingLimit?.cancel(),
  };
}

/** The name of an EDS cluster's assignment; undefined for other clusters. */
function endpointsOf(cluster: EncodedResource): string | undefined {
  if (cluster.json["type"] !== "EDS") return undefined;
  const config = cluster.json["edsClusterConfig"];
  const name = typeof config === "object" && config !== null && "serviceName" in config ? config.serviceName : "";
  return typeof name === "string" && name !== "" ? name : cluster.name;
}
