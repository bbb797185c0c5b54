/** PeerAuthentication: the mutual-TLS mode of a workload, per port (rule 55). */
import type { MeshIndex } from "../model/mesh-index.ts";
import { isEmptySelector, type Labels, selects } from "./labels.ts";
import { memoizedByShape } from "./memo.ts";
import type { PeerAuthenticationSpec, WrittenMtlsMode } from "./spec/peer-authentication.ts";
import { specOf } from "./spec/spec.ts";

export type MtlsMode = "DISABLE" | "PERMISSIVE" | "STRICT";

/** The modes of one workload: for all ports, and those that `portLevelMtls` sets apart. */
export interface WorkloadMtls {
  readonly mode: MtlsMode;
  readonly ports: ReadonlyMap<number, MtlsMode>;
}

export function mtlsOf(mesh: MeshIndex, namespace: string, labels: Labels): WorkloadMtls {
  const policies = policiesOf(mesh);
  const inherited = namespaceMtls(mesh, namespace) ?? "PERMISSIVE";
  const own = policies.workloads.get(namespace)?.find((spec) => selects(spec.selector?.matchLabels, labels));
  const mode = written(own?.mtls?.mode) ?? inherited;
  const ports = new Map<number, MtlsMode>();
  for (const [port, setting] of Object.entries(own?.portLevelMtls ?? {})) {
    ports.set(Number(port), written(setting?.mode) ?? mode);
  }
  return { mode, ports };
}

export function mtlsModeOfPort(mtls: WorkloadMtls, port: number): MtlsMode {
  return mtls.ports.get(port) ?? mtls.mode;
}

/** What the namespace says, else the mesh; undefined when neither says anything. */
export function namespaceMtls(mesh: MeshIndex, namespace: string): MtlsMode | undefined {
  const policies = policiesOf(mesh);
  return written(policies.namespaces.get(namespace)?.mtls?.mode) ?? written(policies.mesh?.mtls?.mode);
}

interface Policies {
  readonly mesh: PeerAuthenticationSpec | undefined;
  readonly namespaces: ReadonlyMap<string, PeerAuthenticationSpec>;
  readonly workloads: ReadonlyMap<string, readonly PeerAuthenticationSpec[]>;
}

/** Oldest first, so that the first of a level stays. A selector in the root namespace selects nothing. */
const policiesOf = memoizedByShape((mesh: MeshIndex): Policies => {
  const root = mesh.meshConfig.rootNamespace;
  const namespaces = new Map<string, PeerAuthenticationSpec>();
  const workloads = new Map<string, PeerAuthenticationSpec[]>();
  for (const object of mesh.objects("PeerAuthentication")) {
    const spec = specOf<PeerAuthenticationSpec>(object);
    const { namespace } = object.metadata;
    if (isEmptySelector(spec.selector?.matchLabels)) {
      if (!namespaces.has(namespace)) namespaces.set(namespace, spec);
    } else if (namespace !== root) {
      const list = workloads.get(namespace) ?? [];
      list.push(spec);
      workloads.set(namespace, list);
    }
  }
  return { mesh: namespaces.get(root), namespaces, workloads };
});

function written(mode: WrittenMtlsMode | undefined): MtlsMode | undefined {
  return mode === undefined || mode === "UNSET" ? undefined : mode;
}
