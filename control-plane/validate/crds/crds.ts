/** The CRDs of Istio 1.32 (istio.io/api 1.31.1) and of the Gateway API, by kind. */
import authorizationPolicy from "./AuthorizationPolicy.json" with { type: "json" };
import destinationRule from "./DestinationRule.json" with { type: "json" };
import envoyFilter from "./EnvoyFilter.json" with { type: "json" };
import gateway from "./Gateway.json" with { type: "json" };
import peerAuthentication from "./PeerAuthentication.json" with { type: "json" };
import proxyConfig from "./ProxyConfig.json" with { type: "json" };
import requestAuthentication from "./RequestAuthentication.json" with { type: "json" };
import serviceEntry from "./ServiceEntry.json" with { type: "json" };
import sidecar from "./Sidecar.json" with { type: "json" };
import telemetry from "./Telemetry.json" with { type: "json" };
import trafficExtension from "./TrafficExtension.json" with { type: "json" };
import virtualService from "./VirtualService.json" with { type: "json" };
import wasmPlugin from "./WasmPlugin.json" with { type: "json" };
import workloadEntry from "./WorkloadEntry.json" with { type: "json" };
import workloadGroup from "./WorkloadGroup.json" with { type: "json" };
import type { Crd } from "./crd-schema.ts";
import { gatewayApiCrds } from "./gateway-api-crds.ts";

// A JSON module has `string` where the notation has a few words; a test reads every file to its leaves.
const all = [
  authorizationPolicy,
  destinationRule,
  envoyFilter,
  gateway,
  peerAuthentication,
  proxyConfig,
  requestAuthentication,
  serviceEntry,
  sidecar,
  telemetry,
  trafficExtension,
  virtualService,
  wasmPlugin,
  workloadEntry,
  workloadGroup,
] as unknown as readonly Crd[];

const byKind: ReadonlyMap<string, readonly Crd[]> = Map.groupBy(
  [...all, ...gatewayApiCrds],
  ({ group, kind }) => `${group}/${kind}`,
);

/** Istio's. */
export const crds: readonly Crd[] = all;

/** The CRD of a kind; where versions have schemas of their own, the one of `version`. */
export function crdOf(kind: string, group: string, version?: string): Crd | undefined {
  const own = byKind.get(`${group}/${kind}`) ?? [];
  return own.find(({ versions }) => version !== undefined && versions.includes(version)) ?? own[0];
}
