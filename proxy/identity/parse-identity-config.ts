/** `glassmesh.config.v1.WorkloadIdentity` → our configuration. */
import { trustDomainProblem } from "#certs/spiffe-id.ts";
import type { KeyType } from "#certs/keys.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { WorkloadIdentity } from "#protos/gen/glassmesh/config/v1/workload_identity_pb.js";
import { MessageReader } from "#protos/reader.ts";
import type { WorkloadIdentityConfig } from "./types.ts";

const KEY_TYPES: readonly KeyType[] = ["ECDSA_P256", "RSA_2048"];

/** Checks the extension `glassmesh.identity` of the bootstrap; `path` is where it stands. */
export function parseIdentityConfig(message: WorkloadIdentity, path: string): Parsed<WorkloadIdentityConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message, path, problems);
  const caAddress = reader.get("caAddress");
  const caRootCertificateFile = reader.get("caRootCertificateFile");
  const tokenFile = reader.get("tokenFile");
  const trustDomain = reader.get("trustDomain") || "cluster.local";
  const keyType = KEY_TYPES[reader.get("keyType")];
  const ttl = reader.get("requestedTtl");
  reader.finish();

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
