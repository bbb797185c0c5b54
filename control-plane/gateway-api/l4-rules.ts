/** Rules of TCPRoute and TLSRoute → `tcp` and `tls` rules of Istio. */
import { fieldsOf, listOf, stringsOf } from "../model/read-fields.ts";
import type { RouteDestination, TcpRule, TlsRule } from "../translate/spec/virtual-service.ts";
import { backendDestination, isWithoutBackends, type RouteContext, weightedBackends } from "./backends.ts";
import type { StatusError } from "./conditions.ts";
import type { ConvertedRules } from "./http-rule.ts";
import { type BackendRef, backendRefsFrom } from "./read-refs.ts";

/** A cluster that is not there: connections are refused. */
const REFUSES: RouteDestination = {
  destination: { host: "internal.cluster.local", subset: "zero-weight", port: { number: 65535 } },
  weight: 0,
};

export function convertTcpRules(context: RouteContext): ConvertedRules<TcpRule> {
  return convertRules(context, (route) => ({ route }));
}

/** Without hostnames every SNI is taken. */
export function convertTlsRules(context: RouteContext): ConvertedRules<TlsRule> {
  const hostnames = stringsOf(fieldsOf(context.route.spec)["hostnames"]);
  const match = [{ sniHosts: hostnames.length === 0 ? ["*"] : hostnames }];
  return convertRules(context, (route) => ({ match, route }));
}

function convertRules<Rule>(
  context: RouteContext,
  build: (route: readonly RouteDestination[]) => Rule,
): ConvertedRules<Rule> {
  const rules: Rule[] = [];
  let error: StatusError | undefined;
  for (const rule of listOf(fieldsOf(context.route.spec)["rules"]).map(fieldsOf)) {
    const refs = backendRefsFrom(rule);
    const made: Destinations = isWithoutBackends(refs) ? { route: [REFUSES] } : destinations(context, refs);
    error = made.error ?? error;
    if (made.route === undefined) return { rules: [], error };
    rules.push(build(made.route));
  }
  return { rules, error };
}

interface Destinations {
  readonly route?: readonly RouteDestination[];
  readonly error?: StatusError | undefined;
}

function destinations(context: RouteContext, refs: readonly BackendRef[]): Destinations {
  const route: RouteDestination[] = [];
  let wrong: StatusError | undefined;
  for (const ref of weightedBackends(refs)) {
    const { destination, error } = backendDestination(context, ref);
    if (destination === undefined) return { error };
    wrong = error ?? wrong;
    route.push({ destination, weight: ref.weight });
  }
  return { route, error: wrong };
}
