/** CDS into the cluster manager. */
import { TypeUrl, type RejectedResource, type WildcardHandler, type XdsClient } from "../xds/types.ts";
import type { ClusterManagerShell } from "./cluster-manager.ts";

/** Applies a CDS response while EDS requests are held back, so that one request names all new clusters. */
export function createCdsHandler(
  clusters: ClusterManagerShell,
  xds: XdsClient,
  onFirst: () => void = () => {},
): WildcardHandler {
  let isFirst = true;
  const first = (): void => {
    if (!isFirst) return;
    isFirst = false;
    onFirst();
  };
  return {
    onUpdate(added, removed) {
      const rejected: RejectedResource[] = [];
      xds.pause(TypeUrl.endpoint);
      try {
        for (const { name, message, version } of added) {
          const { problems } = clusters.addOrUpdate(message, version, { dynamic: true });
          if (problems.some((problem) => problem.level === "error")) rejected.push({ name, problems });
        }
        for (const name of removed) clusters.remove(name);
      } finally {
        xds.resume(TypeUrl.endpoint);
      }
      first();
      return rejected;
    },
    onFetchTimeout: first,
  };
}
