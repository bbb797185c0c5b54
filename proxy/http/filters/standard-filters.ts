/** Every HTTP filter that this proxy has. To add one: write its file, add it here. */
import { istioStatsHttp } from "../../observability/istio-stats/http-filter.ts";
import { cors } from "./cors.ts";
import { fault } from "./fault.ts";
import { grpcStats } from "./grpc-stats.ts";
import { istioAlpn } from "./istio-alpn.ts";
import { istioPeerMetadata } from "./istio-peer-metadata.ts";
import { rbac } from "./rbac.ts";
import { createHttpFilterRegistry, type HttpFilterRegistry } from "./registry.ts";
import { router } from "./router/router.ts";

export function standardHttpFilters(): HttpFilterRegistry {
  return createHttpFilterRegistry([istioPeerMetadata, rbac, istioAlpn, grpcStats, fault, cors, istioStatsHttp, router]);
}
