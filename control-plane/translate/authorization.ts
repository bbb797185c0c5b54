/** What decides who may ask a proxy for what, in its order: CUSTOM, tokens, AUDIT, DENY, ALLOW (rules 64 to 79). */
import type { MeshObject } from "../model/object.ts";
import { HTTP_RBAC, isDryRun, NETWORK_RBAC } from "./authorization-names.ts";
import type { MovedPort } from "./authorization-permissions.ts";
import { policiesOf } from "./authorization-rules.ts";
import { externalAuthorizationFilters } from "./external-authorization.ts";
import { requestAuthenticationFilters } from "./request-authentication.ts";
import { any, compact, type JsonObject } from "./json.ts";
import { memoized } from "./memo.ts";
import { selectedPolicies } from "./security-policies.ts";
import type { AuthorizationPolicySpec } from "./spec/authorization-policy.ts";
import { specOf } from "./spec/spec.ts";
import { hasExtension, type View } from "./view.ts";

export interface AuthorizationFilters {
  readonly http: AuthorizationSteps;
  readonly tcp: AuthorizationSteps;
}

/** In this order; extensions stand before and after the second. */
export interface AuthorizationSteps {
  /** Others are asked before tokens are looked at (rule 75). */
  readonly custom: readonly JsonObject[];
  /** Who has which token is known when rules are judged. */
  readonly tokens: readonly JsonObject[];
  readonly rules: readonly JsonObject[];
}

export const NO_AUTHORIZATION: AuthorizationSteps = { custom: [], tokens: [], rules: [] };

/** In this order: AUDIT marks, DENY refuses, then ALLOW must let through (rule 64). */
const ACTIONS = [
  { action: "AUDIT", rbac: "LOG", shadowPrefix: "" },
  { action: "DENY", rbac: "DENY", shadowPrefix: "istio_dry_run_deny_" },
  { action: "ALLOW", rbac: "ALLOW", shadowPrefix: "istio_dry_run_allow_" },
] as const;

/** Of the filter without shadow rules: the prefix of ALLOW, as istiod sends it. */
const DEFAULT_SHADOW_PREFIX = "istio_dry_run_allow_";

/** `moved`: the chain's port is not the one that policies speak of. */
export function authorizationFilters(view: View, moved?: MovedPort): AuthorizationFilters {
  return moved === undefined ? filtersOf(view) : build(view, moved);
}

const filtersOf = memoized((view: View) => build(view, undefined));

function build(view: View, moved: MovedPort | undefined): AuthorizationFilters {
  const policies = selectedPolicies(view);
  const filters = (isTcp: boolean): readonly JsonObject[] =>
    ACTIONS.flatMap(({ action, rbac, shadowPrefix }) => {
      const own = policies.filter((policy) => actionOf(policy) === action);
      if (own.length === 0) return [];
      const rulesOf = (list: readonly MeshObject[]): JsonObject | undefined =>
        list.length === 0 ? undefined : rules(view, list, { rbac, isTcp, moved });
      const shadowRules = rulesOf(own.filter(isDryRun));
      return [
        filter(isTcp, {
          rules: rulesOf(own.filter((policy) => !isDryRun(policy))),
          shadowRules,
          shadowRulesStatPrefix: shadowRules === undefined ? DEFAULT_SHADOW_PREFIX : shadowPrefix || undefined,
        }),
      ];
    });
  const [hasHttp, hasTcp] = [hasExtension(view, HTTP_RBAC), hasExtension(view, NETWORK_RBAC)];
  return {
    http: {
      custom: hasHttp ? externalAuthorizationFilters(view, false, moved) : [],
      tokens: requestAuthenticationFilters(view),
      rules: hasHttp ? filters(false) : [],
    },
    tcp: hasTcp
      ? { custom: externalAuthorizationFilters(view, true, moved), tokens: [], rules: filters(true) }
      : NO_AUTHORIZATION,
  };
}

function filter(isTcp: boolean, fields: JsonObject): JsonObject {
  return isTcp
    ? {
        name: NETWORK_RBAC,
        typedConfig: any("envoy.extensions.filters.network.rbac.v3.RBAC", { ...fields, statPrefix: "tcp." }),
      }
    : { name: HTTP_RBAC, typedConfig: any("envoy.extensions.filters.http.rbac.v3.RBAC", fields) };
}

interface RulesInput {
  readonly rbac: "LOG" | "DENY" | "ALLOW";
  readonly isTcp: boolean;
  readonly moved: MovedPort | undefined;
}

function rules(view: View, policies: readonly MeshObject[], { rbac, isTcp, moved }: RulesInput): JsonObject {
  const made = policiesOf(view, policies, { isTcp, isAllow: rbac === "ALLOW", moved });
  return compact({
    action: rbac === "ALLOW" ? undefined : rbac,
    policies: Object.keys(made).length === 0 ? undefined : made,
  });
}

function actionOf(policy: MeshObject): string {
  return specOf<AuthorizationPolicySpec>(policy).action ?? "ALLOW";
}
