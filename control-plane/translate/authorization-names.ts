/** What authorization is called in Envoy, and how a policy says that it is only being tried. */
import type { MeshObject } from "../model/object.ts";

export const HTTP_RBAC = "envoy.filters.http.rbac";
export const NETWORK_RBAC = "envoy.filters.network.rbac";
export const JWT_AUTHN = "envoy.filters.http.jwt_authn";

const TRUE: ReadonlySet<string> = new Set(["1", "t", "T", "true", "TRUE", "True"]);

/** Counted, but not enforced (rule 76). */
export function isDryRun(policy: MeshObject): boolean {
  return TRUE.has(policy.metadata.annotations["istio.io/dry-run"] ?? "");
}
