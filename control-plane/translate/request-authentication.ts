/** RequestAuthentications of a proxy → `envoy.filters.http.jwt_authn` (rules 77, 78, 79). */
import type { MeshObject } from "../model/object.ts";
import { hasUsableKey, keySetKey, NO_KEYS } from "../model/key-sets.ts";
import { JWT_AUTHN } from "./authorization-names.ts";
import { any, compact, type JsonObject } from "./json.ts";
import { selectedRequestAuthentications } from "./security-policies.ts";
import type { JwtRule, RequestAuthenticationSpec } from "./spec/request-authentication.ts";
import { specOf } from "./spec/spec.ts";
import { hasExtension, report, type View } from "./view.ts";

/** Claims that are words parted by blanks, wherever they come from. */
const SPACE_DELIMITED = ["permission", "scope"];

interface OwnedRule {
  readonly rule: JwtRule;
  readonly object: MeshObject;
  readonly path: string;
}

/** One filter for all rules, by issuer; none where there are none. At gateways routes may ask for claims. */
export function requestAuthenticationFilters(view: View): readonly JsonObject[] {
  if (!hasExtension(view, JWT_AUTHN)) return [];
  const rules = rulesOf(view);
  if (rules.length === 0) return [];
  const providers: Record<string, JsonObject> = {};
  for (const [index, owned] of rules.entries()) providers[nameOf(index)] = provider(view, owned);
  const requires = requirement(rules.map((_rule, index) => nameOf(index)));
  return [
    {
      name: JWT_AUTHN,
      typedConfig: any("envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication", {
        providers,
        rules: [{ match: { prefix: "/" }, requires }],
        bypassCorsPreflight: true,
      }),
    },
  ];
}

/** What could not be had of the rules, as findings. */
export function reportMissingKeys(view: View): void {
  if (!hasExtension(view, JWT_AUTHN)) return;
  for (const { rule, object, path } of rulesOf(view)) {
    if (keysOf(view, rule) !== undefined) continue;
    const from = rule.jwksUri ?? `the issuer ${rule.issuer ?? ""}`;
    const isInline = (rule.jwks ?? "") !== "";
    const why = isInline ? "jwks has no key that can be used" : `the keys of ${from} could not be fetched (yet)`;
    const way = isInline
      ? "Write a key set with RSA, EC, OKP or oct keys."
      : "They are asked for again; or write jwks.";
    const message = `${why}: ${view.proxy.name}.${view.proxy.namespace} refuses every token of this rule with 401. ${way}`;
    report(view, "warning", "jwks-unavailable", object, path, message);
  }
}

function rulesOf(view: View): readonly OwnedRule[] {
  const rules = selectedRequestAuthentications(view).flatMap((object) =>
    (specOf<RequestAuthenticationSpec>(object).jwtRules ?? []).map((rule, index): OwnedRule => ({
      rule,
      object,
      path: `spec.jwtRules[${index}]`,
    })),
  );
  return rules.toSorted((a, b) => order(a.rule.issuer ?? "", b.rule.issuer ?? ""));
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function nameOf(index: number): string {
  return `origins-${index}`;
}

function provider(view: View, { rule }: OwnedRule): JsonObject {
  const own = rule.spaceDelimitedClaims ?? [];
  return compact({
    issuer: text(rule.issuer),
    audiences: some(rule.audiences),
    localJwks: { inlineString: keysOf(view, rule) ?? NO_KEYS },
    forward: rule.forwardOriginalToken === true ? true : undefined,
    forwardPayloadHeader: text(rule.outputPayloadToHeader),
    fromHeaders: some(rule.fromHeaders)?.map(({ name, prefix }) => compact({ name, valuePrefix: text(prefix) })),
    fromParams: some(rule.fromParams),
    fromCookies: some(rule.fromCookies),
    payloadInMetadata: "payload",
    normalizePayloadInMetadata: { spaceDelimitedClaims: [...new Set([...own, ...SPACE_DELIMITED])].toSorted(order) },
    claimToHeaders: some(rule.outputClaimToHeaders)?.map(({ header, claim }) => ({
      headerName: header,
      claimName: claim,
    })),
    clearRouteCache: view.proxy.type === "router" ? true : undefined,
  });
}

/** Undefined: there are none, as far as is known. */
function keysOf(view: View, { jwks = "", jwksUri, issuer = "" }: JwtRule): string | undefined {
  if (jwks !== "") return hasUsableKey(jwks) ? jwks : undefined;
  return view.mesh.keySet?.(keySetKey(jwksUri, issuer));
}

function text(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

function some<T>(values: readonly T[] | undefined): readonly T[] | undefined {
  return values === undefined || values.length === 0 ? undefined : values;
}

/**
 * No token passes; a token that is there must hold. With several issuers the token of one may stand where another's is
 * looked for, so that one that holds is enough; else each place must be right or empty.
 */
function requirement(names: readonly string[]): JsonObject {
  const optional = names.map((name): JsonObject => oneOf([{ providerName: name }, { allowMissing: {} }]));
  const [only] = optional;
  if (optional.length === 1 && only !== undefined) return only;
  const strict = names.map((name): JsonObject => ({ providerName: name }));
  return oneOf([...strict, { requiresAll: { requirements: optional } }]);
}

function oneOf(requirements: readonly JsonObject[]): JsonObject {
  return { requiresAny: { requirements } };
}
