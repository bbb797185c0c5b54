/** The workload's own identity, where the bootstrap asks for it. Loaded only then: it speaks gRPC to the CA. */
import { MeshError } from "#lib/problem.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { WorkloadIdentity as WorkloadIdentityMessage } from "#protos/gen/glassmesh/config/v1/workload_identity_pb.js";
import { createGrpcCaClient } from "../identity/grpc-ca-client.ts";
import { parseIdentityConfig } from "../identity/parse-identity-config.ts";
import { createWorkloadApiIdentity } from "../identity/workload-api-identity.ts";
import { createWorkloadIdentity, type WorkloadIdentity } from "../identity/workload-identity.ts";
import type { StatsScope } from "../observability/stats.ts";

export { followTrust } from "../identity/follow-trust.ts";

/** Begins to get a certificate. Throws a `MeshError` when the configuration can't be used. */
export function startIdentity(message: WorkloadIdentityMessage, runtime: Runtime, scope: StatsScope): WorkloadIdentity {
  const { value: config, problems } = parseIdentityConfig(
    message,
    "bootstrap_extensions[glassmesh.identity].typed_config",
  );
  if (config === undefined) throw new MeshError("identity", "the workload identity can't be used", problems);
  if ("socketPath" in config) return createWorkloadApiIdentity({ runtime, config, scope });
  const client = createGrpcCaClient({ config, clock: runtime.clock });
  return createWorkloadIdentity({ runtime, config, client, scope });
}
