import { headerMutationCases } from "./cases/filters.ts";
import { describeBesideEnvoy } from "./harness/run.ts";
describeBesideEnvoy("headerMutationCases", { cases: headerMutationCases });
