/**
 * Which security policies select a workload, and those that can't be enforced: they fail closed. The workload refuses
 * every request, and says why.
 */
import type { MeshObject } from "../model/object.ts";
import { objectName } from "../model/object.ts";
import { HTTP_RBAC, isDryRun, NETWORK_RBAC } from "./authorization-names.ts";
import { type Labels, selects } from "./labels.ts";
import { memoized } from "./memo.ts";
import { specOf } from "./spec/spec.ts";
import { hasExtension, report, type View } from "./view.ts";

interface SelectingSpec {
  readonly selector?: { readonly matchLabels?: Labels };
  readonly targetRef?: unknown;
  readonly targetRefs?: readonly unknown[];
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
    if (action === "CUSTOM") return "The action CUSTOM is not enforced yet";
    return missing.length === 0 ? undefined : `The proxy has no ${missing.join(" and no ")}`;
  };
  return [
    ...selectedPolicies(view).flatMap((object) => {
      const reason = why(object);
      return reason === undefined ? [] : [{ object, why: reason }];
    }),
    ...selecting(view, "RequestAuthentication").map((object) => ({
      object,
      why: "RequestAuthentication is not enforced yet",
    })),
  ];
});

function selecting(view: View, kind: string): readonly MeshObject[] {
  return view.mesh.objects(kind).filter((object) => isSelecting(object, view));
}

function isSelecting(object: MeshObject, view: View): boolean {
  const { namespace } = object.metadata;
  if (namespace !== view.proxy.namespace && namespace !== view.mesh.meshConfig.rootNamespace) return false;
  const spec = specOf<SelectingSpec>(object);
  // Gateways and waypoints only.
  if (spec.targetRef !== undefined || (spec.targetRefs ?? []).length > 0) return false;
  return selects(spec.selector?.matchLabels, view.workload?.labels ?? view.labels);
}
