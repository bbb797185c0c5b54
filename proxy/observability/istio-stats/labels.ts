/** The labels of Istio's metrics, in Istio's order. */
import type { PeerMetadata } from "../peer.ts";
import type { Labels } from "../stats-store.ts";

export type Reporter = "source" | "destination" | "waypoint";

/** What the labels that do not change from request to request are made of. */
export interface Parties {
  readonly reporter: Reporter;
  readonly source: PeerMetadata | undefined;
  readonly destination: PeerMetadata | undefined;
  readonly sourcePrincipal: string;
  readonly destinationPrincipal: string;
  readonly service: Service;
  readonly connectionSecurityPolicy: "mutual_tls" | "none" | "unknown";
}

/** Empty: unknown. */
export interface Service {
  readonly host: string;
  readonly name: string;
  readonly namespace: string;
}

/** What differs between requests of the same parties. */
export interface Outcome {
  readonly protocol: "http" | "grpc" | "tcp";
  /** Absent on TCP. */
  readonly responseCode?: string;
  readonly grpcStatus?: string;
  readonly responseFlags: string;
}

const UNKNOWN = "unknown";
const CANONICAL_NAME = "service.istio.io/canonical-name";
const CANONICAL_REVISION = "service.istio.io/canonical-revision";

/** All standard labels. */
export function standardLabels(parties: Parties, outcome: Outcome): Labels {
  const { source, destination, service } = parties;
  const labels: [string, string][] = [
    ["reporter", parties.reporter],
    ["source_workload", known(source?.workloadName)],
    ["source_canonical_service", known(source?.labels[CANONICAL_NAME])],
    ["source_canonical_revision", source?.labels[CANONICAL_REVISION] || "latest"],
    ["source_workload_namespace", known(source?.namespace)],
    ["source_principal", known(parties.sourcePrincipal)],
    ["source_app", known(source?.labels["app"])],
    ["source_version", known(source?.labels["version"])],
    ["source_cluster", known(source?.clusterId)],
    ["destination_workload", known(destination?.workloadName)],
    ["destination_workload_namespace", known(destination?.namespace)],
    ["destination_principal", known(parties.destinationPrincipal)],
    ["destination_app", known(destination?.labels["app"])],
    ["destination_version", known(destination?.labels["version"])],
    ["destination_service", known(service.host)],
    ["destination_canonical_service", known(destination?.labels[CANONICAL_NAME])],
    ["destination_canonical_revision", destination?.labels[CANONICAL_REVISION] || "latest"],
    ["destination_service_name", known(service.name)],
    ["destination_service_namespace", known(service.namespace)],
    ["destination_cluster", known(destination?.clusterId)],
    ["request_protocol", outcome.protocol],
  ];
  if (outcome.responseCode !== undefined)
    labels.push(["response_code", outcome.responseCode], ["grpc_response_status", outcome.grpcStatus ?? ""]);
  labels.push(
    ["response_flags", outcome.responseFlags],
    ["connection_security_policy", parties.connectionSecurityPolicy],
  );
  return labels;
}

/** Standard labels without those that are removed, with those that are set: in place, or at the end. */
export function overriddenLabels(
  standard: Labels,
  removed: ReadonlySet<string>,
  set: ReadonlyMap<string, string>,
): Labels {
  const labels = standard
    .filter(([name]) => !removed.has(name))
    .map(([name, value]) => [name, set.get(name) ?? value] as const);
  const added = [...set].filter(([name]) => !removed.has(name) && !standard.some(([known]) => known === name));
  return [...labels, ...added];
}

function known(text: string | undefined): string {
  return text === undefined || text === "" ? UNKNOWN : text;
}
