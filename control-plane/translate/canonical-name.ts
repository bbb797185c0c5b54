/** Istio's name of the service that a workload is part of. */
import type { View } from "./view.ts";

export function canonicalName({ labels, workload }: View): string {
  return (
    labels["service.istio.io/canonical-name"] ??
    labels["app.kubernetes.io/name"] ??
    labels["app"] ??
    workload?.workloadName ??
    "unknown"
  );
}
