/** The network filters of this folder. The HTTP connection manager and `istio.stats` come from their own. */
import { directResponse, echo } from "./echo.ts";
import { connectionLimit } from "./connection-limit.ts";
import { networkExtAuthz } from "./ext-authz.ts";
import type { NetworkFilterFactory } from "./filter.ts";
import { networkLocalRateLimit } from "./local-ratelimit.ts";
import { sniCluster } from "./sni-cluster.ts";
import { metadataExchange } from "./metadata-exchange.ts";
import { networkRbac } from "./rbac.ts";
import { networkSetFilterState } from "./set-filter-state.ts";
import { tcpProxy } from "./tcp-proxy.ts";

export const builtInNetworkFilters: readonly NetworkFilterFactory[] = [
  tcpProxy,
  metadataExchange,
  networkRbac,
  networkExtAuthz,
  networkSetFilterState,
  sniCluster,
  networkLocalRateLimit,
  connectionLimit,
  echo,
  directResponse,
] as readonly NetworkFilterFactory[];
