/** What an installation of Istio brings along, and manifests therefore need not hold: the ingress gateway. */
import type { MeshObject } from "../model/object.ts";
import { objectFromRaw } from "../config/object-from-raw.ts";
import { stringOf, type Fields } from "../model/read-fields.ts";

const PORTS = { http2: 80, https: 443, tcp: 31400, tls: 15443 };

/** A pod and a Service of the ingress gateway; objects of the same names in manifests count over them. */
export function defaultObjects(meshConfig: Fields): readonly MeshObject[] {
  if (meshConfig["ingressControllerMode"] === "OFF") return [];
  const name = stringOf(meshConfig["ingressService"]) ?? "istio-ingressgateway";
  const namespace = "istio-system";
  const labels = { istio: "ingressgateway" };
  const location = { file: "internal-ingress", line: 1, column: 1 };
  const ports = Object.entries(PORTS).map(([port, number]) => ({
    name: port,
    port: number,
    targetPort: number,
    protocol: "TCP",
  }));
  return [
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: `${name}-dummypod`, namespace, labels },
      spec: { containers: [{ name: "istio-proxy" }] },
    },
    { apiVersion: "v1", kind: "Service", metadata: { name, namespace }, spec: { ports, selector: labels } },
  ].flatMap((raw) => objectFromRaw(raw, { location, locate: () => location }).objects);
}
