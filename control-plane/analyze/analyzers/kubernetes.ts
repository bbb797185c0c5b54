/** Services, Deployments and Pods as the mesh reads them. */
import {
  fieldsOf,
  listOf,
  matchesLabels,
  numberOf,
  stringMapOf,
  stringOf,
  type Fields,
} from "../../model/read-fields.ts";
import { fullName, type AnalyzedKind, type AnalyzedObject } from "../analyzed-object.ts";
import type { AnalysisContext, Analyzer } from "../analyzer.ts";
import { isControlPlane, isInMesh } from "./in-mesh.ts";
import { protocolOfServicePort } from "../../model/protocol.ts";

const managedGateways: ReadonlySet<string> = new Set([
  "istio.io-gateway-controller",
  "istio.io-mesh-controller",
  "istio.io-eastwest-controller",
]);
const MANAGED = "gateway.istio.io/managed";

export const portNames: Analyzer = {
  name: "service.PortNameAnalyzer",
  description: "The names of a Service's ports say their protocols",
  inputs: ["Service"],
  analyze(context) {
    for (const item of context.all("Service")) {
      if (isControlPlane(item) || managedGateways.has(item.labels[MANAGED] ?? "")) continue;
      const isExternal = item.spec["type"] === "ExternalName";
      for (const [index, port] of listOf(item.spec["ports"]).map(fieldsOf).entries()) {
        const path = `spec.ports[${index}].port`;
        if (!hasUnknownProtocol(port) && !(port["name"] === "tcp" && isExternal)) continue;
        if (isExternal) {
          const message =
            "a port of an ExternalName Service that is named tcp, or by no protocol, takes traffic of others; name it for its protocol.";
          context.report("IST0150", item, message, path);
        } else {
          const name = JSON.stringify(stringOf(port["name"]) ?? "");
          const message = `the name ${name} of the port ${String(port["port"])} says no protocol: it is guessed from the first bytes. Call it http-…, grpc-…, tcp-…, or set appProtocol.`;
          context.report("IST0118", item, message, path);
        }
      }
    }
  },
};

function hasUnknownProtocol(port: Fields): boolean {
  const name = stringOf(port["name"]) ?? "";
  const transport = stringOf(port["protocol"]) ?? "TCP";
  const appProtocol = stringOf(port["appProtocol"]);
  return protocolOfServicePort({ number: numberOf(port["port"]) ?? 0, name, transport, appProtocol }) === "auto";
}

interface ServicePort {
  readonly service: string;
  readonly port: number;
  readonly target: string;
  readonly transport: string;
}

export const serviceAssociation: Analyzer = {
  name: "deployment.MultiServiceAnalyzer",
  description: "The Services of a Deployment agree on its ports",
  inputs: ["Service", "Deployment", "Namespace"],
  analyze(context) {
    for (const item of context.all("Deployment")) {
      const template = fieldsOf(item.spec["template"]);
      const metadata = fieldsOf(template["metadata"]);
      const labels = stringMapOf(metadata["labels"]);
      const workload = { labels, annotations: stringMapOf(metadata["annotations"]), namespace: item.namespace };
      if (item.labels[MANAGED] === "istio.io-mesh-controller") continue;
      if (!isInMesh(context, workload, fieldsOf(template["spec"]))) continue;
      const ports = portsOfServices(context, item.namespace, labels);
      reportProtocols(context, item, ports);
      reportTargets(context, item, ports);
    }
  },
};

function portsOfServices(
  context: AnalysisContext,
  namespace: string,
  labels: Readonly<Record<string, string>>,
): readonly ServicePort[] {
  return context.all("Service").flatMap((service) => {
    const selector = stringMapOf(service.spec["selector"]);
    const isIts =
      service.namespace === namespace && Object.keys(selector).length > 0 && matchesLabels(selector, labels);
    if (!isIts) return [];
    return listOf(service.spec["ports"])
      .map(fieldsOf)
      .map((port) => {
        const number = numberOf(port["port"]) ?? 0;
        const written = stringOf(port["targetPort"]) ?? String(numberOf(port["targetPort"]) ?? "");
        const target = written === "" || written === "0" ? String(number) : written;
        return { service: fullName(service), port: number, target, transport: stringOf(port["protocol"]) ?? "TCP" };
      });
  });
}

function reportProtocols(context: AnalysisContext, item: AnalyzedObject, ports: readonly ServicePort[]): void {
  for (const [port, same] of Map.groupBy(ports, (declared) => declared.port)) {
    if (new Set(same.map(({ transport }) => transport)).size < 2) continue;
    const names = same
      .map(({ service }) => service)
      .sort()
      .join(", ");
    const message = `its Services ${names} use the port ${port} with different protocols.`;
    context.report("IST0116", item, message, "metadata.name");
  }
}

function reportTargets(context: AnalysisContext, item: AnalyzedObject, ports: readonly ServicePort[]): void {
  for (const [target, same] of Map.groupBy(ports, (declared) => declared.target)) {
    const numbers = [...new Set(same.map(({ port }) => port))].sort((one, other) => one - other);
    if (numbers.length < 2) continue;
    const names = [...new Set(same.map(({ service }) => service))].sort().join(", ");
    const message = `its Services ${names} lead to the target port ${target} from different ports: ${numbers.join(", ")}.`;
    context.report("IST0137", item, message, "metadata.name");
  }
}

const PROXY_UID = 1337;

export const applicationUid: Analyzer = {
  name: "applicationUID.Analyzer",
  description: "No application runs as the user of the sidecar, whose traffic is not intercepted",
  inputs: ["Pod", "Deployment"],
  analyze(context) {
    const check = (item: AnalyzedObject, spec: Fields): void => {
      if (isControlPlane(item)) return;
      const runsAs = (value: unknown): boolean =>
        fieldsOf(fieldsOf(value)["securityContext"])["runAsUser"] === PROXY_UID;
      const applications = listOf(spec["containers"])
        .map(fieldsOf)
        .filter(({ name }) => name !== "istio-proxy" && name !== "istio-operator");
      if (!runsAs(spec) && !applications.some(runsAs)) return;
      const message = `runs as the user ${PROXY_UID}, which is the sidecar's: its traffic would pass by the mesh. Take another.`;
      context.report("IST0144", item, message);
    };
    for (const item of context.all("Pod")) check(item, item.spec);
    for (const item of context.all("Deployment")) check(item, fieldsOf(fieldsOf(item.spec["template"])["spec"]));
  },
};

const negativeConditions: Partial<Record<AnalyzedKind, readonly string[]>> = {
  Service: ["istio.io/WaypointBound"],
  ServiceEntry: ["istio.io/WaypointBound"],
  WorkloadEntry: ["istio.io/WaypointBound"],
  AuthorizationPolicy: ["ZtunnelAccepted", "WaypointAccepted"],
  KubernetesGateway: ["Accepted", "Programmed", "ResolvedRefs"],
  HTTPRoute: ["Accepted", "Programmed", "ResolvedRefs"],
  GRPCRoute: ["Accepted", "Programmed", "ResolvedRefs"],
};
const withConditions = Object.keys(negativeConditions) as AnalyzedKind[];

export const conditions: Analyzer = {
  name: "conditions.ConditionAnalyzer",
  description: "No object's status says that it is refused",
  inputs: withConditions,
  analyze(context) {
    for (const item of withConditions.flatMap((kind) => context.all(kind))) {
      const status = fieldsOf(item.object.raw["status"]);
      const isRoute = item.kind === "HTTPRoute" || item.kind === "GRPCRoute";
      const holders = isRoute ? listOf(status["parents"]).map(fieldsOf) : [status];
      for (const condition of holders.flatMap((holder) => listOf(holder["conditions"])).map(fieldsOf)) {
        const { type, reason } = condition;
        const isNegative =
          condition["status"] === "False" && negativeConditions[item.kind]?.includes(stringOf(type) ?? "") === true;
        const isPartly =
          item.kind === "AuthorizationPolicy" && type === "WaypointAccepted" && reason === "PartiallyInvalid";
        if (!isNegative && !isPartly) continue;
        const message = `its status says ${String(type)}=${String(condition["status"])}, ${String(reason)}: ${String(condition["message"])}`;
        context.report("IST0171", item, message);
      }
    }
  },
};
