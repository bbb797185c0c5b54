/** Gets a certificate for a workload of a running mesh: its token and a CSR to the CA, as its proxy does it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createCsr } from "#certs/csr.ts";
import { createKeyPair, type KeyPair, type KeyType } from "#certs/keys.ts";
import { formatProblem, MeshError } from "#lib/problem.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import type { WorkloadIdentity } from "#protos/gen/glassmesh/config/v1/workload_identity_pb.js";
import { createGrpcCaClient } from "#proxy/identity/grpc-ca-client.ts";
import { parseIdentityConfig } from "#proxy/identity/parse-identity-config.ts";
import type { WorkloadApiConfig, WorkloadIdentityConfig } from "#proxy/identity/types.ts";
import { type VerifiedIdentity, verifyResponse } from "#proxy/identity/verify-response.ts";
import type { CommandIo } from "../command.ts";
import { findMesh, findWorkload } from "../local/mesh-file.ts";
import { list, object, text } from "../tables/config-dump.ts";

export interface Obtained extends VerifiedIdentity {
  readonly keys: KeyPair;
}

/** Throws a `MeshError` that names what is missing, or why the CA refused. */
export async function obtain(workload: string, keyType: KeyType, ttlSeconds: number, io: CommandIo): Promise<Obtained> {
  const config = identityOf(workload, io);
  const { clock } = nodeRuntime({ logLevel: "off" });
  const keys = await createKeyPair(keyType);
  const client = createGrpcCaClient({ config, clock });
  try {
    const csr = createCsr(keys, `spiffe://${config.trustDomain}`);
    const response = await client.createCertificate({ csr, validitySeconds: ttlSeconds });
    return { ...verifyResponse(response, keys, config.trustDomain, clock.now()), keys };
  } finally {
    client.close();
  }
}

/** What the workload's own bootstrap says of its identity. */
export function identityOf(workload: string, io: CommandIo): WorkloadIdentityConfig {
  const mesh = findMesh(io.env, io.cwd);
  const { pod, namespace, sidecar } = findWorkload(mesh, workload);
  if (sidecar === undefined) throw new MeshError("no-sidecar", `${pod} has no sidecar, so it has no identity to show`);
  const file = join(mesh.directory, "bootstraps", `${pod}.${namespace}.json`);
  let bootstrap: unknown;
  try {
    bootstrap = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new MeshError(
      "bootstrap-file",
      `${file} can't be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const extension = list(object(bootstrap)["bootstrap_extensions"])
    .map(object)
    .find(({ name }) => text(name) === "glassmesh.identity");
  const { "@type": _type, ...fields } = object(extension?.["typed_config"]);
  const message = messageFromJson("glassmesh.config.v1.WorkloadIdentity", fields);
  const parsed =
    message.value === undefined
      ? message
      : parseIdentityConfig(message.value as WorkloadIdentity, "glassmesh.identity");
  if (message.value === undefined || parsed.value === undefined) {
    throw new MeshError("identity", `${file} has no identity: ${parsed.problems.map(formatProblem).join("; ")}`);
  }
  const config = parsed.value as WorkloadIdentityConfig | WorkloadApiConfig;
  if (!("socketPath" in config)) return config;
  throw new MeshError("identity", `${pod} has its certificate from ${config.socketPath}, not from the mesh's CA`);
}
