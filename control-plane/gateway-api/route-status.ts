/** `status.parents` of a route: one entry a parentRef, whatever number of listeners it means. */
import type { ParentReference, RouteParentStatus } from "../model/gateway-status.ts";
import type { MeshObject } from "../model/object.ts";
import type { Attachment } from "./attachments.ts";
import { conditionsOf, type StatusError } from "./conditions.ts";
import { GATEWAY_CONTROLLER } from "./names.ts";

/** The most telling first; that no listener is meant at all says the least. */
const RANKING = ["NotAllowedByListeners", "NoMatchingListenerHostname", "NoMatchingParent"];

export function routeStatus(
  route: MeshObject,
  attachments: readonly Attachment[],
  errorOf: (attachment: Attachment) => StatusError | undefined,
): readonly RouteParentStatus[] {
  const { namespace } = route.metadata;
  // Every attachment of a parentRef has the very same reference.
  const byRef = [...Map.groupBy(attachments, ({ ref }) => ref)].map(
    ([ref, own]) => [sortKey(ref, namespace), own] as const,
  );
  return byRef
    .toSorted(([one], [other]) => (one < other ? 1 : -1))
    .flatMap(([, own]) => {
      const [first] = own;
      if (first === undefined) return [];
      const bound = own.filter(({ denied }) => denied === undefined).length;
      const message = bound > 1 ? `Route was valid, bound to ${bound} parents` : "Route was valid";
      const conditions = conditionsOf(route, {
        Accepted: { reason: "Accepted", message, error: bound > 0 ? undefined : bestDenial(own) },
        ResolvedRefs: { reason: "ResolvedRefs", message: "All references resolved", error: errorOf(first) },
      });
      return [{ parentRef: first.ref, controllerName: GATEWAY_CONTROLLER, conditions }];
    });
}

function bestDenial(attachments: readonly Attachment[]): StatusError | undefined {
  const denials = attachments.map(({ denied }) => denied).filter((denied) => denied !== undefined);
  for (const reason of RANKING) {
    const own = denials.filter((denied) => denied.reason === reason);
    if (own.length > 0) {
      return { reason, message: [...new Set(own.map(({ message }) => message))].join("; ") };
    }
  }
  return denials[0];
}

function sortKey(ref: ParentReference, namespace: string): string {
  return `${ref.group}/${ref.kind}/${ref.name}/${ref.sectionName ?? ""}/${ref.port ?? 0}.${ref.namespace ?? namespace}`;
}
