/** Which Secrets a proxy may have (rule 107): those that its own configuration names, in its own namespace or by a grant. */
import type { MeshObject } from "../model/object.ts";
import type { CredentialName } from "./credential-names.ts";
import { parseCredentialName, withoutCaSuffix } from "./credential-names.ts";
import { mergedGateway } from "./gateway-servers.ts";
import { isEmptySelector, selects } from "./labels.ts";
import { CA_SUFFIX, credentialResourceName } from "./secrets.ts";
import type { ClientTls, DestinationRuleSpec } from "./spec/destination-rule.ts";
import type { ServerTls } from "./spec/gateway.ts";
import { specOf } from "./spec/spec.ts";
import type { View } from "./view.ts";
import { isVisibleTo } from "./visibility.ts";

/** Who the proxy has proved to be. */
export interface ProvenIdentity {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Of an internal Gateway: the only account that may have its certificates. */
const SERVICE_ACCOUNT_ANNOTATION = "internal.istio.io/service-account-name";

/** Why a proxy may not have a secret; undefined: it may. */
export type AccessCheck = (resource: string, credential: CredentialName) => string | undefined;

export function accessCheck(view: View, identity: ProvenIdentity | undefined): AccessCheck {
  if (identity === undefined) {
    return () => "the proxy has not proved who it is: it must connect to the port with TLS";
  }
  const { namespace } = identity;
  const ofGateways = gatewayCredentials(view, identity);
  const ofRules = ruleCredentials(view);
  return (resource, credential) => {
    const isNamed = ofGateways.has(resource);
    if (credential.kind === "kubernetes-gateway") {
      const instead = "a ReferenceGrant is needed for a Secret of another namespace";
      return isNamed ? undefined : `no Gateway of namespace ${namespace} may use it; ${instead}`;
    }
    if (credential.namespace !== namespace) {
      const isGranted = isNamed && credential.kind === "configmap";
      return isGranted ? undefined : `it is of another namespace than the proxy, ${namespace}`;
    }
    return isNamed || ofRules.has(resource) ? undefined : "nothing in the configuration of this proxy names it";
  };
}

/** Names in the servers of the Gateways that the proxy serves, as far as the Gateway may use them. */
function gatewayCredentials(view: View, identity: ProvenIdentity): ReadonlySet<string> {
  const result = new Set<string>();
  const servers = (mergedGateway(view)?.ports ?? []).flatMap((port) => port.servers);
  for (const { object, tls } of servers) {
    const { namespace, annotations } = object.metadata;
    const account = annotations[SERVICE_ACCOUNT_ANNOTATION] ?? "";
    const isVerified = namespace === identity.namespace && (account === "" || account === identity.serviceAccount);
    for (const resource of tls === undefined ? [] : resourcesOf(tls)) {
      const credential = parseCredentialName(resource, identity.namespace);
      if (credential === undefined) continue;
      // Of a Gateway elsewhere that selects this proxy only plain names count: they mean the proxy's own namespace.
      const isPlain = credential.kind === "kubernetes" && credential.namespace === identity.namespace;
      const isOwn = isVerified && credential.namespace === identity.namespace;
      if (isPlain || isOwn || (isVerified && isGranted(view, credential, identity.namespace))) result.add(resource);
    }
  }
  return result;
}

function resourcesOf(tls: ServerTls): readonly string[] {
  const names = [...(tls.credentialNames ?? []), tls.credentialName ?? ""].filter((name) => name !== "");
  const authority = tls.caCertCredentialName ?? "";
  return [
    ...names.flatMap((name) => [credentialResourceName(name), credentialResourceName(`${name}${CA_SUFFIX}`)]),
    ...(authority === "" ? [] : [credentialResourceName(`${authority}${CA_SUFFIX}`)]),
  ];
}

/** Names in the DestinationRules that count for the proxy; a sidecar's only with a selector that says so. */
function ruleCredentials(view: View): ReadonlySet<string> {
  const { proxy, mesh, labels } = view;
  const result = new Set<string>();
  for (const object of mesh.objects<DestinationRuleSpec>("DestinationRule")) {
    const spec = specOf<DestinationRuleSpec>(object);
    const selector = spec.workloadSelector?.matchLabels;
    const isOwn = object.metadata.namespace === proxy.namespace;
    const counts = isEmptySelector(selector)
      ? proxy.type !== "sidecar" &&
        isVisibleTo(
          spec.exportTo,
          mesh.meshConfig.defaultDestinationRuleExportTo,
          object.metadata.namespace,
          proxy.namespace,
        )
      : isOwn && selects(selector, labels);
    if (!counts) continue;
    for (const { credentialName = "" } of tlsBlocks(spec)) {
      if (credentialName === "") continue;
      result.add(credentialResourceName(credentialName));
      result.add(credentialResourceName(`${credentialName}${CA_SUFFIX}`));
    }
  }
  return result;
}

function tlsBlocks({ trafficPolicy, subsets }: DestinationRuleSpec): readonly ClientTls[] {
  return [trafficPolicy, ...(subsets ?? []).map((subset) => subset.trafficPolicy)]
    .flatMap((policy) => [policy?.tls, ...(policy?.portLevelSettings ?? []).map(({ tls }) => tls)])
    .filter((tls) => tls !== undefined);
}

const GATEWAY_API = "gateway.networking.k8s.io";

interface GrantSpec {
  readonly from?: readonly { readonly group?: string; readonly kind?: string; readonly namespace?: string }[];
  readonly to?: readonly { readonly group?: string; readonly kind?: string; readonly name?: string }[];
}

/** gateway.networking.k8s.io ReferenceGrant: the owner of the Secret lets Gateways of a namespace use it. */
function isGranted(view: View, credential: CredentialName, namespace: string): boolean {
  const kind = credential.kind === "configmap" ? "ConfigMap" : "Secret";
  return view.mesh
    .objects<GrantSpec>(`${GATEWAY_API}/ReferenceGrant`)
    .filter((grant: MeshObject) => grant.metadata.namespace === credential.namespace)
    .map((grant) => specOf<GrantSpec>(grant))
    .some(
      ({ from = [], to = [] }) =>
        from.some((item) => item.group === GATEWAY_API && item.kind === "Gateway" && item.namespace === namespace) &&
        to.some(
          (item) =>
            (item.group ?? "") === "" &&
            item.kind === kind &&
            (item.name === undefined ||
              item.name === credential.name ||
              item.name === withoutCaSuffix(credential.name)),
        ),
    );
}
