/** One proxy in one mesh: what every file of the translation is given. */
import type { MeshIndex } from "../model/mesh-index.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { WorkloadInstance } from "../model/service.ts";
import type { Problem } from "#lib/problem.ts";
import type { MeshObject } from "../model/object.ts";
import { objectName } from "../model/object.ts";
import { type Scope, scopeOf } from "./scope.ts";

export interface View {
  readonly mesh: MeshIndex;
  readonly proxy: ProxyNode;
  readonly scope: Scope;
  readonly workload: WorkloadInstance | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly locality: ProxyNode["locality"];
  /** What could not be translated; gathered along the way. */
  readonly problems: Problem[];
  /** Extensions that the proxy would have been told to use if it had them; gathered along the way. */
  readonly leftOut: Set<string>;
}

export function viewOf(mesh: MeshIndex, proxy: ProxyNode): View {
  const workload = mesh.workload(proxy.namespace, proxy.name);
  const says = proxy.locality.region !== "" || proxy.locality.zone !== "" || proxy.locality.subZone !== "";
  return {
    mesh,
    proxy,
    scope: scopeOf(mesh, proxy),
    workload,
    labels: proxy.labels,
    locality: says ? proxy.locality : (workload?.locality ?? proxy.locality),
    problems: [],
    leftOut: new Set(),
  };
}

/** The proxy has one of the extensions, or has not said which ones it has; else the first of them is noted as left out. */
export function hasExtension(view: View, ...names: readonly string[]): boolean {
  const { extensions } = view.proxy;
  if (extensions === undefined || names.some((name) => extensions.has(name))) return true;
  const [first] = names;
  if (first !== undefined) view.leftOut.add(first);
  return false;
}

/** Records a finding about a field of an object. */
export function report(
  view: View,
  level: Problem["level"],
  code: string,
  object: MeshObject,
  path: string,
  message: string,
): void {
  const { origin, source } = object;
  view.problems.push({
    code,
    level,
    // A path into an object that nobody wrote would lead nowhere.
    path: origin === undefined ? path : "",
    message,
    object: objectName(origin ?? object),
    source: path === "" ? source.location : source.locate(path),
  });
}
