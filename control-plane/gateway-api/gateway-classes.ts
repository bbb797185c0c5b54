/** GatewayClass: which classes are ours. */
import type { MeshIndex } from "../model/mesh-index.ts";
import type { GatewayApiStatus } from "../model/gateway-status.ts";
import type { MeshObject } from "../model/object.ts";
import { fieldsOf, stringOf } from "../model/read-fields.ts";
import { conditionsOf } from "./conditions.ts";
import { GATEWAY_API, GATEWAY_CONTROLLER, UNMANAGED_CONTROLLER } from "./names.ts";

/** Classes that are there without an object. */
const BUILT_IN: Readonly<Record<string, string>> = {
  istio: GATEWAY_CONTROLLER,
  "istio-remote": UNMANAGED_CONTROLLER,
};

/** The controller of a class, if it is one of Istio's; an object of the name counts over what is built in. */
export function controllerOf(mesh: MeshIndex, className: string): string | undefined {
  const object = mesh.object(`${GATEWAY_API}/GatewayClass`, "", className);
  const controller =
    object === undefined
      ? Object.hasOwn(BUILT_IN, className)
        ? BUILT_IN[className]
        : undefined
      : stringOf(fieldsOf(object.spec)["controllerName"]);
  return controller === GATEWAY_CONTROLLER || controller === UNMANAGED_CONTROLLER ? controller : undefined;
}

/** Undefined for classes of other controllers. */
export function gatewayClassStatus(object: MeshObject): GatewayApiStatus | undefined {
  const controller = stringOf(fieldsOf(object.spec)["controllerName"]);
  if (controller !== GATEWAY_CONTROLLER && controller !== UNMANAGED_CONTROLLER) return undefined;
  return {
    conditions: conditionsOf(object, { Accepted: { reason: "Accepted", message: "Handled by Istio controller" } }),
  };
}
