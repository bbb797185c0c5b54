/**
 * AUTO_PASSTHROUGH: a connection of another network goes, by the SNI of mesh TLS, to the service that it names. TLS is
 * not ended here; only ALPNs of the mesh are let in, and only endpoints that speak mesh TLS are behind the clusters.
 */
import type { GatewayChain } from "./gateway-filter-chains.ts";
import { mergedGateway } from "./gateway-servers.ts";
import { isSubsetOf } from "./hosts.ts";
import { meshSni } from "./names.ts";
import { statsFilter, tcpProxy } from "./network-filters.ts";
import { destinationRuleOf, type ScopedPort, type ScopedService } from "./scope.ts";
import { allPhases, networkExtensions } from "./traffic-extensions.ts";
import type { View } from "./view.ts";

const MESH_ALPN = ["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"];

export interface SniTarget {
  readonly service: ScopedService;
  readonly port: ScopedPort;
  /** Empty for all of the service. */
  readonly subset: string;
}

/** Whether the proxy needs clusters called by SNI. */
export function passesMeshTlsThrough(view: View): boolean {
  const ports = mergedGateway(view)?.ports ?? [];
  return ports.some(({ servers }) => servers.some(({ tls }) => tls?.mode === "AUTO_PASSTHROUGH"));
}

/** Every TCP port and subset of the services inside the mesh. */
export function sniTargets(view: View): readonly SniTarget[] {
  return view.scope.services
    .filter(({ model }) => !model.isExternal)
    .flatMap((service) => {
      const rule = destinationRuleOf(view.mesh, view.scope, service.model, view.labels);
      const subsets = ["", ...(rule?.subsets ?? []).map(({ name }) => name)];
      return service.ports
        .filter(({ protocol }) => protocol !== "UDP")
        .flatMap((port) => subsets.map((subset) => ({ service, port, subset })));
    });
}

/** Nobody is authorized here: the server at the other end does that, it alone sees who calls. */
export function autoPassthroughChains(view: View, sniHosts: readonly string[]): readonly GatewayChain[] {
  return sniTargets(view)
    .filter(({ service }) => sniHosts.some((host) => isSubsetOf(service.host, host)))
    .map(({ service, port, subset }) => {
      const cluster = meshSni(port.number, subset, service.host);
      return {
        readsTls: true,
        json: {
          filterChainMatch: { serverNames: [cluster], applicationProtocols: MESH_ALPN },
          filters: [
            ...allPhases(networkExtensions(view, { port: port.number, side: "CLIENT" })),
            ...statsFilter(view, "outbound"),
            tcpProxy(view, { direction: "outbound", statPrefix: cluster, target: { cluster } }),
          ],
          transportSocketConnectTimeout: "15s",
        },
      };
    });
}
