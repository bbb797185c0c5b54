/** The SPIFFE ids that the endpoints of a service may have: what a client verifies (§4.5). */
import type { MeshIndex } from "../model/mesh-index.ts";
import type { ServiceModel } from "../model/service.ts";
import type { ScopedService } from "./scope.ts";
import { byText } from "./json.ts";
import { memoized } from "./memo.ts";

/** Sorted; every trust domain alias counts as well. */
export function serviceAccountsOf(mesh: MeshIndex, service: ScopedService): readonly string[] {
  const owners = new Set([service.model, ...service.ports.map(({ owner }) => owner)]);
  if (owners.size === 1) return accountsOfModel(mesh)(service.model);
  return [...new Set([...owners].flatMap((owner) => accountsOfModel(mesh)(owner)))].toSorted(byText);
}

const accountsOfModel = memoized((mesh: MeshIndex) =>
  memoized((model: ServiceModel): readonly string[] => {
    const { trustDomain, trustDomainAliases } = mesh.meshConfig;
    const names = new Set(model.subjectAltNames);
    for (const { workload } of mesh.instancesOf(model)) {
      if (workload.serviceAccount === "") continue;
      for (const domain of new Set([trustDomain, ...trustDomainAliases])) {
        names.add(`spiffe://${domain}/ns/${workload.namespace}/sa/${workload.serviceAccount}`);
      }
    }
    return [...names].toSorted(byText);
  }),
);
