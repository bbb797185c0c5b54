/** The status of all objects of the Gateway API, as `kubectl get -o yaml` would show it. */
import type { GatewayApiStatus } from "../model/gateway-status.ts";
import type { MeshIndex } from "../model/mesh-index.ts";

/** By `<Kind>/<namespace>/<name>`, sorted; objects that belong to other controllers are not there. */
export function statusesByName(mesh: MeshIndex): Readonly<Record<string, GatewayApiStatus>> {
  const entries = [...mesh.gatewayApiStatuses].map(([{ kind, metadata }, status]) => {
    const { namespace, name } = metadata;
    return [namespace === "" ? `${kind}/${name}` : `${kind}/${namespace}/${name}`, status] as const;
  });
  return Object.fromEntries(entries.toSorted(([one], [other]) => (one < other ? -1 : 1)));
}
