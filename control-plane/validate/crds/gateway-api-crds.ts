/** The CRDs of the Gateway API (1.6.0, experimental channel): what an API server serves that has every field. */
import backendTlsPolicy from "./gateway-api/BackendTLSPolicy.json" with { type: "json" };
import gateway from "./gateway-api/Gateway.json" with { type: "json" };
import gatewayClass from "./gateway-api/GatewayClass.json" with { type: "json" };
import grpcRoute from "./gateway-api/GRPCRoute.json" with { type: "json" };
import httpRoute from "./gateway-api/HTTPRoute.json" with { type: "json" };
import referenceGrant from "./gateway-api/ReferenceGrant.json" with { type: "json" };
import tcpRoute from "./gateway-api/TCPRoute.json" with { type: "json" };
import tcpRouteV1alpha2 from "./gateway-api/TCPRoute.v1alpha2.json" with { type: "json" };
import tlsRoute from "./gateway-api/TLSRoute.json" with { type: "json" };
import tlsRouteV1alpha2 from "./gateway-api/TLSRoute.v1alpha2.json" with { type: "json" };
import type { Crd } from "./crd-schema.ts";

// A JSON module has `string` where the notation has a few words; a test reads every file to its leaves.
export const gatewayApiCrds = [
  backendTlsPolicy,
  gateway,
  gatewayClass,
  grpcRoute,
  httpRoute,
  referenceGrant,
  tcpRoute,
  tcpRouteV1alpha2,
  tlsRoute,
  tlsRouteV1alpha2,
] as unknown as readonly Crd[];
