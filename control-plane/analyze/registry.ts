/** Every analyzer, in the order of Istio's list. */
import type { Analyzer } from "./analyzer.ts";
import { annotations } from "./analyzers/annotations.ts";
import { deprecations } from "./analyzers/deprecation.ts";
import { caCertificates, subsetPods } from "./analyzers/destination-rule.ts";
import { envoyPatches } from "./analyzers/envoy-filter.ts";
import { certificates, conflictingGateways, ingressPorts, secrets } from "./analyzers/gateway.ts";
import { autoImages, injectedImages, injection } from "./analyzers/injection.ts";
import { externalControlPlane, gatewayApiVersions, meshNetworks, webhooks } from "./analyzers/installation.ts";
import { applicationUid, conditions, portNames, serviceAssociation } from "./analyzers/kubernetes.ts";
import { authorizationPolicies, blockedCidrs, gatewaySelectors } from "./analyzers/policies.ts";
import { schemaValidations } from "./analyzers/schema.ts";
import { conflictingProtocols, protocolAddresses } from "./analyzers/service-entry.ts";
import { sidecarSelectors } from "./analyzers/sidecar.ts";
import { lightstep, telemetryDefaults, telemetryProviders, telemetrySelectors } from "./analyzers/telemetry.ts";
import {
  conflictingMeshGatewayHosts,
  destinationHosts,
  destinationRules,
  gateways,
  jwtClaimRoutes,
} from "./analyzers/virtual-service.ts";

export const analyzers: readonly Analyzer[] = [
  annotations,
  blockedCidrs,
  authorizationPolicies,
  conditions,
  serviceAssociation,
  applicationUid,
  caCertificates,
  subsetPods,
  deprecations,
  envoyPatches,
  externalControlPlane,
  ingressPorts,
  certificates,
  secrets,
  conflictingGateways,
  injection,
  injectedImages,
  autoImages,
  gatewaySelectors,
  gatewayApiVersions,
  meshNetworks,
  portNames,
  sidecarSelectors,
  conflictingMeshGatewayHosts,
  destinationHosts,
  destinationRules,
  gateways,
  jwtClaimRoutes,
  protocolAddresses,
  conflictingProtocols,
  webhooks,
  telemetryProviders,
  telemetrySelectors,
  telemetryDefaults,
  lightstep,
  ...schemaValidations,
];
