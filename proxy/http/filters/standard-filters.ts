/** Every HTTP filter that this proxy has. To add one: write its file, add it here. */
import { istioStatsHttp } from "../../observability/istio-stats/http-filter.ts";
import { cors } from "./cors.ts";
import { fault } from "./fault.ts";
import { grpcStats } from "./grpc-stats.ts";
import { rateLimit } from "./ratelimit/ratelimit.ts";
import { localRateLimit } from "./local-ratelimit/local-ratelimit.ts";
import { istioAlpn } from "./istio-alpn.ts";
import { istioPeerMetadata } from "./istio-peer-metadata.ts";
import { rbac } from "./rbac.ts";
import { dynamicForwardProxy } from "./dynamic-forward-proxy.ts";
import { buffer } from "./buffer.ts";
import { grpcWeb } from "./grpc-web.ts";
import { headerMutation } from "./header-mutation.ts";
import { healthCheck } from "./health-check.ts";
import { onDemand } from "./on-demand.ts";
import { setFilterState } from "./set-filter-state.ts";
import { compressor } from "./compressor/compressor.ts";
import { statefulSession } from "./stateful-session.ts";
import { setMetadata } from "./set-metadata.ts";
import { createHttpFilterRegistry, type HttpFilterRegistry } from "./registry.ts";
import { extAuthz } from "./ext-authz/ext-authz.ts";
import { jwtAuthn } from "./jwt-authn/jwt-authn.ts";
import { router } from "./router/router.ts";

export function standardHttpFilters(): HttpFilterRegistry {
  return createHttpFilterRegistry([
    istioPeerMetadata,
    extAuthz,
    jwtAuthn,
    rbac,
    istioAlpn,
    grpcStats,
    fault,
    cors,
    localRateLimit,
    rateLimit,
    buffer,
    dynamicForwardProxy,
    grpcWeb,
    headerMutation,
    healthCheck,
    onDemand,
    setFilterState,
    setMetadata,
    statefulSession,
    compressor,
    istioStatsHttp,
    router,
  ]);
}
