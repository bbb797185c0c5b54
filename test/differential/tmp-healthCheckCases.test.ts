import { healthCheckCases } from "./cases/filters.ts";
import { describeBesideEnvoy } from "./harness/run.ts";
describeBesideEnvoy("healthCheckCases", { cases: healthCheckCases });
