import { bufferCases } from "./cases/filters.ts";
import { describeBesideEnvoy } from "./harness/run.ts";
describeBesideEnvoy("bufferCases", { cases: bufferCases });
