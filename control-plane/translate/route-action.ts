/** What a rule does with a request: forward, redirect, answer (rules 23–31, 36). */
import { durationJson } from "./duration.ts";
import { consistentHashOf, httpHashPolicy } from "./hash-policy.ts";
import { isProxyless } from "./grpc-proxyless.ts";
import { headerMutations, type HeaderMutations, joined, mutationFields, NO_MUTATIONS } from "./header-operations.ts";
import { compact, type JsonObject } from "./json.ts";
import { outboundCluster } from "./names.ts";
import { perMillion } from "./fault.ts";
import { PREFIX_MARK, quoted } from "../gateway-api/http-filters.ts";
import { proxyOptions } from "./proxy-options.ts";
import { retryPolicy } from "./retry-policy.ts";
import { destinationRuleOf } from "./scope.ts";
import type { Destination, HttpDestination, HttpRedirect, HttpRule, Percent } from "./spec/virtual-service.ts";
import type { View } from "./view.ts";

/** Where routes are made for. */
export interface RouteContext {
  readonly view: View;
  /** The port that the client called. */
  readonly port: number;
  /** The port of a destination that names none (rule 24). */
  readonly defaultPort: (host: string) => number;
  /** The gateway for which `match.gateways` is read; absent: `mesh`. */
  readonly gateways?: readonly string[];
  /** The port is one with TLS: redirects stay on https. */
  readonly isTls?: boolean;
  /** The rule is one of the Gateway API, for this RouteMatch (rules 118, 121). */
  readonly gatewayApi?: { readonly match: JsonObject };
}

export interface ActionResult {
  /** `route`, `redirect` or `directResponse`; header fields of the route. */
  readonly fields: JsonObject;
  readonly mutations: HeaderMutations;
}

/** Undefined for an action that Envoy has not: an unsupported redirect code (rule 27). */
export function ruleAction(rule: HttpRule, context: RouteContext): ActionResult | undefined {
  const own = headerMutations(rule.headers);
  if (rule.redirect !== undefined) {
    const redirect = redirectAction(rule.redirect, context);
    return redirect === undefined ? undefined : { fields: { redirect }, mutations: own };
  }
  if (rule.directResponse !== undefined) {
    const { status, body } = rule.directResponse;
    const source =
      body?.string !== undefined
        ? { inlineString: body.string }
        : body?.bytes !== undefined
          ? { inlineBytes: body.bytes }
          : undefined;
    return { fields: { directResponse: compact({ status, body: source }) }, mutations: own };
  }
  return forward(rule, own, context);
}

function forward(rule: HttpRule, own: HeaderMutations, context: RouteContext): ActionResult {
  const destinations = rule.route ?? [];
  const single = destinations.length === 1 ? destinations[0] : undefined;
  const singleMutations = headerMutations(single?.headers);
  const counted = single === undefined ? destinations.filter(isWeighted) : destinations;
  const hashPolicy = counted.flatMap((destination) => hashPolicyOf(destination, context));
  const timeout = durationJson(rule.timeout) ?? "0s";
  const authority = rule.rewrite?.authority || own.authority || singleMutations.authority;
  const route = compact({
    ...target(destinations, context),
    timeout,
    // gRPC itself reads the newer field only.
    ...(isProxyless(context.view.proxy)
      ? { maxStreamDuration: { maxStreamDuration: timeout } }
      : { maxGrpcTimeout: timeout }),
    retryPolicy: retryPolicy(rule.retries, context.view.mesh.meshConfig, single !== undefined && hashPolicy.length > 0),
    ...(context.gatewayApi !== undefined && { clusterNotFoundResponseCode: "INTERNAL_SERVER_ERROR" }),
    ...rewrite(rule, context),
    hostRewriteLiteral: authority,
    appendXForwardedHost: proxyOptions(context.view).headers.hasForwardedHost ? true : undefined,
    requestMirrorPolicies: mirrors(rule, context),
    hashPolicy: hashPolicy.length === 0 ? undefined : hashPolicy,
  });
  return { fields: { route }, mutations: single === undefined ? own : joined(own, singleMutations) };
}

function target(destinations: readonly HttpDestination[], context: RouteContext): JsonObject {
  const [first] = destinations;
  if (destinations.length <= 1) return { cluster: destinationCluster(first?.destination ?? {}, context) };
  return { weightedClusters: { clusters: destinations.filter(isWeighted).map((item) => weighted(item, context)) } };
}

/** Of several destinations those without weight are left out (rule 23). */
function isWeighted(destination: HttpDestination): boolean {
  return (destination.weight ?? 0) > 0;
}

function weighted(item: HttpDestination, context: RouteContext): JsonObject {
  const mutations = item.headers === undefined ? NO_MUTATIONS : headerMutations(item.headers);
  return compact({
    name: destinationCluster(item.destination ?? {}, context),
    weight: item.weight ?? 0,
    ...mutationFields(mutations),
    hostRewriteLiteral: mutations.authority,
  });
}

/** A host or subset that is not there still gets the name it would have: 503. */
export function destinationCluster(
  destination: Destination,
  context: Pick<RouteContext, "view" | "defaultPort">,
): string {
  const written = destination.host ?? "";
  if (written === "") return "UnknownService";
  const host = context.view.scope.byAnyName.get(written)?.host ?? written;
  const port = destination.port?.number ?? context.defaultPort(host);
  return outboundCluster(port, destination.subset ?? "", host);
}

function rewrite({ rewrite: settings }: HttpRule, { gatewayApi }: RouteContext): JsonObject {
  if (settings === undefined) return {};
  const { uri, uriRegexRewrite } = settings;
  if (uriRegexRewrite !== undefined) {
    return {
      regexRewrite: compact({
        pattern: { regex: uriRegexRewrite.match ?? "" },
        substitution: uriRegexRewrite.rewrite,
      }),
    };
  }
  if (uri === "/" && gatewayApi !== undefined) {
    // The prefix goes, the slash after it stays: `/prefix` and `/prefix/x` become `/` and `/x`.
    const prefix = quoted((gatewayApi.match["pathSeparatedPrefix"] as string | undefined) ?? "");
    return { regexRewrite: { pattern: { regex: `^${prefix}(/?)(.*)` }, substitution: "/\\2" } };
  }
  return uri === undefined || uri === "" ? {} : { prefixRewrite: uri };
}

/** Without a percentage everything is copied, with 0 nothing (rule 31). */
function mirrors(rule: HttpRule, context: RouteContext): readonly JsonObject[] | undefined {
  const { mirror, mirrors: more = [] } = rule;
  const wanted = [
    ...(mirror === undefined
      ? []
      : [{ destination: mirror, share: shareOf(rule.mirrorPercentage, rule.mirrorPercent) }]),
    ...more.map(({ destination, percentage }) => ({ destination, share: shareOf(percentage) })),
  ];
  const policies = wanted
    .filter(({ share }) => share["numerator"] !== 0)
    .map(({ destination, share }) => ({
      cluster: destinationCluster(destination, context),
      runtimeFraction: { defaultValue: share },
      traceSampled: false,
      disableShadowHostSuffixAppend: true,
    }));
  return policies.length === 0 ? undefined : policies;
}

function shareOf(percentage: Percent | undefined, legacy?: number): JsonObject {
  return percentage === undefined ? { numerator: legacy ?? 100 } : perMillion(percentage);
}

function hashPolicyOf({ destination }: HttpDestination, context: RouteContext): readonly JsonObject[] {
  const service = context.view.scope.byAnyName.get(destination?.host ?? "");
  if (service === undefined) return [];
  const { mesh, scope, labels } = context.view;
  const rule = destinationRuleOf(mesh, scope, service.model, labels);
  return httpHashPolicy(consistentHashOf(rule, destination?.subset ?? "", destination?.port?.number));
}

const REDIRECT_CODES: Readonly<Record<number, string | undefined>> = {
  301: undefined,
  302: "FOUND",
  303: "SEE_OTHER",
  307: "TEMPORARY_REDIRECT",
  308: "PERMANENT_REDIRECT",
};

/** A port that is the scheme's own is not written (rule 27). */
function redirectAction(redirect: HttpRedirect, context: RouteContext): JsonObject | undefined {
  const { port, isTls, gatewayApi } = context;
  const code = redirect.redirectCode ?? 0;
  if (code !== 0 && !(code in REDIRECT_CODES)) return undefined;
  const asked = redirect.derivePort === "FROM_REQUEST_PORT" ? port : (redirect.port ?? 0);
  const scheme = redirect.scheme ?? "";
  const lands = scheme === "" ? (isTls === true ? "https" : "http") : scheme;
  const isDefault = (asked === 80 && lands === "http") || (asked === 443 && lands === "https");
  return compact({
    hostRedirect: redirect.authority || undefined,
    ...(gatewayApi !== undefined && redirect.uri?.startsWith(PREFIX_MARK) === true
      ? { prefixRewrite: redirect.uri.slice(PREFIX_MARK.length) }
      : { pathRedirect: redirect.uri || undefined }),
    schemeRedirect: scheme || undefined,
    portRedirect: asked === 0 || isDefault ? undefined : asked,
    responseCode: code === 0 ? undefined : REDIRECT_CODES[code],
  });
}
