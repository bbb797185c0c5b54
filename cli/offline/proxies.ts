/** Which proxies a question is about: a workload of the manifests, or a list of proxies in a file. */
import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import { MeshError } from "#lib/problem.ts";
import { DEFAULT_CLUSTER_ID } from "#control-plane/model/build-mesh-index.ts";
import type { InjectedProxy } from "#control-plane/model/injected-node.ts";
import type { MeshIndex } from "#control-plane/model/mesh-index.ts";
import { fieldsOf, listOf, stringMapOf, stringOf, stringsOf, type Fields } from "#control-plane/model/read-fields.ts";
import type { WorkloadInstance } from "#control-plane/model/service.ts";
import { localityFromText } from "#control-plane/model/workloads.ts";

const TYPES: ReadonlySet<string> = new Set(["sidecar", "router", "waypoint"]);
const MODES: ReadonlySet<string> = new Set(["REDIRECT", "TPROXY", "NONE"]);

/** The keys that a line of the file may have. */
const KEYS = [
  "name",
  "type",
  "namespace",
  "ip",
  "ips",
  "labels",
  "annotations",
  "serviceAccount",
  "workloadName",
  "nodeName",
  "clusterId",
  "network",
  "interceptionMode",
  "locality",
  "metadata",
];

/** Reads a YAML list of proxies. Throws a MeshError that names the line's key. */
export async function readProxies(file: string, mesh: MeshIndex): Promise<readonly InjectedProxy[]> {
  let value: unknown;
  try {
    value = parse(await readFile(file, "utf8"), { maxAliasCount: 100 });
  } catch (error) {
    throw new MeshError(
      "invalid-proxies",
      `${file} can't be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (!Array.isArray(value)) {
    throw new MeshError(
      "invalid-proxies",
      `${file} must hold a list of proxies, as \`- {name: sleep-1, namespace: default, ip: 10.0.0.1}\``,
    );
  }
  return value.map((line, index) => proxyFrom(fieldsOf(line), `${file}: proxy ${index + 1}`, mesh));
}

function proxyFrom(line: Fields, where: string, mesh: MeshIndex): InjectedProxy {
  const refuse = (message: string): never => {
    throw new MeshError("invalid-proxies", `${where}: ${message}`);
  };
  const unknown = Object.keys(line).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) refuse(`has no key ${unknown}; there are ${KEYS.join(", ")}`);
  const name = stringOf(line["name"]) ?? refuse("name is missing");
  const type = stringOf(line["type"]) ?? "sidecar";
  if (!TYPES.has(type)) refuse(`type must be one of ${[...TYPES].join(", ")}, found ${JSON.stringify(line["type"])}`);
  const mode = stringOf(line["interceptionMode"]) ?? "REDIRECT";
  if (!MODES.has(mode))
    refuse(`interceptionMode must be one of ${[...MODES].join(", ")}, found ${JSON.stringify(mode)}`);
  const namespace = stringOf(line["namespace"]) ?? "default";
  const workload = mesh.workload(namespace, name);
  const ips = [stringOf(line["ip"]) ?? "", ...stringsOf(line["ips"])].filter((ip) => ip !== "");
  const locality = stringOf(line["locality"]);
  return {
    type: type as InjectedProxy["type"],
    name,
    namespace,
    addresses: ips.length > 0 ? ips : (workload?.addresses ?? refuse("ip is missing, and no Pod has this name")),
    labels: line["labels"] === undefined ? (workload?.labels ?? {}) : stringMapOf(line["labels"]),
    annotations:
      line["annotations"] === undefined
        ? (workload?.object.metadata.annotations ?? {})
        : stringMapOf(line["annotations"]),
    serviceAccount: stringOf(line["serviceAccount"]) ?? workload?.serviceAccount ?? "default",
    workloadName: stringOf(line["workloadName"]) ?? workload?.workloadName ?? name,
    nodeName: stringOf(line["nodeName"]) ?? nodeNameOf(workload),
    clusterId: stringOf(line["clusterId"]) ?? workload?.clusterId ?? DEFAULT_CLUSTER_ID,
    network: stringOf(line["network"]) ?? "",
    interceptionMode: mode as InjectedProxy["interceptionMode"],
    locality: locality === undefined ? undefined : localityFromText(locality),
    metadata: fieldsOf(line["metadata"]),
  };
}

/** `NAME.NAMESPACE`: a Pod, or a workload whose first Pod stands for it. Throws a MeshError that lists what there is. */
export function proxyOfWorkload(text: string, mesh: MeshIndex): InjectedProxy {
  const dot = text.lastIndexOf(".");
  const [name, namespace] = dot < 0 ? [text, "default"] : [text.slice(0, dot), text.slice(dot + 1)];
  const pods = mesh.workloads.filter((workload) => workload.origin === "pod" && workload.namespace === namespace);
  const found = pods.find((pod) => pod.name === name) ?? pods.find((pod) => pod.workloadName === name);
  if (found === undefined) {
    const all = [
      ...new Set(
        mesh.workloads.filter(({ origin }) => origin === "pod").map((pod) => `${pod.workloadName}.${pod.namespace}`),
      ),
    ];
    throw new MeshError(
      "unknown-workload",
      `there is no workload ${name}.${namespace}; there are ${all.length === 0 ? "none: the manifests hold no Pods, Deployments or StatefulSets" : all.join(", ")}`,
    );
  }
  return proxyOfPod(found);
}

function proxyOfPod(pod: WorkloadInstance): InjectedProxy {
  const { annotations } = pod.object.metadata;
  const { env, isRouter } = proxyContainerOf(pod);
  const waypoint = pod.labels["gateway.networking.k8s.io/gateway-class-name"] === "istio-waypoint";
  const meta = Object.entries(env).filter(([key]) => key.startsWith("ISTIO_META_"));
  const mode = annotations["sidecar.istio.io/interceptionMode"] ?? "REDIRECT";
  return {
    type: waypoint ? "waypoint" : isRouter ? "router" : "sidecar",
    name: pod.name,
    namespace: pod.namespace,
    addresses: pod.addresses,
    labels: pod.labels,
    annotations,
    serviceAccount: pod.serviceAccount,
    workloadName: pod.workloadName,
    nodeName: nodeNameOf(pod),
    clusterId: pod.clusterId,
    network: pod.network,
    interceptionMode: MODES.has(mode) ? (mode as InjectedProxy["interceptionMode"]) : "REDIRECT",
    metadata: Object.fromEntries(meta.map(([key, value]) => [key.slice("ISTIO_META_".length), value])),
  };
}

/** A gateway says so by the arguments of its container, by the injection template, or by the labels that gateways have. */
function proxyContainerOf(pod: WorkloadInstance): {
  readonly env: Readonly<Record<string, string>>;
  readonly isRouter: boolean;
} {
  const containers = listOf(fieldsOf(pod.object.spec)["containers"]).map(fieldsOf);
  const proxy = containers.find((container) => container["name"] === "istio-proxy");
  const env: Record<string, string> = {};
  for (const { name, value } of listOf(proxy?.["env"]).map(fieldsOf)) {
    if (typeof name === "string" && typeof value === "string") env[name] = value;
  }
  const templates = pod.object.metadata.annotations["inject.istio.io/templates"] ?? "";
  const isRouter =
    stringsOf(proxy?.["args"]).includes("router") ||
    templates.split(",").includes("gateway") ||
    pod.labels["gateway.networking.k8s.io/gateway-name"] !== undefined ||
    /^(ingress|egress|eastwest)gateway$/.test(pod.labels["istio"] ?? "");
  return { env, isRouter };
}

function nodeNameOf(workload: WorkloadInstance | undefined): string | undefined {
  return stringOf(fieldsOf(workload?.object.spec)["nodeName"]);
}
