/** HTTP filters beside a real Envoy: one pair of processes for all cases. */
import { compressorCases } from "./cases/filters-compressor.ts";
import { grpcWebCases } from "./cases/filters-grpc-web.ts";
import { headerMutationCases, metadataCases, filterStateCases } from "./cases/filters-headers.ts";
import { localRateLimitCases } from "./cases/filters-local-ratelimit.ts";
import { rateLimitCases } from "./cases/filters-ratelimit.ts";
import { bufferCases, healthCheckCases, faultCases } from "./cases/filters-requests.ts";
import { sessionCases } from "./cases/filters-sessions.ts";
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
    ...sessionCases,
    ...compressorCases,
    ...rateLimitCases,
  ],
});
