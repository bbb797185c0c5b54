/** The mesh with what its Gateway API objects amount to. */
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { convertGatewayApi } from "./convert.ts";
import { GATEWAY_API, ROUTE_KINDS } from "./names.ts";

const KINDS = ["GatewayClass", "Gateway", "BackendTLSPolicy", ...ROUTE_KINDS];

/** `order` is that of `MeshIndex.objects`: what is made stands among what is written by its age. */
export function withGatewayApi(mesh: MeshIndex, order: (one: MeshObject, other: MeshObject) => number): MeshIndex {
  if (!KINDS.some((kind) => mesh.objects(`${GATEWAY_API}/${kind}`).length > 0)) return mesh;
  const { generated, statuses, problems } = convertGatewayApi(mesh);
  const byKind = Map.groupBy(generated, ({ kind }) => kind);
  const merged = new Map<string, readonly MeshObject[]>();
  for (const [kind, own] of byKind) merged.set(kind, [...mesh.objects(kind), ...own].toSorted(order));
  const byKey = new Map(generated.map((object) => [keyOf(object.kind, object.metadata), object]));
  return {
    ...mesh,
    // The caller says which spec it reads.
    objects: <Spec>(kind: string) => (merged.get(kind) ?? mesh.objects(kind)) as readonly MeshObject<Spec>[],
    object: <Spec>(kind: string, namespace: string, name: string) =>
      mesh.object<Spec>(kind, namespace, name) ??
      (byKey.get(keyOf(kind, { namespace, name })) as MeshObject<Spec> | undefined),
    gatewayApiStatuses: statuses,
    problems: [...mesh.problems, ...problems],
  };
}

function keyOf(kind: string, { namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${kind}/${namespace}/${name}`;
}
