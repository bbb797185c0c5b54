/** From the port that a Gateway names to the one that its workload listens on (rule 104). */
import type { ServiceModel } from "../model/service.ts";
import { serviceTargets, type ServiceTarget } from "./inbound-ports.ts";
import type { View } from "./view.ts";

const NO_TRANSLATION = "experimental.istio.io/disable-gateway-port-translation";

/** Whose Services say what a port means: all of the workload, or those that the Gateway is bound to by name. */
export interface PortTargets {
  readonly targets: readonly ServiceTarget[];
  /** A port that no Service has is taken as it is; else it is not served at all. */
  readonly takesUnknownPorts: boolean;
}

export function targetsOfWorkload(view: View): PortTargets {
  return { targets: serviceTargets(view), takesUnknownPorts: true };
}

/** A Gateway that names Services is for the workloads behind them, in its own namespace; undefined: not this one. */
export function targetsOfServices(view: View, hosts: readonly string[], namespace: string): PortTargets | undefined {
  const targets = serviceTargets(view).filter(
    ({ service }) => hosts.includes(service.host) && service.namespace === namespace,
  );
  return targets.length === 0 ? undefined : { targets, takesUnknownPorts: false };
}

/** Of a Gateway that selects by labels the first Service counts. */
export function resolvePorts(number: number, { targets, takesUnknownPorts }: PortTargets): readonly number[] {
  const found = targets.filter(
    ({ service, port }) => port.number === number && !(takesUnknownPorts && isUntranslated(service)),
  );
  const ports = [...new Set(found.map(({ targetPort }) => targetPort))];
  if (!takesUnknownPorts) return ports;
  const [first] = ports;
  return [first ?? number];
}

function isUntranslated({ labels }: ServiceModel): boolean {
  return labels[NO_TRANSLATION] !== undefined;
}
