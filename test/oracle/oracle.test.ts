/** Cases in which our translation is what a real istiod sent. They must stay the same; the list only grows. */
import { describe, expect, test } from "vitest";
import { sharedFolder } from "../needs.ts";
import { runCase } from "./compare.ts";
import { loadCase } from "./load-case.ts";

const oracle = sharedFolder("oracle");
if (oracle.missing !== undefined) process.stderr.write(`oracle tests are skipped: ${oracle.missing}\n`);

const SAME = [
  "authz-actions",
  "authz-conditions",
  "authz-dry-run",
  "authz-sources",
  "bookinfo",
  "dns-capture",
  "dr-connection-pool",
  "dr-consistent-hash",
  "dr-lb-simple",
  "dr-locality-default",
  "dr-locality-distribute",
  "dr-locality-no-outlier",
  "dr-lookup-order",
  "dr-outlier",
  "dr-subset-inheritance",
  "dr-tls-modes",
  "gw-http",
  "gw-passthrough",
  "gw-tls-modes",
  "mesh-defaults",
  "mesh-inbound-localhost",
  "mesh-path-normalization",
  "mesh-registry-only",
  "mtls-auto-mixed",
  "mtls-client-side",
  "mtls-inbound-modes",
  "proxyconfig",
  "refused-objects",
  "se-resolutions",
  "se-tcp",
  "se-workload-entries",
  "seed-api-server-authorization",
  "seed-api-server-canary",
  "seed-authorization-products",
  "seed-canary-breaker-retries",
  "seed-deny-all-then-allow",
  "seed-fault-injection",
  "seed-ingress-egress-gateways",
  "seed-istio-operator-production",
  "seed-kiali-config",
  "seed-mtls-gradual-rollout",
  "seed-payment-canary-header",
  "seed-payment-subsets-and-pools",
  "seed-product-canary-and-gateway",
  "seed-reviews-circuit-breaker",
  "seed-strict-production",
  "seed-subset-defined",
  "seed-telemetry-custom-metrics",
  "seed-telemetry-sampling",
  "seed-tracing-zipkin",
  "seed-wrong-no-circuit-breaker",
  "seed-wrong-subset-not-defined",
  "sidecar-capture-none",
  "sidecar-egress",
  "sidecar-ingress",
  "svc-headless",
  "svc-protocols",
  "svc-shared-target-port",
  "svc-traffic-distribution",
  "telemetry-access-log",
  "telemetry-metrics",
  "telemetry-tracing-zipkin",
  "vs-cors",
  "vs-delegate",
  "vs-destination-port",
  "vs-fault",
  "vs-headers",
  "vs-match-headers",
  "vs-match-query-method-scheme-authority",
  "vs-match-source",
  "vs-match-uri",
  "vs-rewrite",
  "vs-same-host-twice",
  "vs-short-names",
  "vs-tcp",
  "vs-timeout-retries",
  "vs-weights",
  "vs-wildcard-hosts",
];

describe.skipIf(oracle.missing !== undefined)("the same as istiod", () => {
  test.each(SAME)("%s", async (name) => {
    const { differences, total } = runCase(await loadCase(oracle.path, name));
    expect(total).toBeGreaterThan(0);
    expect(differences).toEqual([]);
  });
});
