/** Pages about the mesh: configz, registryz, endpointz, mesh, push_status, findings. */
import { formatProblem, type Problem } from "#lib/problem.ts";
import { statusesByName } from "../gateway-api/statuses.ts";
import { objectName } from "../model/object.ts";
import { gatewayApiKinds, istioKinds } from "../validate/kinds.ts";
import { jsonAnswer, textAnswer, type DebugAnswer, type DebugView } from "./debug-view.ts";

/** Every object of Istio's and the Gateway API in force, with the place it was written at; what is made of others names them. */
export function configz(view: DebugView, kind: string | null): DebugAnswer {
  const mesh = view.mesh();
  const isAsked = (name: string): boolean => kind === null || name.toLowerCase() === kind.toLowerCase();
  const objects = [
    ...Object.keys(istioKinds)
      .filter(isAsked)
      .flatMap((name) => mesh.objects(name)),
    ...Object.entries(gatewayApiKinds)
      .filter(([name]) => isAsked(name))
      .flatMap(([name, { group }]) => mesh.objects(`${group}/${name}`)),
  ];
  return jsonAnswer(
    objects.map(({ apiVersion, kind: is, metadata, spec, source, origin }) => {
      const { file, line } = source.location;
      const place = { source: `${file}:${line}` };
      return { apiVersion, kind: is, metadata, spec, ...place, ...(origin && { madeOf: objectName(origin) }) };
    }),
  );
}

/** The status of objects of the Gateway API (`?name=HTTPRoute/default/web` for one). */
export function gatewayApiz(view: DebugView, name: string | null): DebugAnswer {
  const statuses = statusesByName(view.mesh());
  if (name === null) return jsonAnswer(statuses);
  if (Object.hasOwn(statuses, name)) return jsonAnswer(statuses[name]);
  const known = Object.keys(statuses).join(", ");
  return textAnswer(`${name} has no status here; these have: ${known === "" ? "none" : known}\n`, 404);
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
