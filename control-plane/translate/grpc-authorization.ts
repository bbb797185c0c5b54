/**
 * Who may call a gRPC server without a proxy: DENY, then ALLOW (A41).
 *
 * Differs from istiod: what gRPC can't enforce (CUSTOM, tokens, a policy that was refused) closes the server, where istiod
 * leaves it out; an ALLOW policy without rules lets nobody in, where istiod forgets it.
 */
import type { MeshObject } from "../model/object.ts";
import { HTTP_RBAC, isDryRun } from "./authorization-names.ts";
import { NEVER, rbacPolicy } from "./authorization-rule.ts";
import { any, compact, type JsonObject } from "./json.ts";
import { inboundDenial, reportDenials, selectedPolicies, selectedRequestAuthentications } from "./security-policies.ts";
import type { AuthorizationPolicySpec } from "./spec/authorization-policy.ts";
import { specOf } from "./spec/spec.ts";
import { report, type View } from "./view.ts";

const EVERYBODY: JsonObject = { permissions: [{ any: true }], principals: [{ any: true }] };

/** The HTTP filters before the router. */
export function grpcAuthorization(view: View): readonly JsonObject[] {
  if (isClosed(view)) return [filter("DENY", { closed: EVERYBODY })];
  const enforced = selectedPolicies(view).filter((policy) => !isDryRun(policy));
  return [...filtersOf(view, "DENY", enforced), ...filtersOf(view, "ALLOW", enforced)];
}

function filtersOf(view: View, action: "DENY" | "ALLOW", all: readonly MeshObject[]): readonly JsonObject[] {
  const policies = all.filter((policy) => actionOf(policy) === action);
  if (policies.length === 0) return [];
  const made: Record<string, JsonObject> = {};
  for (const policy of policies) {
    const { namespace, name } = policy.metadata;
    const context = { meshConfig: view.mesh.meshConfig, namespace };
    const { rules = [] } = specOf<AuthorizationPolicySpec>(policy);
    if (rules.length === 0) made[`${namespace}-${name}-0`] = NEVER;
    for (const [index, rule] of rules.entries()) {
      const input = { context, isTcp: false, isAllow: action === "ALLOW", moved: undefined };
      const one = rbacPolicy(rule, input);
      if (one !== undefined) made[`${namespace}-${name}-${index}`] = one;
    }
  }
  return [filter(action, made)];
}

function filter(action: "DENY" | "ALLOW", policies: Readonly<Record<string, JsonObject>>): JsonObject {
  return {
    name: action === "DENY" ? `${HTTP_RBAC}.DENY` : HTTP_RBAC,
    typedConfig: any("envoy.extensions.filters.http.rbac.v3.RBAC", {
      rules: compact({ action: action === "DENY" ? action : undefined, policies }),
    }),
  };
}

/** Something selects the server that gRPC can't enforce; said by a finding. */
function isClosed(view: View): boolean {
  const beyond = [
    ...selectedPolicies(view).filter((policy) => actionOf(policy) === "CUSTOM" && !isDryRun(policy)),
    ...selectedRequestAuthentications(view),
  ];
  const who = `${view.proxy.name}.${view.proxy.namespace}`;
  for (const object of beyond) {
    const message = `gRPC without a proxy can't enforce it: ${who} refuses every call instead. Give the workload a sidecar, or narrow the selector.`;
    report(view, "warning", "denies-all", object, "", message);
  }
  reportDenials(view);
  return beyond.length > 0 || inboundDenial(view) !== undefined;
}

function actionOf(policy: MeshObject): string {
  return specOf<AuthorizationPolicySpec>(policy).action ?? "ALLOW";
}
