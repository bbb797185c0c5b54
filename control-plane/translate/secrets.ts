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

/** Fetched without waiting for it: a Secret that is not there must not hold up the rest of the listener. */
const CREDENTIAL_SOURCE: JsonObject = { ads: {}, resourceApiVersion: "V3" };

/** Of a name in `credentialName`: the CA that belongs to it. */
export const CA_SUFFIX = "-cacert";

const BUILTIN = "builtin://";
const RESOURCE_KINDS = ["kubernetes://", "kubernetes-gateway://", "configmap://", "invalid://", BUILTIN];

/** The SDS name of a `credentialName`: a Kubernetes Secret unless it says what else. */
export function credentialResourceName(credential: string): string {
  return RESOURCE_KINDS.some((kind) => credential.startsWith(kind)) ? credential : `kubernetes://${credential}`;
}

/** A secret that the control plane serves (rule 107). */
export function credentialSecret(credential: string): JsonObject {
  if (credential === BUILTIN) return WORKLOAD_CERTIFICATE;
  if (credential === `${BUILTIN}${CA_SUFFIX}`) return TRUST_BUNDLE;
  return { name: credentialResourceName(credential), sdsConfig: CREDENTIAL_SOURCE };
}

/** Certificate and key in files of the proxy; empty: the workload's own. */
export function fileCertificate(certificate: string, key: string): JsonObject {
  return certificate === "" ? WORKLOAD_CERTIFICATE : fileSecret(`file-cert:${certificate}~${key}`);
}

/** A CA in a file of the proxy; empty: the mesh's. */
export function fileRoot(path: string): JsonObject {
  return path === "" ? TRUST_BUNDLE : fileSecret(`file-root:${path}`);
}
