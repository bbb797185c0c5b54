/** The router and the connection manager beside a real Envoy: one pair of processes for all cases. */
import { choiceCases } from "./cases/choice.ts";
import { clientCertificateCases } from "./cases/client-certificates.ts";
import { headerCases } from "./cases/headers.ts";
import { reportedCases } from "./cases/reported.ts";
import { retryCases } from "./cases/retries.ts";
import { rewriteCases } from "./cases/rewrites.ts";
import { routeMatchCases } from "./cases/route-match.ts";
import { routerFilterCases } from "./cases/router-filter.ts";
import { routeTreeCases } from "./cases/route-trees.ts";
import { tracingCases } from "./cases/tracing.ts";
import { virtualHostCases } from "./cases/virtual-hosts.ts";
import { describeBesideEnvoy } from "./harness/run.ts";

describeBesideEnvoy("router and connection manager, beside a real Envoy", {
  cases: [
    ...virtualHostCases,
    ...routeMatchCases,
    ...routeTreeCases,
    ...choiceCases,
    ...rewriteCases,
    ...retryCases,
    ...headerCases,
    ...clientCertificateCases,
    ...routerFilterCases,
    ...reportedCases,
    ...tracingCases,
  ],
});
