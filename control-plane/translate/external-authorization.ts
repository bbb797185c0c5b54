/** AuthorizationPolicies with the action CUSTOM → an RBAC filter that marks, and ext_authz that asks (rule 75). */
import type { MeshObject } from "../model/object.ts";
import { HTTP_RBAC, isDryRun, NETWORK_RBAC } from "./authorization-names.ts";
import type { MovedPort } from "./authorization-permissions.ts";
import { policiesOf } from "./authorization-rules.ts";
import { extensionAuthorizer, type ExtensionAuthorizer } from "./extension-authorizer.ts";
import { any, compact, type JsonObject } from "./json.ts";
import { selectedPolicies } from "./security-policies.ts";
import type { AuthorizationPolicySpec } from "./spec/authorization-policy.ts";
import { specOf } from "./spec/spec.ts";
import { hasExtension, report, type View } from "./view.ts";

export const HTTP_EXT_AUTHZ = "envoy.filters.http.ext_authz";
export const NETWORK_EXT_AUTHZ = "envoy.filters.network.ext_authz";

/** Policies of one provider that count, and what asks it; without `authorizer`: what they select is refused. */
interface Asked {
  readonly provider: string;
  readonly policies: readonly MeshObject[];
  readonly authorizer: ExtensionAuthorizer | undefined;
  readonly fault: string | undefined;
}

const SHADOW_PREFIX = "istio_ext_authz_";

export function externalAuthorizationFilters(
  view: View,
  isTcp: boolean,
  moved: MovedPort | undefined,
): readonly JsonObject[] {
  return askedProviders(view).flatMap((asked) => filtersOf(view, asked, isTcp, moved));
}

function filtersOf(view: View, asked: Asked, isTcp: boolean, moved: MovedPort | undefined): readonly JsonObject[] {
  const { provider, policies, authorizer } = asked;
  const prefix = `istio-ext-authz-${provider}`;
  const made = policiesOf(view, policies, { isTcp, isAllow: false, moved }, `${prefix}-`);
  const [http, tcp] = [HTTP_EXT_AUTHZ, NETWORK_EXT_AUTHZ].map((name) => hasExtension(view, name));
  if (authorizer === undefined || !(isTcp ? tcp : http)) {
    const denied = Object.entries(made).map(([name, policy]) => [`${name}-deny-due-to-bad-CUSTOM-action`, policy]);
    return [rbac(isTcp, { rules: compact({ action: "DENY", policies: Object.fromEntries(denied) as JsonObject }) })];
  }
  const asking = isTcp ? authorizer.tcp : authorizer.http;
  // A provider over HTTP can't be asked about connections.
  if (asking === undefined) return [];
  const filterEnabledMetadata = {
    filter: isTcp ? NETWORK_RBAC : HTTP_RBAC,
    path: [{ key: `${SHADOW_PREFIX}shadow_effective_policy_id` }],
    value: { stringMatch: { prefix } },
  };
  const shadowRules = { action: "DENY", policies: made };
  return [
    rbac(isTcp, { shadowRules, shadowRulesStatPrefix: SHADOW_PREFIX }),
    isTcp
      ? {
          name: NETWORK_EXT_AUTHZ,
          typedConfig: any("envoy.extensions.filters.network.ext_authz.v3.ExtAuthz", {
            ...asking,
            filterEnabledMetadata,
          }),
        }
      : {
          name: HTTP_EXT_AUTHZ,
          typedConfig: any("envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", { ...asking, filterEnabledMetadata }),
        },
  ];
}

function rbac(isTcp: boolean, fields: JsonObject): JsonObject {
  return isTcp
    ? {
        name: NETWORK_RBAC,
        typedConfig: any("envoy.extensions.filters.network.rbac.v3.RBAC", { ...fields, statPrefix: "tcp." }),
      }
    : { name: HTTP_RBAC, typedConfig: any("envoy.extensions.filters.http.rbac.v3.RBAC", fields) };
}

/** By name. More than one for a workload can't be: what they select is refused, as istiod has it. */
function askedProviders(view: View): readonly Asked[] {
  const byProvider = new Map<string, MeshObject[]>();
  for (const policy of selectedPolicies(view)) {
    const { action, provider } = specOf<AuthorizationPolicySpec>(policy);
    if (action !== "CUSTOM" || isDryRun(policy)) continue;
    const name = provider?.name ?? "";
    byProvider.set(name, [...(byProvider.get(name) ?? []), policy]);
  }
  const names = [...byProvider.keys()].toSorted();
  return names.map((provider): Asked => {
    const policies = byProvider.get(provider) ?? [];
    if (names.length > 1) {
      const fault = `several providers are asked for this workload (${names.join(", ")}), of which there may be one`;
      return { provider, policies, authorizer: undefined, fault };
    }
    const { value, fault } = extensionAuthorizer(view, provider);
    return { provider, policies, authorizer: value, fault };
  });
}

/** One finding a policy whose provider can't be asked, or that is only being tried. */
export function reportCustomActions(view: View): void {
  const name = `${view.proxy.name}.${view.proxy.namespace}`;
  for (const { policies, fault } of askedProviders(view)) {
    for (const policy of fault === undefined ? [] : policies) {
      const message = `${fault}: ${name} refuses the requests that this policy selects. Mend it in the mesh configuration's extensionProviders, or name another provider.`;
      report(view, "warning", "bad-custom-action", policy, "spec.provider.name", message);
    }
  }
  for (const policy of selectedPolicies(view)) {
    if (specOf<AuthorizationPolicySpec>(policy).action !== "CUSTOM" || !isDryRun(policy)) continue;
    const message =
      "with the action CUSTOM a dry run asks nobody: this policy has no effect until the annotation goes.";
    report(view, "info", "no-effect", policy, "metadata.annotations", message);
  }
}
