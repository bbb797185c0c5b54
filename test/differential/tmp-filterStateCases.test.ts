import { filterStateCases } from "./cases/filters.ts";
import { describeBesideEnvoy } from "./harness/run.ts";
describeBesideEnvoy("filterStateCases", { cases: filterStateCases });
