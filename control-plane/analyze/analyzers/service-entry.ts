/** What ServiceEntries need, and whom they contradict. */
import { fieldsOf, listOf, numberOf, stringOf, stringsOf } from "../../model/read-fields.ts";
import { fullName, type AnalyzedObject } from "../analyzed-object.ts";
import type { AnalysisContext, Analyzer } from "../analyzer.ts";
import { exportScopes } from "./hosts.ts";

export const protocolAddresses: Analyzer = {
  name: "serviceentry.Analyzer",
  description: "A ServiceEntry with TCP ports has addresses, by which its connections are told from others",
  inputs: ["ServiceEntry"],
  analyze(context) {
    if (allocatesAddresses(context)) return;
    for (const item of context.all("ServiceEntry")) {
      const status = fieldsOf(item.object.raw["status"]);
      if (item.spec["addresses"] !== undefined || listOf(status["addresses"]).length > 0) continue;
      for (const [index, port] of listOf(item.spec["ports"]).map(fieldsOf).entries()) {
        const protocol = stringOf(port["protocol"]) ?? "";
        if (protocol !== "" && protocol.toUpperCase() !== "TCP") continue;
        const message =
          "a TCP port without addresses: connections to other hosts on this port are taken for this one's. Add spec.addresses.";
        context.report("IST0134", item, message, `spec.ports[${index}].name`);
      }
    }
  },
};

function allocatesAddresses({ meshConfig }: AnalysisContext): boolean {
  const metadata = fieldsOf(fieldsOf(meshConfig["defaultConfig"])["proxyMetadata"]);
  if (metadata["ISTIO_META_DNS_CAPTURE"] !== "true") return false;
  return metadata["ISTIO_META_DNS_AUTO_ALLOCATE"] === "true" || metadata["PILOT_ENABLE_IP_AUTOALLOCATE"] === "true";
}

interface DeclaredPort {
  readonly item: AnalyzedObject;
  readonly protocol: string;
}

export const conflictingProtocols: Analyzer = {
  name: "serviceentry.ConflictingServiceEntryProtocolAnalyzer",
  description: "ServiceEntries that share a host and port agree on its protocol",
  inputs: ["ServiceEntry"],
  analyze(context) {
    const index = new Map<string, DeclaredPort[]>();
    for (const item of context.all("ServiceEntry")) {
      for (const scope of exportScopes(stringsOf(item.spec["exportTo"]), item.namespace)) {
        for (const host of stringsOf(item.spec["hosts"])) {
          for (const port of listOf(item.spec["ports"]).map(fieldsOf)) {
            const key = `${scope} ${host} ${numberOf(port["number"]) ?? 0}`;
            const declared = { item, protocol: (stringOf(port["protocol"]) ?? "").toUpperCase() };
            index.set(key, [...(index.get(key) ?? []), declared]);
          }
        }
      }
    }
    const reported = new Set<AnalyzedObject>();
    for (const [key, own] of index) {
      const [scope = "", host = "", port = ""] = key.split(" ");
      const declared = scope === "*" ? own : [...own, ...(index.get(`* ${host} ${port}`) ?? [])];
      const protocols = [...new Set(declared.map(({ protocol }) => protocol))].sort();
      if (protocols.length < 2) continue;
      const names = [...new Set(declared.map(({ item }) => fullName(item)))].sort().join(", ");
      for (const { item } of declared) {
        if (reported.has(item)) continue;
        reported.add(item);
        const message = `the ServiceEntries ${names} declare port ${port} of ${host} with different protocols: ${protocols.join(", ")}.`;
        context.report("IST0177", item, message, "metadata.name");
      }
    }
  },
};
