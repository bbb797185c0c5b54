/** The listener of a gRPC server without a proxy (A36): mutual TLS or none, and who may call. */
import { grpcAuthorization } from "./grpc-authorization.ts";
import { hostPortFrom, SERVER_LISTENER_PREFIX } from "./grpc-proxyless.ts";
import { grpcServerSocket } from "./grpc-tls.ts";
import { serviceTargets } from "./inbound-ports.ts";
import { any, type JsonObject } from "./json.ts";
import { mtlsModeOfPort, mtlsOf } from "./peer-authentication.ts";
import type { View } from "./view.ts";

/** Nothing for a port that no service of the workload has. */
export function grpcServerListener(view: View, name: string): readonly JsonObject[] {
  const served = hostPortFrom(name.slice(SERVER_LISTENER_PREFIX.length));
  if (served === undefined) return [];
  if (!serviceTargets(view).some(({ targetPort }) => targetPort === served.port)) return [];
  // No listener filters and no original destination: gRPC refuses them.
  return [
    {
      name,
      address: { socketAddress: { address: served.host, portValue: served.port } },
      filterChains: [filterChain(view, isMutualTls(view, served.port))],
    },
  ];
}

/** gRPC knows no PERMISSIVE: who is called as a member of the mesh gets TLS, everybody else is called in plaintext. */
function isMutualTls(view: View, port: number): boolean {
  const mode = mtlsModeOfPort(mtlsOf(view.mesh, view.proxy.namespace, view.labels), port);
  return mode === "STRICT" || (mode === "PERMISSIVE" && view.labels["security.istio.io/tlsMode"] === "istio");
}

function filterChain(view: View, isTls: boolean): JsonObject {
  const kind = isTls ? "mtls" : "plaintext";
  return {
    name: `inbound-${kind}`,
    filters: [
      {
        name: `inbound-hcm${kind}`,
        typedConfig: any("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", {
          routeConfig: {
            name: "inbound",
            virtualHosts: [{ domains: ["*"], routes: [{ match: { prefix: "/" }, nonForwardingAction: {} }] }],
          },
          httpFilters: [
            ...grpcAuthorization(view),
            { name: "envoy.filters.http.router", typedConfig: any("envoy.extensions.filters.http.router.v3.Router") },
          ],
        }),
      },
    ],
    ...(isTls && { transportSocket: grpcServerSocket() }),
  };
}
