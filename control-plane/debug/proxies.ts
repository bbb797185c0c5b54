/** Pages about the proxies that are connected: syncz, adsz, connections, config_dump, edsz. */
import type { ConnectedProxy } from "../xds/ads-server.ts";
import { CDS, ECDS, EDS, LDS, RDS, type ResourceType } from "../xds/resource-types.ts";
import type { SubscriptionStatus } from "../xds/subscription.ts";
import { jsonAnswer, textAnswer, type DebugAnswer, type DebugView } from "./debug-view.ts";

const istiodNames: readonly (readonly [ResourceType, string])[] = [
  [CDS, "cluster"],
  [LDS, "listener"],
  [RDS, "route"],
  [EDS, "endpoint"],
  [ECDS, "extensionconfig"],
];

/** How far each proxy is with each type that it asked for. */
export function syncz(view: DebugView, namespace: string | null): DebugAnswer {
  const proxies = view.connections().filter(({ node }) => namespace === null || node.namespace === namespace);
  return jsonAnswer(proxies.map((proxy) => syncStatus(proxy, view)));
}

function syncStatus(proxy: ConnectedProxy, view: DebugView): unknown {
  const statuses = proxy.statuses();
  const nonces: Record<string, string> = {};
  for (const [type, name] of istiodNames) {
    const status = statuses.get(type);
    if (status === undefined || status.sentNonce === "") continue;
    nonces[`${name}_sent`] = status.sentNonce;
    nonces[`${name}_acked`] = status.ackedNonce;
  }
  return {
    proxy: proxy.proxyName,
    proxy_type: proxy.node.type,
    proxy_version: proxy.version,
    istio_version: proxy.version,
    cluster_id: proxy.node.clusterId,
    istiod: view.identifier,
    connection_id: proxy.id,
    mode: proxy.mode,
    ...(proxy.resources.leftOut.size > 0 && { left_out: [...proxy.resources.leftOut].toSorted() }),
    ...nonces,
    types: Object.fromEntries([...statuses].map(([type, status]) => [type.short, typeStatus(status)])),
  };
}

function typeStatus(status: SubscriptionStatus): unknown {
  return {
    status: status.state,
    sent_nonce: status.sentNonce,
    acked_nonce: status.ackedNonce,
    sent_version: status.sentVersion,
    acked_version: status.ackedVersion,
    resources: status.sentNames.length,
    ...(status.nack === undefined
      ? {}
      : { nacked_nonce: status.nack.nonce, nacked_version: status.nack.version, error_detail: status.nack.detail }),
  };
}

export function adsz(view: DebugView): DebugAnswer {
  const clients = view.connections().map((proxy) => ({
    connectionId: proxy.id,
    proxy: proxy.proxyName,
    connectedAt: new Date(proxy.connectedAtMs).toISOString(),
    address: proxy.peer,
    identity: proxy.identity?.uri ?? null,
    node: proxy.node.id,
    mode: proxy.mode,
    labels: proxy.node.labels,
    locality: proxy.node.locality,
    watches: Object.fromEntries(
      [...proxy.statuses()].map(([type, status]) => [
        type.typeUrl,
        status.isWildcard ? ["*", ...status.names] : status.names,
      ]),
    ),
  }));
  return jsonAnswer({ totalClients: clients.length, clients });
}

export function connections(view: DebugView): DebugAnswer {
  const clients = view.connections().map((proxy) => ({
    connectionId: proxy.id,
    proxy: proxy.proxyName,
    connectedAt: new Date(proxy.connectedAtMs).toISOString(),
    address: proxy.peer,
  }));
  return jsonAnswer({ totalClients: clients.length, clients });
}

/** What a proxy has been sent, in the form of Envoy's own `/config_dump`. */
export function configDump(view: DebugView, proxyId: string | null): DebugAnswer {
  const found = findProxy(view, proxyId);
  if (!("id" in found)) return found;
  const version = (type: ResourceType): string => found.statuses().get(type)?.ackedVersion ?? "";
  const resources = (type: ResourceType): readonly unknown[] =>
    found.inForce(type).map(({ json, version: is }) => ({ is, json: { "@type": type.typeUrl, ...json } }));
  const named = (type: ResourceType, key: string): readonly unknown[] =>
    (resources(type) as readonly { readonly is: string; readonly json: Readonly<Record<string, unknown>> }[]).map(
      ({ is, json }) => ({ versionInfo: is, [key]: json }),
    );
  const listeners = found.inForce(LDS).map(({ name, version: is, json }) => ({
    name,
    activeState: { versionInfo: is, listener: { "@type": LDS.typeUrl, ...json } },
  }));
  return jsonAnswer({
    configs: [
      {
        "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
        versionInfo: version(CDS),
        dynamicActiveClusters: named(CDS, "cluster"),
      },
      {
        "@type": "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump",
        dynamicEndpointConfigs: named(EDS, "endpointConfig"),
      },
      {
        "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
        versionInfo: version(LDS),
        dynamicListeners: listeners,
      },
      {
        "@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump",
        dynamicRouteConfigs: named(RDS, "routeConfig"),
      },
    ],
  });
}

/** The endpoints that each proxy, or one, has been sent. */
export function edsz(view: DebugView, proxyId: string | null): DebugAnswer {
  if (proxyId !== null) {
    const found = findProxy(view, proxyId);
    return "id" in found ? jsonAnswer(found.inForce(EDS).map(({ json }) => json)) : found;
  }
  return jsonAnswer(
    Object.fromEntries(
      view.connections().map((proxy) => [proxy.proxyName, proxy.inForce(EDS).map(({ json }) => json)]),
    ),
  );
}

function findProxy(view: DebugView, proxyId: string | null): ConnectedProxy | DebugAnswer {
  const all = view.connections();
  const names = all.map(({ proxyName }) => proxyName).join(", ");
  if (proxyId === null || proxyId === "") {
    return textAnswer(`name a proxy, as ?proxyID=reviews-0.default; connected are: ${names}\n`, 400);
  }
  const found = all.findLast(
    ({ id, proxyName, node }) =>
      id === proxyId || proxyName === proxyId || node.id === proxyId || node.name === proxyId,
  );
  return found ?? textAnswer(`no proxy ${proxyId} is connected; connected are: ${names}\n`, 404);
}
