/**
 * Policies that translation does not know yet fail closed: a workload that they select refuses every request, and says
 * why.
 */
import type { MeshObject } from "../model/object.ts";
import { objectName } from "../model/object.ts";
import { type Labels, selects } from "./labels.ts";
import { specOf } from "./spec/spec.ts";
import { report, type View } from "./view.ts";

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

const KINDS = ["AuthorizationPolicy", "RequestAuthentication"] as const;

/** Undefined: nothing selects this workload. */
export function inboundDenial(view: View): Denial | undefined {
  const selecting = KINDS.flatMap((kind) => view.mesh.objects(kind).filter((object) => decidesFor(object, view)));
  if (selecting.length === 0) return undefined;
  return {
    reason: `Denied: ${selecting.map(objectName).join(", ")} selects this workload, and is not enforced yet; every request is refused until it is.\n`,
  };
}

/** One finding an object. */
export function reportDenials(view: View): void {
  for (const kind of KINDS) {
    for (const object of view.mesh.objects(kind)) {
      if (!decidesFor(object, view)) continue;
      report(
        view,
        "warning",
        "denies-all",
        object,
        "",
        `${kind} is not enforced yet: ${view.proxy.name}.${view.proxy.namespace} refuses every inbound request instead. Remove the object, or narrow its selector, to let requests through.`,
      );
    }
  }
}

function decidesFor(object: MeshObject, view: View): boolean {
  const { namespace, annotations } = object.metadata;
  if (namespace !== view.proxy.namespace && namespace !== view.mesh.meshConfig.rootNamespace) return false;
  const spec = specOf<SelectingSpec>(object);
  // Gateways and waypoints only.
  if (spec.targetRef !== undefined || (spec.targetRefs ?? []).length > 0) return false;
  // These never refuse anything.
  if (spec.action === "AUDIT" || annotations["istio.io/dry-run"] === "true") return false;
  return selects(spec.selector?.matchLabels, view.workload?.labels ?? view.labels);
}
