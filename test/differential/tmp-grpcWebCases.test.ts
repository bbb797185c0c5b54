import { grpcWebCases } from "./cases/filters.ts";
import { describeBesideEnvoy } from "./harness/run.ts";
describeBesideEnvoy("grpcWebCases", { cases: grpcWebCases });
