/** One rule and one match of an HTTPRoute or GRPCRoute → one route of Istio's. */
import { durationMsFrom } from "../model/duration.ts";
import { type Fields, fieldsOf, listOf, numberOf, stringOf } from "../model/read-fields.ts";
import type { HttpDestination, HttpMatch, HttpRetries, HttpRule } from "../translate/spec/virtual-service.ts";
import { backendDestination, isWithoutBackends, type RouteContext, weightedBackends } from "./backends.ts";
import { joinedErrors, type StatusError } from "./conditions.ts";
import { backendHeaders, filterBlocks } from "./http-filters.ts";
import { grpcMatch, httpMatch, matchFault } from "./http-matches.ts";
import { backendRefsFrom, filtersFrom } from "./read-refs.ts";

/** Rules, and the last thing that is wrong with one of them. */
export interface ConvertedRules<Rule> {
  /** Empty when the route is wrong as a whole. */
  readonly rules: readonly Rule[];
  readonly error: StatusError | undefined;
}

/** Every match becomes a rule of its own, so that all of a host can be put in order. */
export function convertHttpRules(context: RouteContext): ConvertedRules<HttpRule> {
  const rules: HttpRule[] = [];
  let error: StatusError | undefined;
  for (const [index, rule] of rulesOf(context).entries()) {
    for (const match of matchesOf(context, rule)) {
      const made = convertRule(context, rule, index, match);
      if (made.rule === undefined) return { rules: [], error: made.error };
      error = made.error ?? error;
      rules.push(made.rule);
    }
  }
  return { rules, error };
}

/** An HTTPRoute without rules has one that takes everything. */
function rulesOf({ route }: RouteContext): readonly Fields[] {
  const written = fieldsOf(route.spec)["rules"];
  if (written === undefined && route.kind === "HTTPRoute") return [{}];
  return listOf(written).map(fieldsOf);
}

function matchesOf({ route }: RouteContext, rule: Fields): readonly (HttpMatch | undefined)[] {
  const written = listOf(rule["matches"]).map(fieldsOf);
  if (route.kind === "GRPCRoute") return written.length === 0 ? [undefined] : written.map(grpcMatch);
  // The API server fills in a match for the prefix `/`.
  return rule["matches"] === undefined ? [httpMatch({})] : written.map(httpMatch);
}

interface ConvertedRule {
  readonly rule?: HttpRule;
  readonly error?: StatusError | undefined;
}

function convertRule(context: RouteContext, rule: Fields, index: number, match: HttpMatch | undefined): ConvertedRule {
  const { name, namespace } = context.route.metadata;
  const fault = match === undefined ? undefined : matchFault(match);
  if (fault !== undefined) return { error: fault };
  const filters = filterBlocks(context, filtersFrom(rule["filters"]));
  if (!("blocks" in filters)) return { error: filters };
  const { blocks } = filters;
  const refs = backendRefsFrom(rule);
  const frame: HttpRule = {
    name: stringOf(rule["name"]) ?? `${namespace}.${name}.${index}`,
    ...(match !== undefined && { match: [match] }),
    ...blocks,
    ...timing(rule),
  };
  if (isWithoutBackends(refs) && blocks.redirect === undefined) {
    return { rule: { ...frame, directResponse: { status: 500 } }, error: filters.error };
  }
  const route: HttpDestination[] = [];
  let wrong: StatusError | undefined;
  for (const ref of weightedBackends(refs)) {
    const { destination, error } = backendDestination(context, ref);
    if (destination === undefined) return { error };
    wrong = error ?? wrong;
    const { headers, error: unknown } = backendHeaders(ref.filters);
    if (unknown !== undefined) return { error: unknown };
    route.push({ destination, weight: ref.weight, ...(headers !== undefined && { headers }) });
  }
  return { rule: { ...frame, route }, error: joinedErrors(wrong, filters.error) };
}

/** `timeouts` and `retry`: without `retry` the time for one backend is the time for all. */
function timing(rule: Fields): Pick<HttpRule, "timeout" | "retries"> {
  const timeouts = fieldsOf(rule["timeouts"]);
  const request = positive(timeouts["request"]);
  const backend = positive(timeouts["backendRequest"]);
  const retries = rule["retry"] === undefined ? undefined : retriesFrom(fieldsOf(rule["retry"]));
  const timeout = retries === undefined ? (backend ?? request) : request;
  return {
    ...(timeout !== undefined && { timeout }),
    ...(retries !== undefined && {
      retries: backend === undefined ? retries : { ...retries, perTryTimeout: backend },
    }),
  };
}

/** `0s` is no limit. */
function positive(value: unknown): string | undefined {
  const text = stringOf(value);
  return (durationMsFrom(text) ?? 0) > 0 ? text : undefined;
}

const DEFAULT_ATTEMPTS = 2;
const RETRIED = ["connect-failure", "refused-stream", "unavailable", "cancelled"];

function retriesFrom(retry: Fields): HttpRetries {
  const attempts = numberOf(retry["attempts"]) ?? DEFAULT_ATTEMPTS;
  const codes = listOf(retry["codes"]).filter((code) => typeof code === "number");
  const backoff = positive(retry["backoff"]);
  return {
    attempts,
    ...(attempts !== 0 && { retryOn: [...RETRIED, ...codes].join(",") }),
    ...(backoff !== undefined && { backoff }),
  };
}
