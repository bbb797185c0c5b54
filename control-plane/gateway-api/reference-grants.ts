/** ReferenceGrant: who may refer to what in another namespace. */
import type { MeshIndex } from "../model/mesh-index.ts";
import { fieldsOf, listOf, stringOf } from "../model/read-fields.ts";
import { GATEWAY_API } from "./names.ts";

/** `to` in its namespace may be named by objects of a kind of the Gateway API in `fromNamespace`. */
export interface GrantQuestion {
  readonly fromKind: string;
  readonly fromNamespace: string;
  readonly to: { readonly group: string; readonly kind: string; readonly namespace: string; readonly name: string };
}

/** Only a grant in the namespace of what is referred to counts. */
export function isGranted(mesh: MeshIndex, { fromKind, fromNamespace, to }: GrantQuestion): boolean {
  return mesh.objects(`${GATEWAY_API}/ReferenceGrant`).some((grant) => {
    if (grant.metadata.namespace !== to.namespace) return false;
    const spec = fieldsOf(grant.spec);
    const isFrom = listOf(spec["from"])
      .map(fieldsOf)
      .some(({ group, kind, namespace }) => group === GATEWAY_API && kind === fromKind && namespace === fromNamespace);
    if (!isFrom) return false;
    return listOf(spec["to"])
      .map(fieldsOf)
      .some(({ group, kind, name }) => {
        const named = stringOf(name);
        return (stringOf(group) ?? "") === to.group && kind === to.kind && (named === undefined || named === to.name);
      });
  });
}
