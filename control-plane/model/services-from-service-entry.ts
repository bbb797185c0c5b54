/** ServiceEntry → one ServiceModel a host. */
import { parseCidr } from "./ip.ts";
import type { MeshConfig } from "./mesh-config.ts";
import type { MeshObject } from "./object.ts";
import { protocolFromName } from "./protocol.ts";
import { fieldsOf, listOf, numberOf, stringMapOf, stringOf, stringsOf } from "./read-fields.ts";
import type { Resolution, ServiceModel } from "./service.ts";

const resolutions: Readonly<Record<string, Resolution>> = {
  NONE: "passthrough",
  STATIC: "static",
  DNS: "dns",
  DNS_ROUND_ROBIN: "dns-round-robin",
  DYNAMIC_DNS: "dynamic-dns",
};

/** Hosts in the order in which they are written. */
export function servicesFromServiceEntry(object: MeshObject, mesh: MeshConfig): readonly ServiceModel[] {
  const spec = fieldsOf(object.spec);
  const { namespace, labels, creationTimestamp } = object.metadata;
  const written = stringsOf(spec["addresses"]);
  const allocated = listOf(fieldsOf(object.raw["status"])["addresses"]).map(fieldsOf);
  const selector = stringMapOf(fieldsOf(spec["workloadSelector"])["labels"]);
  const exportTo = stringsOf(spec["exportTo"]);
  const ports = listOf(spec["ports"])
    .map(fieldsOf)
    .map((port) => {
      const number = numberOf(port["number"]) ?? 0;
      return {
        number,
        name: stringOf(port["name"]) ?? "",
        protocol: protocolFromName(stringOf(port["protocol"]) ?? ""),
        targetPort: numberOf(port["targetPort"]) || number,
      };
    });
  return stringsOf(spec["hosts"]).map((host) => ({
    host: host.toLowerCase(),
    name: host,
    namespace,
    origin: "service-entry",
    object,
    ports,
    resolution: resolutions[stringOf(spec["resolution"]) ?? "NONE"] ?? "passthrough",
    isHeadless: false,
    isExternal: (stringOf(spec["location"]) ?? "MESH_EXTERNAL") === "MESH_EXTERNAL",
    addresses: (written.length > 0 ? written : allocatedFor(allocated, host)).map(withoutHostPrefix),
    selector: spec["workloadSelector"] === undefined || spec["workloadSelector"] === null ? undefined : selector,
    exportTo: exportTo.length > 0 ? exportTo : mesh.defaultServiceExportTo,
    subjectAltNames: stringsOf(spec["subjectAltNames"]),
    creationTimestamp,
    labels,
  }));
}

/** `status.addresses` of the automatic allocation: entries with a host count for it alone. */
function allocatedFor(addresses: readonly Readonly<Record<string, unknown>>[], host: string): readonly string[] {
  return addresses
    .filter((item) => item["host"] === undefined || item["host"] === host)
    .map((item) => stringOf(item["value"]))
    .filter((value) => value !== undefined);
}

/** `10.0.0.1/32` is an address like any other. */
function withoutHostPrefix(address: string): string {
  const cidr = parseCidr(address);
  return cidr?.isHost === true ? cidr.address : address;
}
