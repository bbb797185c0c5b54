/** Rules of AuthorizationPolicies → policies of Envoy's RBAC, by the names under which statistics and logs show them. */
import type { MeshObject } from "../model/object.ts";
import type { MovedPort } from "./authorization-permissions.ts";
import { NEVER, rbacPolicy } from "./authorization-rule.ts";
import type { JsonObject } from "./json.ts";
import type { AuthorizationPolicySpec } from "./spec/authorization-policy.ts";
import { specOf } from "./spec/spec.ts";
import type { View } from "./view.ts";

export interface RulesInput {
  readonly isTcp: boolean;
  readonly isAllow: boolean;
  readonly moved: MovedPort | undefined;
}

/** `prefix` comes before each name. */
export function policiesOf(
  view: View,
  policies: readonly MeshObject[],
  { isTcp, isAllow, moved }: RulesInput,
  prefix = "",
): Readonly<Record<string, JsonObject>> {
  const made: Record<string, JsonObject> = {};
  for (const policy of policies) {
    const { namespace, name } = policy.metadata;
    const context = { meshConfig: view.mesh.meshConfig, namespace };
    const { rules: written = [] } = specOf<AuthorizationPolicySpec>(policy);
    const policyName = (index: number): string => `${prefix}ns[${namespace}]-policy[${name}]-rule[${index}]`;
    if (written.length === 0) made[policyName(0)] = NEVER;
    for (const [index, rule] of written.entries()) {
      const one = rbacPolicy(rule, { context, isTcp, isAllow, moved });
      if (one !== undefined) made[policyName(index)] = one;
    }
  }
  return made;
}
