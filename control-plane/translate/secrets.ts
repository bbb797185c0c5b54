/** References to secrets and how they are fetched (§4.5). */
import type { JsonObject } from "./json.ts";

/** Configuration that comes over the ADS stream itself. */
export const ADS_SOURCE: JsonObject = { ads: {}, initialFetchTimeout: "0s", resourceApiVersion: "V3" };

const sdsApi: JsonObject = {
  apiType: "GRPC",
  grpcServices: [{ envoyGrpc: { clusterName: "sds-grpc" } }],
  setNodeOnFirstMessageOnly: true,
  transportApiVersion: "V3",
};

/** The workload's own certificate. */
export const WORKLOAD_CERTIFICATE: JsonObject = meshSecret("default");
/** The mesh's trust bundle. */
export const TRUST_BUNDLE: JsonObject = meshSecret("ROOTCA");

function meshSecret(name: string): JsonObject {
  return {
    name,
    sdsConfig: { apiConfigSource: sdsApi, initialFetchTimeout: "0s", resourceApiVersion: "V3" },
  };
}

/** A secret that the agent reads from files: `file-cert:…`, `file-root:…`. */
export function fileSecret(name: string): JsonObject {
  return { name, sdsConfig: { apiConfigSource: sdsApi, resourceApiVersion: "V3" } };
}
