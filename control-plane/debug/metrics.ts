/** The control plane's own metrics, by istiod's names (§4.9). One registry a control plane. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Clock } from "#lib/runtime.ts";
import type { CaMetrics } from "../ca/ca-metrics.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { XdsMetrics } from "../xds/xds-metrics.ts";

export interface ControlPlaneMetrics {
  readonly registry: Registry;
  readonly xds: XdsMetrics;
  readonly ca: CaMetrics;
  /** A configuration was read. */
  configRead(mesh: MeshIndex): void;
}

const pushBuckets = [0.01, 0.1, 1, 3, 5, 10, 20, 30];
const convergenceBuckets = [0.1, 0.5, 1, 3, 5, 10, 20, 30];
const sizeBuckets = [1e4, 1e6, 4e6, 1e7, 4e7];

export function createMetrics(clock: Pick<Clock, "monotonic">, version: string): ControlPlaneMetrics {
  const registry = new Registry();
  const registers = [registry];
  const startedMs = clock.monotonic();
  const counter = <Label extends string = string>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ): Counter<Label> => new Counter({ name, help, labelNames: [...labelNames], registers });
  const gauge = (name: string, help: string, labelNames: readonly string[] = []): Gauge =>
    new Gauge({ name, help, labelNames: [...labelNames], registers });
  const histogram = (
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly string[] = [],
  ): Histogram => new Histogram({ name, help, buckets: [...buckets], labelNames: [...labelNames], registers });

  gauge("pilot_info", "Version of the control plane.", ["version"]).set({ version }, 1);
  registry.registerMetric(
    new Gauge({
      name: "istiod_uptime_seconds",
      help: "Seconds since the control plane started.",
      registers: [],
      collect() {
        this.set((clock.monotonic() - startedMs) / 1000);
      },
    }),
  );

  const inbound = counter("pilot_inbound_updates", "Changes of configuration read.", ["type"]);
  const rejectedConfigs = gauge("pilot_total_rejected_configs", "Objects that are refused at the moment.");
  const services = gauge("pilot_services", "Services known.");
  const virtualServices = gauge("pilot_virt_services", "VirtualServices known.");
  const validationPassed = gauge("galley_validation_passed", "Objects in force.");
  const validationFailed = gauge("galley_validation_failed", "Objects refused.");
  const noIp = gauge("pilot_no_ip", "Pods without an address.");

  return {
    registry,
    xds: xdsMetrics(counter, gauge, histogram, version),
    ca: {
      csrCount: counter("citadel_server_csr_count", "Certificate requests."),
      successCertIssuanceCount: counter("citadel_server_success_cert_issuance_count", "Certificates issued."),
      authenticationFailureCount: counter(
        "citadel_server_authentication_failure_count",
        "Callers that were not authenticated.",
      ),
      csrParsingErrCount: counter("citadel_server_csr_parsing_err_count", "Requests whose CSR could not be read."),
      csrSignErrCount: counter<"error">("citadel_server_csr_sign_err_count", "Requests that could not be signed.", [
        "error",
      ]),
      rootCertExpiryTimestamp: gauge(
        "citadel_server_root_cert_expiry_timestamp",
        "When the root ends, seconds since the epoch.",
      ),
      certChainExpiryTimestamp: gauge(
        "citadel_server_cert_chain_expiry_timestamp",
        "When the signing chain ends, seconds since the epoch.",
      ),
    },
    configRead(mesh) {
      inbound.inc({ type: "config" });
      const refused = new Set(mesh.problems.filter(({ level }) => level === "error").map(({ object }) => object));
      rejectedConfigs.set(refused.size);
      validationFailed.set(refused.size);
      validationPassed.set(
        mesh.services.length + mesh.objects("VirtualService").length + mesh.objects("DestinationRule").length,
      );
      services.set(mesh.services.length);
      virtualServices.set(mesh.objects("VirtualService").length);
      noIp.set(mesh.workloads.filter(({ addresses }) => addresses.length === 0).length);
    },
  };
}

function xdsMetrics(
  counter: (name: string, help: string, labels?: readonly string[]) => Counter,
  gauge: (name: string, help: string, labels?: readonly string[]) => Gauge,
  histogram: (name: string, help: string, buckets: readonly number[], labels?: readonly string[]) => Histogram,
  version: string,
): XdsMetrics {
  const connected = gauge("pilot_xds", "Proxies connected.", ["version"]);
  connected.set({ version }, 0);
  const pushes = counter("pilot_xds_pushes", "Responses sent, and errors while sending, by type.", ["type"]);
  const sizes = histogram("pilot_xds_config_size_bytes", "Sizes of responses.", sizeBuckets, ["type"]);
  const rejects = counter("pilot_total_xds_rejects", "Responses that proxies refused.", ["type"]);
  const rejectsOf = new Map(
    ["cds", "eds", "lds", "rds"].map((type) => [
      type,
      counter(`pilot_xds_${type}_reject`, `Refused ${type.toUpperCase()} responses.`),
    ]),
  );
  const expired = counter("pilot_xds_expired_nonce", "Requests with a nonce that is not the newest.", ["type"]);
  const internal = counter("pilot_total_xds_internal_errors", "Resources that could not be made.");
  const convergence = histogram(
    "pilot_proxy_convergence_time",
    "Seconds from a change to its push.",
    convergenceBuckets,
  );
  const pushTime = histogram("pilot_xds_push_time", "Seconds to make and send what a proxy gets.", pushBuckets, [
    "type",
  ]);
  const debounce = histogram("pilot_debounce_time", "Seconds that changes were gathered.", pushBuckets);
  const queue = histogram("pilot_proxy_queue_time", "Seconds that a proxy waited for its turn.", convergenceBuckets);
  const triggers = counter("pilot_push_triggers", "What made a push necessary.", ["type"]);
  return {
    connected: (change) => connected.inc({ version }, change),
    pushed(type, bytes) {
      pushes.inc({ type });
      sizes.observe({ type }, bytes);
    },
    rejected(type) {
      rejects.inc({ type });
      rejectsOf.get(type)?.inc();
    },
    expiredNonce: (type) => expired.inc({ type }),
    internalError: () => internal.inc(),
    converged: (seconds) => convergence.observe(seconds),
    pushTime: (seconds) => pushTime.observe({ type: "all" }, seconds),
    debounced: (seconds) => debounce.observe(seconds),
    queued: (seconds) => queue.observe(seconds),
    triggered: (type) => triggers.inc({ type }),
  };
}
