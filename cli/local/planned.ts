/** What a plan of processes is made of. */
import type { LocalWorkload } from "./local-mesh.ts";

/** One workload instance: a pod, were this a cluster. */
export interface PlannedInstance {
  /** Name of the Deployment, StatefulSet or Pod. */
  readonly workload: string;
  readonly ownerKind: "Deployment" | "StatefulSet" | "Pod";
  readonly pod: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly hasSidecar: boolean;
  /** The proxy is all there is: it takes in what comes from outside, or leads out. */
  readonly isGateway: boolean;
  /** Of a gateway: what it serves, as far as the manifests tell. */
  readonly servers?: readonly PlannedServer[] | undefined;
  readonly ports: readonly PlannedPort[];
  /** Literal environment of its containers. */
  readonly env: Readonly<Record<string, string>>;
  readonly local: LocalWorkload | undefined;
}

export interface PlannedPort {
  readonly name: string;
  readonly number: number;
}

/** A port of a Service, as a sidecar's outbound side needs it. */
export interface PlannedService {
  readonly name: string;
  readonly namespace: string;
  readonly host: string;
  readonly ports: readonly {
    readonly name: string;
    readonly number: number;
    readonly targetPort: number | string;
    readonly protocol: string;
    readonly appProtocol: string | undefined;
  }[];
  readonly selector: Readonly<Record<string, string>> | undefined;
  /** No manifest has it: a cluster would, from Istio's installation. */
  readonly isGenerated?: boolean | undefined;
}

export interface Plan {
  readonly instances: readonly PlannedInstance[];
  readonly services: readonly PlannedService[];
}

/** One server of a Gateway, as it is reached from outside. */
export interface PlannedServer {
  /** `namespace/name` of the Gateway. */
  readonly gateway: string;
  /** As the Gateway says, and as clients of the Service call it. */
  readonly port: number;
  /** What the workload listens on. */
  readonly listenPort: number;
  readonly protocol: string;
  /** Absent: no TLS. */
  readonly tlsMode?: string | undefined;
  readonly redirectsToHttps: boolean;
  readonly hosts: readonly string[];
}

/** An empty selector selects nothing (its endpoints are written by hand). */
export function selects(
  selector: Readonly<Record<string, string>> | undefined,
  labels: Readonly<Record<string, string>>,
): boolean {
  const wanted = Object.entries(selector ?? {});
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
}

/** The number of a service port's target in one instance; undefined when no container names it. */
export function targetPortIn(instance: PlannedInstance, targetPort: number | string): number | undefined {
  if (typeof targetPort === "number") return targetPort;
  return instance.ports.find((port) => port.name === targetPort)?.number;
}
