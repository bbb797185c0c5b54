/**
 * Which security policies select a workload, and those that can't be enforced: they fail closed. The workload refuses
 * every request, and says why.
 */
import type { MeshObject } from "../model/object.ts";
import { objectName, REFUSABLE_POLICIES, refusedKind } from "../model/object.ts";
import { fieldsOf, listOf } from "../model/read-fields.ts";
import { HTTP_RBAC, isDryRun, JWT_AUTHN, NETWORK_RBAC } from "./authorization-names.ts";
import { type Labels, selects } from "./labels.ts";
import { memoized } from "./memo.ts";
import type { PolicyTargetReference } from "./spec/authorization-policy.ts";
import { specOf } from "./spec/spec.ts";
import { hasExtension, report, type View } from "./view.ts";

interface SelectingSpec {
  readonly selector?: { readonly matchLabels?: Labels };
  readonly targetRef?: PolicyTargetReference;
  readonly targetRefs?: readonly PolicyTargetReference[];
  readonly action?: string;
}

export interface Denial {
  /** The body of the 403. */
  readonly reason: string;
}

interface Unenforceable {
  readonly object: MeshObject;
  readonly why: string;
}

/** AuthorizationPolicies of the workload: those of the root namespace and of its own, nothing overrides (rule 74). */
export function selectedPolicies(view: View): readonly MeshObject[] {
  return selecting(view, "AuthorizationPolicy");
}

/** RequestAuthentications of the proxy, the same way. */
export function selectedRequestAuthentications(view: View): readonly MeshObject[] {
  return selecting(view, "RequestAuthentication");
}

/** Undefined: everything that selects this workload can be enforced. */
export function inboundDenial(view: View): Denial | undefined {
  const objects = unenforceable(view).map(({ object }) => objectName(object));
  if (objects.length === 0) return undefined;
  return {
    reason: `Denied: ${objects.join(", ")} selects this workload, and can't be enforced; every request is refused until it is.\n`,
  };
}

/** One finding an object. */
export function reportDenials(view: View): void {
  const name = `${view.proxy.name}.${view.proxy.namespace}`;
  for (const { object, why } of unenforceable(view)) {
    const message = `${why}: ${name} refuses every inbound request instead. Remove the object, or narrow its selector, to let requests through.`;
    report(view, "warning", "denies-all", object, "", message);
  }
}

const unenforceable = memoized((view: View): readonly Unenforceable[] => {
  const missing = [HTTP_RBAC, NETWORK_RBAC].filter((extension) => !hasExtension(view, extension));
  const why = (object: MeshObject): string | undefined => {
    const { action } = specOf<SelectingSpec>(object);
    // These never refuse anything.
    if (action === "AUDIT" || isDryRun(object)) return undefined;
    return missing.length === 0 ? undefined : `The proxy has no ${missing.join(" and no ")}`;
  };
  return [
    ...selectedPolicies(view).flatMap((object) => {
      const reason = why(object);
      return reason === undefined ? [] : [{ object, why: reason }];
    }),
    ...refusedPolicies(view).map((object) => ({
      object,
      why: "It was refused, and nothing of it is known to be right",
    })),
    ...(hasExtension(view, JWT_AUTHN) ? [] : selectedRequestAuthentications(view)).map((object) => ({
      object,
      why: `The proxy has no ${JWT_AUTHN}`,
    })),
  ];
});

function selecting(view: View, kind: string): readonly MeshObject[] {
  return view.mesh.objects(kind).filter((object) => isSelecting(object, view));
}

/** Policies that were refused, where they would have counted as far as can be read: without them more would be open. */
function refusedPolicies(view: View): readonly MeshObject[] {
  const { rootNamespace } = view.mesh.meshConfig;
  const refused = REFUSABLE_POLICIES.flatMap((kind) => view.mesh.objects(refusedKind(kind)));
  return refused.flatMap((object) => {
    const { namespace } = object.metadata;
    if (namespace !== view.proxy.namespace && namespace !== rootNamespace) return [];
    const spec = fieldsOf(object.spec);
    if ((spec["targetRef"] ?? undefined) !== undefined || listOf(spec["targetRefs"]).length > 0) return [];
    const labels = fieldsOf(fieldsOf(spec["selector"])["matchLabels"]) as Labels;
    return selects(labels, view.workload?.labels ?? view.labels) ? [object.origin ?? object] : [];
  });
}

/** Its `selector` or `targetRefs` mean the proxy. */
export function isSelecting(object: MeshObject, view: View): boolean {
  const { namespace } = object.metadata;
  const spec = specOf<SelectingSpec>(object);
  const refs = [...(spec.targetRef === undefined ? [] : [spec.targetRef]), ...(spec.targetRefs ?? [])];
  if (refs.length > 0) return namespace === view.proxy.namespace && refs.some((ref) => isTarget(ref, view));
  if (namespace !== view.proxy.namespace && namespace !== view.mesh.meshConfig.rootNamespace) return false;
  // A waypoint stands for others: only what is attached to it is meant for it.
  if (view.proxy.type === "waypoint" && spec.selector !== undefined) return false;
  return selects(spec.selector?.matchLabels, view.workload?.labels ?? view.labels);
}

/** The proxy is one of the Gateway that the policy is attached to. */
function isTarget({ group, kind, name }: PolicyTargetReference, view: View): boolean {
  if (group !== "gateway.networking.k8s.io" || kind !== "Gateway") return false;
  return (view.workload?.labels ?? view.labels)["gateway.networking.k8s.io/gateway-name"] === name;
}
