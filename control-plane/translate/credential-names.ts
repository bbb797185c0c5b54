/** SDS names of secrets that the control plane serves (§4.5). */
import { CA_SUFFIX } from "./secrets.ts";

export type CredentialKind = "kubernetes" | "kubernetes-gateway" | "configmap";

export interface CredentialName {
  readonly kind: CredentialKind;
  readonly namespace: string;
  /** Of the Secret or ConfigMap, as written. */
  readonly name: string;
  /** Only the CA is asked for. */
  readonly isCa: boolean;
}

/** `kubernetes://[namespace/]name`, `kubernetes-gateway://namespace/name`, `configmap://namespace/name`, each perhaps with `-cacert`. */
export function parseCredentialName(resource: string, ownNamespace: string): CredentialName | undefined {
  const match = /^(kubernetes|kubernetes-gateway|configmap):\/\/(?:([^/]+)\/)?([^/]+)$/.exec(resource);
  if (match === null) return undefined;
  const kind = match[1] as CredentialKind;
  const [, , namespace, name = ""] = match;
  if (namespace === undefined && kind !== "kubernetes") return undefined;
  return { kind, namespace: namespace ?? ownNamespace, name, isCa: kind === "configmap" || name.endsWith(CA_SUFFIX) };
}

/** `mutual-cacert` → `mutual`. */
export function withoutCaSuffix(name: string): string {
  return name.endsWith(CA_SUFFIX) ? name.slice(0, -CA_SUFFIX.length) : name;
}
