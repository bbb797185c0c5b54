/** Where a VirtualService leads. */
import { fieldsOf, listOf, numberOf, stringOf, type Fields } from "../../model/read-fields.ts";

export interface RouteDestination {
  readonly host: string;
  readonly subset: string;
  readonly port: number | undefined;
  /** Of its host. */
  readonly path: string;
  readonly isMirror: boolean;
}

/** Destinations of tcp, tls and http routes, then those of mirrors. */
export function routeDestinations(spec: Fields): readonly RouteDestination[] {
  const found: RouteDestination[] = [];
  for (const protocol of ["tcp", "tls", "http"]) {
    for (const [at, rule] of listOf(spec[protocol]).map(fieldsOf).entries()) {
      for (const [index, route] of listOf(rule["route"]).map(fieldsOf).entries()) {
        const path = `spec.${protocol}[${at}].route[${index}].destination.host`;
        found.push(destination(route["destination"], path, false));
      }
    }
  }
  for (const [at, rule] of listOf(spec["http"]).map(fieldsOf).entries()) {
    if (rule["mirror"] !== undefined) found.push(destination(rule["mirror"], `spec.http[${at}].mirror.host`, true));
    for (const [index, mirror] of listOf(rule["mirrors"]).map(fieldsOf).entries()) {
      found.push(destination(mirror["destination"], `spec.http[${at}].mirrors[${index}].host`, true));
    }
  }
  return found;
}

function destination(value: unknown, path: string, isMirror: boolean): RouteDestination {
  const { host, subset, port } = fieldsOf(value);
  const number = port === undefined ? undefined : (numberOf(fieldsOf(port)["number"]) ?? 0);
  return { host: stringOf(host) ?? "", subset: stringOf(subset) ?? "", port: number, path, isMirror };
}
