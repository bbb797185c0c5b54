/** What a running mesh tells of itself in its mesh file. Pure. */
import type { PlacedAddress, PlacedInbound } from "#control-plane/model/proxy-node.ts";
import type { InstanceAddresses } from "./addresses.ts";
import type { MeshRunnerOptions } from "./local-mesh-runner.ts";
import type { MeshFile, RunningServer, RunningWorkload } from "./mesh-file.ts";
import { selects, targetPortIn, type PlannedInstance, type PlannedService } from "./planned.ts";
import type { Supervised } from "./supervised.ts";

/** One workload instance and its processes. */
export interface Running {
  instance: PlannedInstance;
  addresses: InstanceAddresses;
  readonly sidecar: Supervised | undefined;
  readonly app: Supervised | undefined;
  isReady: boolean;
}

/** Process ids are those of this moment. */
export function meshFileOf(
  options: Pick<MeshRunnerOptions, "cwd" | "paths" | "directory" | "trustDomain">,
  ports: Readonly<Record<"debug" | "monitoring" | "xds", PlacedAddress>>,
  controlPlane: Supervised,
  running: ReadonlyMap<string, Running>,
  services: readonly PlannedService[],
  startedAtMs: number,
): MeshFile {
  const entries = [...running.values()];
  return {
    pid: process.pid,
    cwd: options.cwd,
    startedAtMs,
    paths: options.paths,
    directory: options.directory.root,
    trustDomain: options.trustDomain,
    controlPlane: { ...ports, pid: controlPlane.pid ?? 0 },
    workloads: entries.map((entry) => runningWorkload(entry, options.trustDomain)),
    services: services.map((service) => ({
      name: service.name,
      namespace: service.namespace,
      endpoints: endpointsOf(service, entries),
    })),
  };
}

function runningWorkload({ instance, addresses, sidecar, app }: Running, trustDomain: string): RunningWorkload {
  const { placement } = addresses;
  return {
    name: instance.workload,
    namespace: instance.namespace,
    pod: instance.pod,
    ip: addresses.ip,
    serviceAccount: instance.serviceAccount,
    inbound: placement.inbound,
    sidecar: instance.hasSidecar
      ? {
          spiffeId: `spiffe://${trustDomain}/ns/${instance.namespace}/sa/${instance.serviceAccount}`,
          admin: addresses.admin,
          httpProxy: placement.httpProxy,
          callLog: placement.callLog ?? "",
          pid: sidecar?.pid,
        }
      : undefined,
    ...(instance.isGateway && { servers: serversIn(instance, placement.inbound) }),
    app: app === undefined ? undefined : { pid: app.pid, command: instance.local?.command?.join(" ") ?? "echo server" },
  };
}

function serversIn({ servers = [] }: PlannedInstance, inbound: readonly PlacedInbound[]): readonly RunningServer[] {
  return servers.flatMap((server) => {
    const bind = inbound.find(({ port }) => port === server.listenPort)?.bind;
    return bind === undefined ? [] : [{ ...server, bind }];
  });
}

function endpointsOf(service: PlannedService, entries: readonly Running[]): MeshFile["services"][number]["endpoints"] {
  return entries.flatMap(({ instance, addresses }) => {
    if (instance.namespace !== service.namespace || !selects(service.selector, instance.labels)) return [];
    return service.ports.flatMap((port) => {
      const inbound = addresses.placement.inbound.find(
        (entry) => entry.port === targetPortIn(instance, port.targetPort),
      );
      if (inbound === undefined) return [];
      const serving = instance.hasSidecar ? inbound.bind : inbound.app;
      return [{ servicePort: port.number, address: serving.address, port: serving.port }];
    });
  });
}
