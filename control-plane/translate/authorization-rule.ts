/** One rule of an AuthorizationPolicy → one policy of Envoy's RBAC (rule 66). */
import { type MovedPort, operationTerms, permissionCondition } from "./authorization-permissions.ts";
import { type PolicyContext, principalCondition, sourceTerms } from "./authorization-principals.ts";
import { allTerms, PERMISSIONS, PRINCIPALS, type Term } from "./authorization-terms.ts";
import type { JsonObject } from "./json.ts";
import type { AuthorizationRule } from "./spec/authorization-policy.ts";

export interface RuleInput {
  readonly context: PolicyContext;
  readonly isTcp: boolean;
  readonly isAllow: boolean;
  readonly moved: MovedPort | undefined;
}

/** What a policy without rules is: it never matches (rule 65). */
export const NEVER: JsonObject = {
  permissions: [{ notRule: { any: true } }],
  principals: [{ notId: { any: true } }],
};

/** Undefined for a rule that can't match here, or that asks for something unknown (validation has refused it). */
export function rbacPolicy(rule: AuthorizationRule, input: RuleInput): JsonObject | undefined {
  const { context, moved } = input;
  const ofPermissions: Term[] = [];
  const ofPrincipals: Term[] = [];
  for (const condition of rule.when ?? []) {
    const permission = permissionCondition(condition, moved);
    const principal = principalCondition(context, condition);
    if (permission !== undefined) ofPermissions.push(permission);
    else if (principal !== undefined) ofPrincipals.push(principal);
    else if (input.isAllow) return undefined;
  }
  const permissions = alternatives(orOpen(rule.to, {}), ({ operation = {} }) =>
    allTerms([...operationTerms(operation, moved), ...ofPermissions], { ...input, grammar: PERMISSIONS }),
  );
  const principals = alternatives(orOpen(rule.from, {}), ({ source = {} }) =>
    allTerms([...sourceTerms(context, source), ...ofPrincipals], { ...input, grammar: PRINCIPALS }),
  );
  return permissions && principals && { permissions, principals };
}

/** Nothing written asks nothing. */
function orOpen<T>(items: readonly T[] | undefined, open: T): readonly T[] {
  return items === undefined || items.length === 0 ? [open] : items;
}

/** Undefined when one of them can't match: then the whole rule goes, as istiod has it. */
function alternatives<T>(
  items: readonly T[],
  make: (item: T) => JsonObject | undefined,
): readonly JsonObject[] | undefined {
  const made = items.map(make);
  return made.includes(undefined) ? undefined : made.filter((one) => one !== undefined);
}
