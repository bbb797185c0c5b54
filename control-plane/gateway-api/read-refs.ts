/** References of the Gateway API, with the defaults that an API server fills in. */
import type { ParentReference } from "../model/gateway-status.ts";
import { type Fields, fieldsOf, listOf, numberOf, stringOf } from "../model/read-fields.ts";
import { GATEWAY_API } from "./names.ts";

export interface RouteFilter {
  readonly type: string;
  /** The whole filter. */
  readonly fields: Fields;
}

export interface BackendRef {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  /** As written; absent: the route's own. */
  readonly namespace: string | undefined;
  readonly port: number | undefined;
  readonly weight: number;
  readonly filters: readonly RouteFilter[];
}

export function backendRefFrom(value: unknown): BackendRef {
  const fields = fieldsOf(value);
  return {
    group: stringOf(fields["group"]) ?? "",
    kind: stringOf(fields["kind"]) ?? "Service",
    name: stringOf(fields["name"]) ?? "",
    namespace: stringOf(fields["namespace"]),
    port: numberOf(fields["port"]),
    weight: numberOf(fields["weight"]) ?? 1,
    filters: filtersFrom(fields["filters"]),
  };
}

export function backendRefsFrom(rule: Fields): readonly BackendRef[] {
  return listOf(rule["backendRefs"]).map(backendRefFrom);
}

export function filtersFrom(value: unknown): readonly RouteFilter[] {
  return listOf(value).map((item) => {
    const fields = fieldsOf(item);
    return { type: stringOf(fields["type"]) ?? "", fields };
  });
}

export function parentRefFrom(value: unknown): ParentReference {
  const fields = fieldsOf(value);
  const namespace = stringOf(fields["namespace"]);
  const sectionName = stringOf(fields["sectionName"]);
  const port = numberOf(fields["port"]);
  return {
    group: stringOf(fields["group"]) ?? GATEWAY_API,
    kind: stringOf(fields["kind"]) ?? "Gateway",
    name: stringOf(fields["name"]) ?? "",
    ...(namespace !== undefined && { namespace }),
    ...(sectionName !== undefined && { sectionName }),
    ...(port !== undefined && { port }),
  };
}
