/** `http[]` of a VirtualService → routes of a virtual host (rule 16). */
import { CORS_FILTER, corsConfig } from "./cors.ts";
import { FAULT_FILTER, faultConfig } from "./fault.ts";
import { consistentHashOf, httpHashPolicy } from "./hash-policy.ts";
import { mutationFields } from "./header-operations.ts";
import { compact, type JsonObject } from "./json.ts";
import { configMetadata, outboundCluster } from "./names.ts";
import { retryPolicy } from "./retry-policy.ts";
import { ruleAction, type RouteContext } from "./route-action.ts";
import { concerns, isCatchAll, type MatchContext, routeMatch } from "./route-match.ts";
import { destinationRuleOf, type ScopedService } from "./scope.ts";
import type { HttpMatch, HttpRule } from "./spec/virtual-service.ts";
import { report, type View } from "./view.ts";
import type { VirtualService } from "./virtual-service.ts";

/** In the order of the rules, up to the first that takes everything; empty when none concerns this proxy. */
export function httpRoutes(virtualService: VirtualService, context: RouteContext): readonly JsonObject[] {
  const { view, port } = context;
  const matching: MatchContext = {
    labels: view.labels,
    namespace: view.proxy.namespace,
    port,
    gateways: context.gateways ?? ["mesh"],
  };
  const routes: JsonObject[] = [];
  for (const rule of virtualService.http) {
    const matches = (rule.match ?? []).length === 0 ? [undefined] : (rule.match ?? []);
    for (const match of matches) {
      if (match !== undefined && !concerns(match, matching)) continue;
      const route = routeFrom(rule, match, virtualService, context);
      routes.push(route);
      if (isCatchAll(route["match"] as JsonObject)) return routes;
    }
  }
  return routes;
}

function routeFrom(
  rule: HttpRule,
  match: HttpMatch | undefined,
  virtualService: VirtualService,
  context: RouteContext,
): JsonObject {
  const { isGatewayApi, separatesPrefixes } = virtualService;
  const matched = routeMatch(match, separatesPrefixes);
  const action = ruleAction(rule, isGatewayApi ? { ...context, gatewayApi: { match: matched } } : context);
  if (action === undefined) {
    const index = virtualService.http.indexOf(rule);
    report(
      context.view,
      "error",
      "invalid-value",
      virtualService.object,
      `spec.http[${index}].redirect.redirectCode`,
      `${rule.redirect?.redirectCode} is no redirect, so the route answers 500; use 301, 302, 303, 307 or 308.`,
    );
  }
  const filters = perFilterConfig(rule);
  return compact({
    name: routeName(rule.name ?? "", match?.name ?? "") || undefined,
    match: matched,
    // Envoy refuses a whole route configuration for one route without an action.
    ...(action?.fields ?? { directResponse: { status: 500 } }),
    ...(action !== undefined && mutationFields(action.mutations)),
    decorator: { operation: `${virtualService.hosts[0] ?? ""}:${context.port}${pathOf(match)}` },
    statPrefix: match?.statPrefix,
    metadata: configMetadata(virtualService.object),
    typedPerFilterConfig: Object.keys(filters).length === 0 ? undefined : filters,
  });
}

function routeName(rule: string, match: string): string {
  return match === "" ? rule : `${rule}.${match}`;
}

function pathOf(match: HttpMatch | undefined): string {
  const { uri } = match ?? {};
  if (uri?.exact !== undefined) return uri.exact;
  if (uri?.regex !== undefined) return uri.regex;
  return `${uri?.prefix ?? "/"}*`;
}

function perFilterConfig(rule: HttpRule): JsonObject {
  return {
    ...(rule.fault !== undefined && { [FAULT_FILTER]: faultConfig(rule.fault) }),
    ...(rule.corsPolicy !== undefined && { [CORS_FILTER]: corsConfig(rule.corsPolicy) }),
  };
}

/** The one route of a service that no VirtualService names. */
export function defaultRoute(view: View, service: ScopedService, port: number): JsonObject {
  const { mesh, scope, labels } = view;
  const rule = destinationRuleOf(mesh, scope, service.model, labels);
  const hashPolicy = httpHashPolicy(consistentHashOf(rule, "", port));
  return {
    name: "default",
    match: { prefix: "/" },
    route: compact({
      cluster: outboundCluster(port, "", service.host),
      timeout: "0s",
      maxGrpcTimeout: "0s",
      retryPolicy: retryPolicy(undefined, mesh.meshConfig),
      hashPolicy: hashPolicy.length === 0 ? undefined : hashPolicy,
    }),
    decorator: { operation: `${service.host}:${port}/*` },
  };
}
