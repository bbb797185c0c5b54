/** What a cluster would have made of the manifests: Pods with addresses, and EndpointSlices. Pure. */
import type { InstanceAddresses } from "./addresses.ts";
import { selects, targetPortIn, type PlannedInstance, type PlannedService } from "./planned.ts";

export interface PlacedInstance {
  readonly instance: PlannedInstance;
  readonly addresses: InstanceAddresses;
  readonly isReady: boolean;
}

/** Objects as the control plane reads them, in Kubernetes' form. */
export function generatedObjects(
  placed: readonly PlacedInstance[],
  services: readonly PlannedService[],
): readonly unknown[] {
  return [
    ...placed.map(podOf),
    ...services.filter(({ isGenerated }) => isGenerated === true).map(serviceOf),
    ...services.flatMap((service) => placed.flatMap((instance) => sliceOf(service, instance))),
  ];
}

/** The Service of a gateway, as Istio's installation makes it. */
function serviceOf({ name, namespace, selector, ports }: PlannedService): unknown {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: {
      selector,
      ports: ports.map((port) => ({ name: port.name, port: port.number, targetPort: port.targetPort })),
    },
  };
}

function podOf({ instance, addresses, isReady }: PlacedInstance): unknown {
  const placement = { "glassmesh.dev/placement": JSON.stringify(addresses.placement) };
  return generatedPod(instance, addresses.ip, isReady, instance.hasSidecar ? placement : {});
}

/** The Pod that a cluster would have made of an instance, after injection. */
export function generatedPod(
  instance: PlannedInstance,
  ip: string,
  isReady: boolean,
  annotations: Readonly<Record<string, string>>,
): unknown {
  const meshLabels = instance.hasSidecar
    ? {
        // As injected: sidecars speak mutual TLS to sidecars by themselves, to gateways where a rule says so.
        ...(instance.isGateway ? {} : { "security.istio.io/tlsMode": "istio" }),
        "service.istio.io/canonical-name": canonicalName(instance),
        "service.istio.io/canonical-revision":
          instance.labels["version"] ?? instance.labels["app.kubernetes.io/version"] ?? "latest",
      }
    : {};
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: instance.pod,
      namespace: instance.namespace,
      labels: { ...meshLabels, ...instance.labels },
      annotations: { ...instance.annotations, ...annotations },
      ...(instance.ownerKind === "Pod"
        ? {}
        : {
            ownerReferences: [
              {
                apiVersion: "apps/v1",
                kind: instance.ownerKind,
                name: instance.workload,
                uid: instance.workload,
                controller: true,
              },
            ],
          }),
    },
    spec: {
      serviceAccountName: instance.serviceAccount,
      containers: [
        {
          name: "app",
          image: "local",
          ports: instance.ports.map(({ name, number }) => ({
            containerPort: number,
            ...(name === "" ? {} : { name }),
          })),
        },
      ],
    },
    status: {
      phase: "Running",
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: "Ready", status: isReady ? "True" : "False" }],
    },
  };
}

/** One slice per Service and instance: on one machine each instance may have its own port numbers. */
function sliceOf(service: PlannedService, placed: PlacedInstance): readonly unknown[] {
  const { instance, addresses, isReady } = placed;
  if (service.namespace !== instance.namespace || !selects(service.selector, instance.labels)) return [];
  const ports = service.ports.flatMap((port) => {
    const target = targetPortIn(instance, port.targetPort);
    const inbound = addresses.placement.inbound.find((entry) => entry.port === target);
    if (inbound === undefined) return [];
    const serving = instance.hasSidecar ? inbound.bind : inbound.app;
    return [
      {
        name: port.name,
        protocol: "TCP",
        port: serving.port,
        address: serving.address,
        appProtocol: port.appProtocol,
      },
    ];
  });
  const address = ports[0]?.address;
  if (address === undefined) return [];
  return [
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: `${service.name}-${instance.pod}`,
        namespace: service.namespace,
        labels: { "kubernetes.io/service-name": service.name },
      },
      addressType: "IPv4",
      endpoints: [
        {
          addresses: [address],
          conditions: { ready: isReady, serving: isReady, terminating: false },
          targetRef: { kind: "Pod", name: instance.pod, namespace: instance.namespace },
        },
      ],
      ports: ports.map(({ name, protocol, port, appProtocol }) => ({
        name,
        protocol,
        port,
        ...(appProtocol === undefined ? {} : { appProtocol }),
      })),
    },
  ];
}

/** Istio's canonical service name of a workload. */
export function canonicalName(instance: PlannedInstance): string {
  return (
    instance.labels["service.istio.io/canonical-name"] ??
    instance.labels["app.kubernetes.io/name"] ??
    instance.labels["app"] ??
    instance.workload
  );
}
