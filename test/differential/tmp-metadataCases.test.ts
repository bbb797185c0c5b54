import { metadataCases } from "./cases/filters.ts";
import { describeBesideEnvoy } from "./harness/run.ts";
describeBesideEnvoy("metadataCases", { cases: metadataCases });
