/** What loaded objects say against each other, as findings: the part of the analysis that a running mesh needs. */
import type { Problem } from "#lib/problem.ts";
import type { MeshObject } from "../model/object.ts";
import type { Analyzer } from "./analyzer.ts";
import { conflictingProtocols } from "./analyzers/service-entry.ts";
import { sidecarSelectors } from "./analyzers/sidecar.ts";
import { telemetryDefaults, telemetrySelectors } from "./analyzers/telemetry.ts";
import { conflictingMeshGatewayHosts, destinationRules, gateways } from "./analyzers/virtual-service.ts";
import { runAnalysis } from "./run-analysis.ts";

/** What neither the checks of one object nor the translation say. Hosts may come later; what is named twice will not mend. */
const analyzers: readonly Analyzer[] = [
  conflictingMeshGatewayHosts,
  destinationRules,
  gateways,
  conflictingProtocols,
  sidecarSelectors,
  telemetrySelectors,
  telemetryDefaults,
];

/** Findings with Istio's codes; they refuse nothing, so that none is worse than a warning. */
export function loadFindings(objects: readonly MeshObject[]): readonly Problem[] {
  // A running mesh has the pods themselves.
  const running = objects.filter(({ group }) => group !== "apps");
  const { messages } = runAnalysis(running, analyzers, {
    namespace: undefined,
    defaultNamespace: "default",
    isComplete: true,
  });
  return messages.map(({ type, about, message, path }) => ({
    code: type.code,
    level: type.level === "Info" ? "info" : "warning",
    path: path ?? "",
    message,
    object: `${about.object.kind} ${about.object.metadata.namespace}/${about.object.metadata.name}`,
    source: path === undefined ? about.object.source.location : about.object.source.locate(path),
  }));
}
