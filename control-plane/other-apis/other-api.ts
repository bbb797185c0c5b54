/** APIs of others that say what Istio's can say: their objects become Istio's, and are translated with them. */
import type { Problem } from "#lib/problem.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import { objectName, type MeshObject } from "../model/object.ts";

export interface OtherApi {
  readonly kinds: readonly { readonly group: string; readonly kind: string }[];
  /** Pure. What can't be said in Istio's terms is a finding. */
  convert(mesh: MeshIndex): { readonly generated: readonly MeshObject[]; readonly problems: readonly Problem[] };
}

/** What of an object has no effect, or another one than written. */
export function finding(
  object: MeshObject,
  path: string,
  message: string,
  level: Problem["level"] = "warning",
): Problem {
  const source = path === "" ? object.source.location : object.source.locate(path);
  return { code: "no-effect", level, path, message, object: objectName(object), source };
}
