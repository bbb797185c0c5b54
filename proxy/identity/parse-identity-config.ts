/** `glassmesh.config.v1.WorkloadIdentity` → our configuration. */
import { trustDomainProblem } from "#certs/spiffe-id.ts";
import type { KeyType } from "#certs/keys.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { WorkloadIdentity } from "#protos/gen/glassmesh/config/v1/workload_identity_pb.js";
import { MessageReader } from "#protos/reader.ts";
import type { WorkloadApiConfig, WorkloadIdentityConfig } from "./types.ts";

const KEY_TYPES: readonly KeyType[] = ["ECDSA_P256", "RSA_2048"];

/** Checks the extension `glassmesh.identity` of the bootstrap; `path` is where it stands. */
export function parseIdentityConfig(
  message: WorkloadIdentity,
  path: string,
): Parsed<WorkloadIdentityConfig | WorkloadApiConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message, path, problems);
  const caAddress = reader.get("caAddress");
  const caRootCertificateFile = reader.get("caRootCertificateFile");
  const tokenFile = reader.get("tokenFile");
  const trustDomain = reader.get("trustDomain") || "cluster.local";
  const keyType = KEY_TYPES[reader.get("keyType")];
  const ttl = reader.get("requestedTtl");
  const socket = reader.get("spiffeWorkloadSocket");
  reader.finish();
  if (socket !== "")
    return workloadApi(reader, { socket, trustDomain, isAsked: ttl !== undefined || keyType !== "ECDSA_P256" });

  const port = Number(/^(?:[^:[\]]+|\[[0-9a-fA-F:]+\]):(\d{1,5})$/.exec(caAddress)?.[1] ?? 0);
  if (port < 1 || port > 65_535) {
    reader.invalid("caAddress", `${JSON.stringify(caAddress)} is not host:port, as in "istiod.istio-system.svc:15012"`);
  }
  if (caRootCertificateFile === "")
    reader.invalid("caRootCertificateFile", "is empty; name the PEM file with the CA's roots");
  if (tokenFile === "") reader.invalid("tokenFile", "is empty; name the file with the workload's token");
  const trustDomainWrong = trustDomainProblem(trustDomain);
  if (trustDomainWrong !== undefined) reader.invalid("trustDomain", trustDomainWrong);
  if (keyType === undefined) reader.invalid("keyType", "must be ECDSA_P256 or RSA_2048");
  const requestedTtlMs = ttl === undefined ? undefined : Number(ttl.seconds) * 1000 + Math.floor(ttl.nanos / 1e6);
  if (requestedTtlMs !== undefined && requestedTtlMs < 1000) reader.invalid("requestedTtl", "must be at least 1s");
  if (keyType === undefined || problems.some((problem) => problem.level === "error")) return { problems };
  return {
    value: { caAddress, caRootCertificateFile, tokenFile, trustDomain, keyType, requestedTtlMs },
    problems,
  };
}

/** The agent decides on keys and lifetimes, and there is no CA beside it. */
function workloadApi(
  reader: MessageReader<WorkloadIdentity>,
  written: { readonly socket: string; readonly trustDomain: string; readonly isAsked: boolean },
): Parsed<WorkloadApiConfig> {
  const { problems } = reader;
  const { socket, trustDomain, isAsked } = written;
  // As SPIFFE_ENDPOINT_SOCKET has it: unix:///path; a path alone is meant so.
  const socketPath = socket.replace(/^unix:(\/\/)?(?=\/)/, "");
  if (!socketPath.startsWith("/")) {
    reader.invalid(
      "spiffeWorkloadSocket",
      `${JSON.stringify(socket)} is no Unix socket, as in "unix:///run/spire/agent.sock"`,
    );
  }
  for (const field of ["caAddress", "caRootCertificateFile"] as const) {
    if (reader.get(field) !== "")
      reader.invalid(field, "is of a CA, and the certificate comes from spiffe_workload_socket");
  }
  if (isAsked) reader.invalid("requestedTtl", "and key_type are decided by the Workload API; leave them out");
  const wrong = trustDomainProblem(trustDomain);
  if (wrong !== undefined) reader.invalid("trustDomain", wrong);
  return problems.some(({ level }) => level === "error")
    ? { problems }
    : { value: { socketPath, trustDomain }, problems };
}
