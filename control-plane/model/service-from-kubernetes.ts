/** Kubernetes Service → ServiceModel. */
import type { MeshConfig } from "./mesh-config.ts";
import type { MeshObject } from "./object.ts";
import { protocolOfServicePort } from "./protocol.ts";
import { fieldsOf, listOf, numberOf, stringMapOf, stringOf, stringsOf, type Fields } from "./read-fields.ts";
import type { Resolution, ServiceModel, ServicePort } from "./service.ts";

/** Domain under which Kubernetes names Services. */
export const CLUSTER_DOMAIN = "cluster.local";

/** `reviews`, `default` → `reviews.default.svc.cluster.local`. */
export function serviceHost(name: string, namespace: string): string {
  return `${name}.${namespace}.svc.${CLUSTER_DOMAIN}`;
}

export function serviceFromKubernetes(object: MeshObject, mesh: MeshConfig): ServiceModel {
  const spec = fieldsOf(object.spec);
  const { name, namespace, annotations, labels, creationTimestamp } = object.metadata;
  const clusterIp = stringOf(spec["clusterIP"]) ?? "";
  const clusterIps = stringsOf(spec["clusterIPs"]);
  const addresses = (clusterIps.length > 0 ? clusterIps : [clusterIp]).filter((ip) => ip !== "" && ip !== "None");
  const isHeadless = clusterIp === "None";
  const externalName = spec["type"] === "ExternalName" ? stringOf(spec["externalName"]) : undefined;
  const selector = stringMapOf(spec["selector"]);
  return {
    host: serviceHost(name, namespace),
    name,
    namespace,
    origin: "kubernetes",
    object,
    ports: listOf(spec["ports"]).map((port) => portFrom(fieldsOf(port))),
    resolution: resolutionOf(externalName, isHeadless),
    isHeadless,
    isExternal: false,
    externalName,
    addresses,
    selector: Object.keys(selector).length === 0 ? undefined : selector,
    exportTo: exportToOf(annotations, mesh),
    subjectAltNames: subjectAltNamesOf(object, mesh),
    creationTimestamp,
    labels,
  };
}

function resolutionOf(externalName: string | undefined, isHeadless: boolean): Resolution {
  if (isHeadless) return "passthrough";
  return externalName === undefined ? "static" : "alias";
}

function portFrom(port: Fields): ServicePort {
  const number = numberOf(port["port"]) ?? 0;
  const name = stringOf(port["name"]) ?? "";
  const target = port["targetPort"];
  return {
    number,
    name,
    protocol: protocolOfServicePort({
      number,
      name,
      transport: stringOf(port["protocol"]) ?? "TCP",
      appProtocol: stringOf(port["appProtocol"]),
    }),
    targetPort: targetPortOf(target) ?? number,
  };
}

function targetPortOf(target: unknown): number | string | undefined {
  if (typeof target === "number" && target > 0) return target;
  if (typeof target !== "string" || target === "") return undefined;
  return /^\d+$/.test(target) ? Number(target) : target;
}

function exportToOf(annotations: Readonly<Record<string, string>>, mesh: MeshConfig): readonly string[] {
  const written = annotations["networking.istio.io/exportTo"];
  if (written === undefined) return mesh.defaultServiceExportTo;
  return written
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

function subjectAltNamesOf(object: MeshObject, mesh: MeshConfig): readonly string[] {
  const { annotations, namespace } = object.metadata;
  const list = (key: string): readonly string[] => (annotations[key] ?? "").split(",").filter((item) => item !== "");
  return [
    ...list("alpha.istio.io/canonical-serviceaccounts"),
    ...list("alpha.istio.io/kubernetes-serviceaccounts").map(
      (account) => `spiffe://${mesh.trustDomain}/ns/${namespace}/sa/${account}`,
    ),
  ];
}
