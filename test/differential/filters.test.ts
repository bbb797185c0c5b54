/** HTTP filters beside a real Envoy: one pair of processes for all cases. */
import {
  bufferCases,
  compressorCases,
  faultCases,
  filterStateCases,
  grpcWebCases,
  headerMutationCases,
  healthCheckCases,
  localRateLimitCases,
  metadataCases,
  rateLimitCases,
  sessionCases,
} from "./cases/filters.ts";
import { describeBesideEnvoy } from "./harness/run.ts";

describeBesideEnvoy("HTTP filters, beside a real Envoy", {
  cases: [
    ...headerMutationCases,
    ...bufferCases,
    ...healthCheckCases,
    ...metadataCases,
    ...filterStateCases,
    ...localRateLimitCases,
    ...faultCases,
    ...grpcWebCases,
    ...rateLimitCases,
    ...sessionCases,
    ...compressorCases,
  ],
});
