/** Pages about the mesh: configz, registryz, endpointz, mesh, push_status, findings. */
import { formatProblem, type Problem } from "#lib/problem.ts";
import { istioKinds } from "../validate/kinds.ts";
import { jsonAnswer, type DebugAnswer, type DebugView } from "./debug-view.ts";

/** Every Istio object in force, with the place it was written at. */
export function configz(view: DebugView, kind: string | null): DebugAnswer {
  const mesh = view.mesh();
  const kinds = Object.keys(istioKinds).filter((name) => kind === null || name.toLowerCase() === kind.toLowerCase());
  const objects = kinds.flatMap((name) => mesh.objects(name));
  return jsonAnswer(
    objects.map(({ apiVersion, kind: is, metadata, spec, source }) => {
      const { file, line } = source.location;
      return { apiVersion, kind: is, metadata, spec, source: `${file}:${line}` };
    }),
  );
}

export function registryz(view: DebugView): DebugAnswer {
  return jsonAnswer(
    view.mesh().services.map((service) => ({
      hostname: service.host,
      namespace: service.namespace,
      registry: service.origin,
      addresses: service.addresses,
      ports: service.ports,
      resolution: service.resolution,
      external: service.isExternal,
      exportTo: service.exportTo,
      selector: service.selector ?? null,
      instances: view.mesh().instancesOf(service).length,
    })),
  );
}

export function endpointz(view: DebugView): DebugAnswer {
  const mesh = view.mesh();
  return jsonAnswer(
    mesh.services.map((service) => ({
      service: `${service.host}`,
      endpoints: mesh.instancesOf(service).map((instance) => ({
        address: instance.address,
        port: instance.port,
        portName: instance.portName,
        servicePort: instance.servicePort,
        workload: `${instance.workload.name}.${instance.workload.namespace}`,
        workloadName: instance.workload.workloadName,
        serviceAccount: instance.workload.serviceAccount,
        labels: instance.workload.labels,
        locality: instance.workload.locality,
        mutualTls: instance.workload.hasSidecar,
        ready: instance.ready,
        terminating: instance.terminating,
        weight: instance.weight,
      })),
    })),
  );
}

export function meshPage(view: DebugView): DebugAnswer {
  return jsonAnswer(view.mesh().meshConfig.raw);
}

export function pushStatus(view: DebugView): DebugAnswer {
  const mesh = view.mesh();
  const behind = view.connections().filter(({ resources }) => resources.mesh.version !== mesh.version);
  return jsonAnswer({
    version: mesh.version,
    proxies: view.connections().length,
    waitingForPush: behind.map(({ proxyName }) => proxyName),
    services: mesh.services.length,
    workloads: mesh.workloads.length,
    problems: counts(view.problems()),
  });
}

function counts(problems: readonly Problem[]): Readonly<Record<string, number>> {
  const byCode: Record<string, number> = {};
  for (const { code } of problems) byCode[code] = (byCode[code] ?? 0) + 1;
  return byCode;
}

export function findings(view: DebugView): DebugAnswer {
  return jsonAnswer(view.problems().map(problemJson));
}

/** A problem with its line of text, as the console shows it. */
export function problemJson(problem: Problem): unknown {
  const { code, level, object, path, message, source } = problem;
  return { level, code, text: formatProblem(problem), object, path, message, ...source };
}
