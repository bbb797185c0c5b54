/** The mesh with what objects of other APIs amount to. */
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { ingress } from "./ingress.ts";
import type { OtherApi } from "./other-api.ts";
import { serviceIntentions } from "./service-intentions.ts";
import { serviceProfile } from "./service-profile.ts";

const APIS: readonly OtherApi[] = [ingress, serviceProfile, serviceIntentions];

/** `order` is that of `MeshIndex.objects`: what is made stands among what is written by its age. */
export function withOtherApis(mesh: MeshIndex, order: (one: MeshObject, other: MeshObject) => number): MeshIndex {
  const present = APIS.filter(({ kinds }) =>
    kinds.some(({ group, kind }) => mesh.objects(`${group}/${kind}`).length > 0),
  );
  return present.reduce((before, api) => joined(before, api.convert(before), order), mesh);
}

function joined(
  mesh: MeshIndex,
  { generated, problems }: ReturnType<OtherApi["convert"]>,
  order: (one: MeshObject, other: MeshObject) => number,
): MeshIndex {
  const merged = new Map<string, readonly MeshObject[]>();
  for (const [kind, own] of Map.groupBy(generated, (object) => object.kind)) {
    merged.set(kind, [...mesh.objects(kind), ...own].toSorted(order));
  }
  const byKey = new Map(
    generated.map((object) => [`${object.kind}/${object.metadata.namespace}/${object.metadata.name}`, object]),
  );
  return {
    ...mesh,
    // The caller says which spec it reads.
    objects: <Spec>(kind: string) => (merged.get(kind) ?? mesh.objects(kind)) as readonly MeshObject<Spec>[],
    object: <Spec>(kind: string, namespace: string, name: string) =>
      mesh.object<Spec>(kind, namespace, name) ??
      (byKey.get(`${kind}/${namespace}/${name}`) as MeshObject<Spec> | undefined),
    problems: [...mesh.problems, ...problems],
  };
}
