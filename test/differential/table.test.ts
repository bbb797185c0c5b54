/** The router and the connection manager beside a real Envoy: one pair of processes for all cases. */
import { virtualHostCases } from "./cases/virtual-hosts.ts";
import { describeBesideEnvoy } from "./harness/run.ts";

describeBesideEnvoy("router and connection manager, beside a real Envoy", { cases: [...virtualHostCases] });
