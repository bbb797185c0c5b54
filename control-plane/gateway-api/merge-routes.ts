/** HTTP rules of several routes for one host of one listener or Service → one VirtualService. */
import type { MeshObject } from "../model/object.ts";
import type { VirtualServiceSpec } from "../translate/spec/virtual-service.ts";
import { generatedObject } from "./generated.ts";
import { nameFromKey } from "./names.ts";
import { byPrecedence } from "./precedence.ts";
import { type HttpPart, ROUTE_ANNOTATIONS } from "./routes.ts";

/** Of rules that are equal the oldest route's come first; its namespace is that of the VirtualService. */
export function mergeHttpRoutes(parts: readonly HttpPart[]): readonly MeshObject<VirtualServiceSpec>[] {
  const byKey = Map.groupBy(
    parts.toSorted((one, other) => byAge(one.route, other.route)),
    ({ key }) => key,
  );
  return [...byKey].flatMap(([key, own]) => {
    const [first] = own;
    if (first === undefined) return [];
    const spec = { ...first.spec, http: byPrecedence(own.flatMap((part) => part.spec.http)) };
    const origins = [...new Set(own.map(({ route }) => route))];
    const { namespace } = first.route.metadata;
    const annotations = ROUTE_ANNOTATIONS;
    return [generatedObject({ kind: "VirtualService", name: nameFromKey(key), namespace, origins, annotations, spec })];
  });
}

/** Oldest first; ties by namespace, then name. */
function byAge({ metadata: one }: MeshObject, { metadata: other }: MeshObject): number {
  return (
    one.creationTimestamp - other.creationTimestamp ||
    compareText(one.namespace, other.namespace) ||
    compareText(one.name, other.name)
  );
}

function compareText(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
