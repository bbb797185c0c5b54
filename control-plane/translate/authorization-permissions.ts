/** What is asked for: `to.operation` and the conditions about it → permissions of Envoy's RBAC (rule 71). */
import { anyValueOf, cidrRange, headerMatcher, namesInBrackets, textMatcher } from "./authorization-matchers.ts";
import { eachOf, type Term, term, type TermKind, togetherOf } from "./authorization-terms.ts";
import { any, type JsonObject } from "./json.ts";
import type { AuthorizationCondition, AuthorizationOperation } from "./spec/authorization-policy.ts";

/**
 * A port that its listener has replaced by another: policies speak of `declared`, connections of the other. Undefined:
 * the two are one.
 */
export interface MovedPort {
  readonly declared: number;
}

export function operationTerms(operation: AuthorizationOperation, moved: MovedPort | undefined): readonly Term[] {
  return [
    term(HOSTS, operation.hosts, operation.notHosts),
    term(METHODS, operation.methods, operation.notMethods),
    term(PATHS, operation.paths, operation.notPaths),
    term(ports(moved), operation.ports, operation.notPorts),
  ].filter((one) => one !== undefined);
}

/** Undefined for a condition that is about something else. */
export function permissionCondition(
  { key, values, notValues }: AuthorizationCondition,
  moved: MovedPort | undefined,
): Term | undefined {
  switch (key) {
    case "destination.ip":
      return term(eachOf(destinationIp), values, notValues);
    case "destination.port":
      return term(ports(moved), values, notValues);
    case "connection.sni":
      return term(
        eachOf((value) => ({ requestedServerName: textMatcher(value) })),
        values,
        notValues,
      );
    default:
      return key.startsWith("experimental.envoy.filters.") ? term(filterMetadata(key), values, notValues) : undefined;
  }
}

/** In any case; a `:port` in it is part of the value. */
const HOSTS = eachOf((value) => ({ header: headerMatcher(":authority", value, true) }), { isHttp: true });
const METHODS = eachOf((value) => ({ header: headerMatcher(":method", value) }), { isHttp: true });
const PATHS = eachOf(path, { isHttp: true });

const TEMPLATE = /\{\*\*?\}/;

/** `{*}` is one segment, `{**}` any number. */
function path(value: string): JsonObject {
  if (!TEMPLATE.test(value)) return { urlPath: { path: textMatcher(value) } };
  const pathTemplate = value.replaceAll("{*}", "*").replaceAll("{**}", "**");
  return {
    uriTemplate: {
      name: "uri-template",
      typedConfig: any("envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig", { pathTemplate }),
    },
  };
}

function ports(moved: MovedPort | undefined): TermKind {
  return eachOf((value) => {
    const port = Number(value);
    if (!Number.isInteger(port)) return undefined;
    if (moved === undefined) return { destinationPort: port };
    return moved.declared === port ? { any: true } : { notRule: { any: true } };
  });
}

function destinationIp(value: string): JsonObject | undefined {
  const range = cidrRange(value);
  return range && { destinationIp: range };
}

/** `experimental.envoy.filters.a.b[c]`: what the filter `envoy.filters.a.b` has left under `c`; `[v]` is an item of a list. */
function filterMetadata(key: string): TermKind {
  const filter = key.slice("experimental.".length, key.indexOf("["));
  return togetherOf((values) => {
    const matchers = values.map((value) => {
      const isItem = value.startsWith("[") && value.endsWith("]");
      const stringMatch = textMatcher(isItem ? value.slice(1, -1) : value);
      return isItem ? { listMatch: { oneOf: { stringMatch } } } : { stringMatch };
    });
    const path = [{ key: namesInBrackets(key).join("][") }];
    return { metadata: { filter, path, value: anyValueOf(matchers) } };
  });
}
