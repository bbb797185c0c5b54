/** Gateways among themselves, and the workloads, Services and Secrets that they need. */
import { X509Certificate } from "node:crypto";
import {
  fieldsOf,
  listOf,
  matchesLabels,
  numberOf,
  stringMapOf,
  stringOf,
  stringsOf,
  type Fields,
} from "../../model/read-fields.ts";
import { fullName, type AnalyzedObject } from "../analyzed-object.ts";
import type { AnalysisContext, Analyzer } from "../analyzer.ts";
import { firstLabel, selectorText } from "../labels.ts";

const selectorOf = ({ spec }: AnalyzedObject): Readonly<Record<string, string>> => stringMapOf(spec["selector"]);
const serversOf = ({ spec }: AnalyzedObject): readonly Fields[] => listOf(spec["servers"]).map(fieldsOf);
const portOf = (server: Fields): number => numberOf(fieldsOf(server["port"])["number"]) ?? 0;

export const certificates: Analyzer = {
  name: "gateway.CertificateAnalyzer",
  description: "No two Gateways of the same workloads serve the same certificate",
  inputs: ["Gateway"],
  analyze(context) {
    for (const item of context.all("Gateway")) {
      const selector = selectorOf(item);
      const others = context
        .all("Gateway")
        .filter((other) => other !== item && matchesLabels(selector, selectorOf(other)));
      for (const other of others) {
        const isShared = serversOf(item).some((server) =>
          serversOf(other).some((against) => isSameCertificate(fieldsOf(server["tls"]), fieldsOf(against["tls"]))),
        );
        if (!isShared) continue;
        const message = `serves the same certificate as ${fullName(other)}: a client that reuses its HTTP/2 connection for hosts of the other is answered 404. Put the servers into one Gateway.`;
        context.report("IST0138", item, message, "metadata.name");
      }
    }
  },
};

function isSameCertificate(one: Fields, other: Fields): boolean {
  const isSame = (name: string): boolean => (stringOf(one[name]) ?? "") !== "" && one[name] === other[name];
  const hasCredential = one["credentialName"] !== undefined || other["credentialName"] !== undefined;
  return hasCredential ? isSame("credentialName") : isSame("serverCertificate") && isSame("privateKey");
}

export const conflictingGateways: Analyzer = {
  name: "gateway.ConflictingGatewayAnalyzer",
  description: "No two Gateways of the same workloads serve the same host on the same port",
  inputs: ["Gateway", "Pod"],
  analyze(context) {
    const selectors = new Map(context.all("Gateway").map((item) => [item, selectorText(selectorOf(item))]));
    for (const item of context.all("Gateway")) {
      const neighbours = context
        .all("Gateway")
        .filter((other) => other !== item && shareWorkloads(context, selectors, item, other));
      for (const server of serversOf(item)) {
        const names = neighbours.filter((other) => isServedBy(other, server)).map(fullName);
        if (names.length === 0) continue;
        const selector = selectorText(selectorOf(item)) || "(every gateway)";
        const hosts = stringsOf(server["hosts"]).join(", ");
        const message = `conflicts with the Gateways ${names.sort().join(", ")}: same workloads (${selector}), same port ${portOf(server)}, same hosts ${hosts}.`;
        context.report("IST0145", item, message);
      }
    }
  },
};

function shareWorkloads(
  context: AnalysisContext,
  selectors: ReadonlyMap<AnalyzedObject, string>,
  one: AnalyzedObject,
  other: AnalyzedObject,
): boolean {
  const [firstText = "", secondText = ""] = [selectors.get(one), selectors.get(other)];
  if (firstText === secondText) return true;
  const [first, second] = [selectorOf(one), selectorOf(other)];
  if (!firstText.includes(secondText) && !secondText.includes(firstText)) return false;
  return context.all("Pod").some(({ labels }) => matchesLabels(first, labels) && matchesLabels(second, labels));
}

/** One of the hosts, on the same port and address. Of several servers on one port the last counts, as in istioctl. */
function isServedBy(other: AnalyzedObject, server: Fields): boolean {
  const same = serversOf(other).findLast((candidate) => portOf(candidate) === portOf(server));
  if (same === undefined || (stringOf(same["bind"]) ?? "") !== (stringOf(server["bind"]) ?? "")) return false;
  const hosts = new Set(stringsOf(same["hosts"]));
  return stringsOf(server["hosts"]).some((host) => hosts.has(host));
}

export const ingressPorts: Analyzer = {
  name: "gateway.IngressGatewayPortAnalyzer",
  description: "The workloads of a Gateway exist, and their Service offers its ports",
  inputs: ["Gateway", "Pod", "Service"],
  analyze(context) {
    for (const item of context.all("Gateway")) {
      const selector = selectorOf(item);
      const path = `spec.selector.${firstLabel(selector)}`;
      const pods = context.all("Pod").filter(({ labels }) => matchesLabels(selector, labels));
      if (pods.length === 0) {
        context.report("IST0101", item, noWorkload(selector), path);
        continue;
      }
      const offered = offeredPorts(context, pods);
      for (const server of serversOf(item)) {
        const port = portOf(server);
        if (server["port"] === undefined || offered.has(port)) continue;
        const message = `listens on the port ${port}, which no Service of its workloads (${selectorText(selector)}) offers: through the Service it can't be reached.`;
        context.report("IST0162", item, message, path);
      }
    }
  },
};

const noWorkload = (selector: Readonly<Record<string, string>>): string =>
  `no pod has the labels of its selector "${selectorText(selector)}".`;

function offeredPorts(context: AnalysisContext, pods: readonly AnalyzedObject[]): ReadonlySet<number> {
  const offered = new Set<number>();
  for (const { spec, namespace } of context.all("Service")) {
    const selector = stringMapOf(spec["selector"]);
    if (!pods.some((pod) => pod.namespace === namespace && matchesLabels(selector, pod.labels))) continue;
    for (const port of listOf(spec["ports"]).map(fieldsOf)) {
      if ((port["protocol"] ?? "TCP") !== "TCP") continue;
      offered.add(numberOf(port["port"]) ?? 0);
      const target = Number(port["targetPort"] ?? 0);
      if (target > 0) offered.add(target);
    }
  }
  return offered;
}

export const secrets: Analyzer = {
  name: "gateway.SecretAnalyzer",
  description: "The Secrets that a Gateway names exist beside its workloads, and hold certificates",
  inputs: ["Gateway", "Pod", "Secret"],
  analyze(context) {
    for (const item of context.all("Gateway")) {
      const selector = selectorOf(item);
      const pod = context.all("Pod").find(({ labels }) => matchesLabels(selector, labels));
      if (pod === undefined) {
        context.report("IST0101", item, noWorkload(selector), `spec.selector.${firstLabel(selector)}`);
        continue;
      }
      for (const [index, server] of serversOf(item).entries()) {
        const name = stringOf(fieldsOf(server["tls"])["credentialName"]) ?? "";
        if (name === "") continue;
        const path = `spec.servers[${index}].tls.credentialName`;
        const secret = secretNamed(context, pod.namespace, name);
        if (secret === undefined) {
          const message = `names the credential "${name}", but there is no such Secret in the namespace ${pod.namespace} of its workloads.`;
          context.report("IST0101", item, message, path);
        } else if (!holdsCertificate(secret, context.nowMs)) {
          const message = `the Secret ${fullName(secret)} holds no certificate that can be used; it needs tls.crt, which has not ended, and tls.key, in PEM.`;
          context.report("IST0161", item, message, path);
        }
      }
    }
  },
};

function secretNamed(context: AnalysisContext, namespace: string, written: string): AnalyzedObject | undefined {
  const slash = written.indexOf("/");
  return slash < 0
    ? context.find("Secret", namespace, written)
    : context.find("Secret", written.slice(0, slash), written.slice(slash + 1));
}

function holdsCertificate({ object }: AnalyzedObject, nowMs: number): boolean {
  const { data, stringData } = object.raw;
  const entry = (name: string): string | undefined => {
    const encoded = stringOf(fieldsOf(data)[name]);
    return stringOf(fieldsOf(stringData)[name]) ?? (encoded && Buffer.from(encoded, "base64").toString());
  };
  const certificate = entry("tls.crt") ?? entry("cert");
  const key = entry("tls.key") ?? entry("key");
  if (!certificate || !key) return false;
  try {
    return new X509Certificate(certificate).validToDate.getTime() > nowMs;
  } catch {
    return false;
  }
}
