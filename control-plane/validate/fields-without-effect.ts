/**
 * Fields that are taken and of which nothing is made. A test holds this list against what translation does: a field that
 * nobody reads must stand here, and one that has an effect must not.
 */
import { pathOf } from "../config/manifest-place.ts";
import { isRecord } from "../config/object-from-raw.ts";
import type { Findings } from "./findings.ts";

/** A field of an object that has effects otherwise is loaded, and nothing is made of it. */
export const FIELD_WITHOUT_EFFECT = "GM0103";

interface FieldWithoutEffect {
  /** A field or a block: `spec.http[].x`; `[]` is any item. */
  readonly path: string;
  /** `istiod`: it has none there either. `here`: istiod makes something of it. */
  readonly nowhere: "istiod" | "here";
  readonly message: string;
}

const policies = [
  "spec.trafficPolicy",
  "spec.trafficPolicy.portLevelSettings[]",
  "spec.subsets[].trafficPolicy",
  "spec.subsets[].trafficPolicy.portLevelSettings[]",
];
const gap = (path: string, what: string): FieldWithoutEffect => ({
  path,
  nowhere: "here",
  message: `${what} has no effect here yet.`,
});
const idle = (path: string, message: string): FieldWithoutEffect => ({ path, nowhere: "istiod", message });

const INGRESS_TLS =
  "a sidecar does not end TLS for its application here yet: the listener takes what the mTLS mode says";

export const fieldsWithoutEffect: Readonly<Record<string, readonly FieldWithoutEffect[]>> = {
  DestinationRule: policies.flatMap((at) => [
    gap(`${at}.loadBalancer.zoneAwareLbSetting`, "load balancing by zones (zoneAwareLbSetting; use localityLbSetting)"),
    gap(`${at}.connectionPool.http.http2KeepAlive`, "keeping HTTP/2 connections alive by pings"),
    idle(`${at}.outlierDetection.outlierDetectionHttpErrorCodes`, "istiod makes nothing of it; errors are 5xx."),
    ...(at.endsWith("trafficPolicy")
      ? [gap(`${at}.retryBudget.budgetInterval`, "the interval of a retry budget")]
      : []),
  ]),
  EnvoyFilter: [
    idle("spec.configPatches[].patch.filterClass", "istiod makes nothing of it; use INSERT_BEFORE or INSERT_AFTER."),
    idle("spec.configPatches[].match.waypoint", "there are no waypoints here: the patch is never applied."),
    idle("spec.configPatches[].match.listener.portName", "istiod makes nothing of it; use portNumber or name."),
  ],
  Gateway: [
    idle("spec.servers[].port.targetPort", "istiod makes nothing of it; the Service says where its ports lead."),
    gap("spec.servers[].tls.insecureSkipVerify", "taking any client certificate"),
    gap(
      "spec.servers[].tls.tlsCertificates[].caCertificates",
      "an authority of one certificate (use tls.caCertificates)",
    ),
  ],
  Sidecar: [
    gap("spec.ingress[].tls", INGRESS_TLS),
    ...["spec.inboundConnectionPool", "spec.ingress[].connectionPool"].flatMap((at) => [
      gap(`${at}.http.http2KeepAlive`, "keeping HTTP/2 connections to the application alive by pings"),
      gap(`${at}.http.h2UpgradePolicy`, "upgrading connections to the application"),
      gap(`${at}.http.maxConcurrentStreams`, "a limit of streams of connections to the application"),
    ]),
    gap("spec.inboundConnectionPool.http.useClientProtocol", "useClientProtocol for a whole workload"),
  ],
  Telemetry: [gap("spec.tracing[].disableContextPropagation", "leaving trace headers out")],
  TrafficExtension: [idle("spec.wasm.verificationKey", "istiod makes nothing of it; use sha256.")],
  VirtualService: [
    gap("spec.http[].redirect.prefixRewrite", "replacing a prefix in a redirect"),
    idle("spec.tcp[].match[].sourceSubnet", "istiod makes nothing of it; use sourceLabels or sourceNamespace."),
  ],
  WasmPlugin: [idle("spec.verificationKey", "istiod makes nothing of it; use sha256.")],
};

/** Says of each such field of an object that it has no effect. */
export function noteFieldsWithoutEffect(findings: Findings): void {
  const { kind, spec } = findings.object;
  const entries = Object.hasOwn(fieldsWithoutEffect, kind) ? fieldsWithoutEffect[kind] : undefined;
  for (const { path, nowhere, message } of entries ?? []) {
    for (const place of placesOf(spec, path.split(/(?=\[\])|\./).slice(1), "spec")) {
      findings[nowhere === "here" ? "warn" : "note"](place, message, FIELD_WITHOUT_EFFECT);
    }
  }
}

function placesOf(value: unknown, steps: readonly string[], path: string): readonly string[] {
  const [step, ...rest] = steps;
  if (step === undefined) return value === undefined ? [] : [path];
  if (step === "[]") {
    if (!Array.isArray(value)) return [];
    return value.flatMap((item: unknown, index) => placesOf(item, rest, pathOf(path, index)));
  }
  return isRecord(value) && Object.hasOwn(value, step) ? placesOf(value[step], rest, pathOf(path, step)) : [];
}
