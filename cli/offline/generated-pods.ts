/** Pods that a cluster would have made of Deployments and StatefulSets, for manifests that hold none. Pure. */
import { objectFromRaw } from "#control-plane/config/object-from-raw.ts";
import type { MeshIndex } from "#control-plane/model/mesh-index.ts";
import type { MeshObject } from "#control-plane/model/object.ts";
import { generatedPod } from "../local/generated-objects.ts";
import { planWorkloads } from "../local/plan.ts";

/** Pods of every controller that has none in `mesh`; addresses are made up: 10.88.0.1 and on. */
export function podsFor(objects: readonly MeshObject[], mesh: MeshIndex): readonly MeshObject[] {
  const pods = mesh.workloads.filter(({ origin }) => origin === "pod");
  const owners = new Set(pods.map(({ namespace, workloadName }) => `${namespace}/${workloadName}`));
  const { instances } = planWorkloads(objects, { workloads: new Map(), traffic: [] });
  const missing = instances.filter(
    ({ ownerKind, namespace, workload }) => ownerKind !== "Pod" && !owners.has(`${namespace}/${workload}`),
  );
  return missing.flatMap((instance, index) => {
    const owner = mesh.object(instance.ownerKind, instance.namespace, instance.workload);
    const ip = `10.88.${Math.floor((index + 1) / 256)}.${(index + 1) % 256}`;
    return owner === undefined ? [] : objectFromRaw(generatedPod(instance, ip, true, {}), owner.source).objects;
  });
}
