import { localRateLimitCases } from "./cases/filters.ts";
import { describeBesideEnvoy } from "./harness/run.ts";
describeBesideEnvoy("localRateLimitCases", { cases: localRateLimitCases });
