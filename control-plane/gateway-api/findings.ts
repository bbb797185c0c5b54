/** What of the Gateway API's objects does not work, or has no effect, told at the place where it is written. */
import type { Problem } from "#lib/problem.ts";
import type { Condition, GatewayApiStatus } from "../model/gateway-status.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import { type MeshObject, objectName } from "../model/object.ts";
import { fieldsOf, listOf, stringOf } from "../model/read-fields.ts";
import type { GatewayResult } from "./gateways.ts";
import { GATEWAY_API } from "./names.ts";
import { ignoredFields } from "./no-effect.ts";
import type { RouteResult } from "./routes.ts";

/** A condition of an object's status is not as it should be. */
const STATUS = "gateway-api-status";
const NO_EFFECT = "no-effect";

export function problemsOf(
  mesh: MeshIndex,
  statuses: ReadonlyMap<MeshObject, GatewayApiStatus>,
  gateways: readonly GatewayResult[],
  routes: readonly (RouteResult & { readonly route: MeshObject })[],
): readonly Problem[] {
  return [
    ...[...statuses].flatMap(([object, status]) => statusProblems(object, status)),
    ...gateways.flatMap(({ object, warnings }) =>
      warnings.map(({ path, error }) => problem(STATUS, object, path, `${error.reason}: ${error.message}`)),
    ),
    ...foreignGateways(mesh, statuses),
    ...routes.flatMap((result) => routeProblems(mesh, result)),
    ...[...statuses.keys()].flatMap((object) =>
      ignoredFields(object).map(({ path, why }) => problem(NO_EFFECT, object, path, why)),
    ),
  ];
}

function problem(code: string, object: MeshObject, path: string, message: string): Problem {
  const source = path === "" ? object.source.location : object.source.locate(path);
  return { code, level: "warning", path, message, object: objectName(object), source };
}

function statusProblems(object: MeshObject, status: GatewayApiStatus): readonly Problem[] {
  const told = new Map<string, Problem>();
  const tell = (path: string, where: string, conditions: readonly Condition[] | undefined): void => {
    for (const { type, status: value, reason, message } of conditions ?? []) {
      const isGood = type === "Conflicted" ? value === "False" : value === "True";
      if (isGood) continue;
      const text = `${where}${type} is ${value} (${reason}): ${message}.`;
      told.set(`${path}|${text}`, problem(STATUS, object, path, text));
    }
  };
  tell("", "", status.conditions);
  for (const [index, { name, conditions }] of (status.listeners ?? []).entries()) {
    tell(`spec.listeners[${index}]`, `listener ${name}: `, conditions);
  }
  for (const { parentRef, conditions } of status.parents ?? []) {
    tell("spec.parentRefs", `for ${parentRef.kind} ${parentRef.name}: `, conditions);
  }
  for (const { ancestorRef, conditions } of status.ancestors ?? []) {
    tell("spec", `for ${ancestorRef.kind} ${ancestorRef.name}: `, conditions);
  }
  return [...told.values()];
}

function foreignGateways(mesh: MeshIndex, statuses: ReadonlyMap<MeshObject, GatewayApiStatus>): readonly Problem[] {
  return mesh
    .objects(`${GATEWAY_API}/Gateway`)
    .filter((object) => !statuses.has(object))
    .map((object) => {
      const name = stringOf(fieldsOf(object.spec)["gatewayClassName"]) ?? "";
      const path = "spec.gatewayClassName";
      return problem(NO_EFFECT, object, path, `class ${name} is of another controller; here only istio is served.`);
    });
}

function routeProblems(
  mesh: MeshIndex,
  { route, attachments }: RouteResult & { readonly route: MeshObject },
): readonly Problem[] {
  const spec = fieldsOf(route.spec);
  const problems: Problem[] = [];
  if (attachments.length === 0) {
    const message =
      "none of its parentRefs is a Gateway of class istio or a Service that is there: nothing is made of it.";
    problems.push(problem(NO_EFFECT, route, "spec.parentRefs", message));
  }
  for (const { ref, parent, denied } of attachments) {
    if (parent.kind !== "mesh" || denied !== undefined) continue;
    const ports = parent.hosts.flatMap((host) => mesh.servicesByHost(host)).flatMap((service) => service.ports);
    const { port } = ref;
    if (port === undefined || ports.some(({ number }) => number === port)) continue;
    problems.push(problem(NO_EFFECT, route, "spec.parentRefs", `${ref.kind} ${ref.name} has no port ${port}.`));
  }
  const isMeshOnly = attachments.length > 0 && attachments.every(({ parent }) => parent.kind === "mesh");
  if (isMeshOnly && route.kind !== "TLSRoute" && listOf(spec["hostnames"]).length > 0) {
    const message = "hostnames have no effect in the mesh: the route is for the hosts of its parents.";
    problems.push(problem(NO_EFFECT, route, "spec.hostnames", message));
  }
  return problems;
}
