/**
 * Shell: the workload's certificate from a SPIFFE Workload API (a SPIRE agent) over its Unix socket. The agent attests who
 * we are, makes the key, and streams each new SVID before the old one ends.
 */
import { Client, type ClientReadableStream, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { MeshError } from "#lib/problem.ts";
import type { Runtime, Timer } from "#lib/runtime.ts";
import type { X509SVIDRequest, X509SVIDResponse } from "#protos/gen/spiffe/workload/workload_pb.js";
import { createMessage } from "#protos/registry.ts";
import { WORKLOAD_API_HEADER, workloadApiDefinition } from "#protos/workload-api.ts";
import type { StatsScope } from "#proxy/observability/stats.ts";
import { createOwnSecrets } from "./own-secrets.ts";
import type { WorkloadApiConfig } from "./types.ts";
import { identityFromResponse } from "./verify-svid-response.ts";
import type { CurrentIdentity, WorkloadIdentity } from "./workload-identity.ts";

export interface WorkloadApiDeps {
  readonly runtime: Runtime;
  readonly config: WorkloadApiConfig;
  /** Statistics go below `identity.`. */
  readonly scope: StatsScope;
}

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 30_000;

/** Begins at once; subscribers hear as soon as the agent has answered. What came last is served while it is away. */
export function createWorkloadApiIdentity({ runtime, config, scope: root }: WorkloadApiDeps): WorkloadIdentity {
  const { clock, random } = runtime;
  const log = runtime.log.child("identity");
  const scope = root.scope("identity");
  const updates = scope.counter("svid_updates");
  const failures = scope.counter("svid_failures");
  const expiry = scope.gauge("certificate_expiry_timestamp_seconds");
  const secrets = createOwnSecrets(log);
  const { fetchX509Svid } = workloadApiDefinition();
  let current: CurrentIdentity | undefined;
  let client: Client | undefined;
  let stream: ClientReadableStream<X509SVIDResponse> | undefined;
  let timer: Timer | undefined;
  let attempt = 0;
  let isClosed = false;

  function open(): void {
    // A channel that has failed waits on a schedule of its own: each try has a new one.
    const opened = new Client(`unix:${config.socketPath}`, credentials.createInsecure(), {
      "grpc.enable_http_proxy": 0,
      "grpc.use_local_subchannel_pool": 1,
      "grpc.default_authority": "localhost",
    });
    client = opened;
    const metadata = new Metadata();
    metadata.set(WORKLOAD_API_HEADER, "true");
    const call = opened.makeServerStreamRequest(
      fetchX509Svid.path,
      fetchX509Svid.requestSerialize,
      fetchX509Svid.responseDeserialize,
      createMessage<X509SVIDRequest>("X509SVIDRequest", {}),
      metadata,
    );
    stream = call;
    call.on("data", (response: X509SVIDResponse) => {
      if (stream === call) take(response);
    });
    call.on("error", (error: ServiceError) => {
      if (stream === call) again(reasonOf(error, config.socketPath));
    });
    call.on("end", () => {
      if (stream === call) again(`the Workload API at ${config.socketPath} ended the stream`);
    });
  }

  function take(response: X509SVIDResponse): void {
    try {
      const identity = identityFromResponse(response, config.trustDomain, clock.now());
      attempt = 0;
      current = identity;
      updates.inc();
      expiry.set(Math.floor(identity.notAfterMs / 1000));
      log.info(`the SVID of ${identity.id.uri} is valid until ${new Date(identity.notAfterMs).toISOString()}`);
      secrets.setRoots(identity.validation);
      secrets.setCertificate(identity.certificate);
    } catch (error) {
      if (!(error instanceof MeshError)) throw error;
      failures.inc();
      log.error(`an SVID is not used, ${stateOf()}: ${error.message}`, { code: error.code });
    }
  }

  function again(reason: string): void {
    failures.inc();
    shut();
    if (isClosed) return;
    const delayMs = Math.min(FIRST_RETRY_MS * 2 ** Math.min(attempt++, 10), MAX_RETRY_MS) * (0.5 + random.float() / 2);
    log.warning(`${reason} (${stateOf()}; next try in ${(delayMs / 1000).toFixed(1)} s)`);
    timer = clock.setTimer(delayMs, open);
  }

  function stateOf(): string {
    if (current === undefined) return "this proxy has no certificate yet";
    const leftMs = current.notAfterMs - clock.now();
    return leftMs <= 0
      ? "the certificate in use HAS EXPIRED"
      : `the certificate in use is good for ${Math.round(leftMs / 1000)} s more`;
  }

  function shut(): void {
    timer?.cancel();
    const call = stream;
    stream = undefined;
    call?.cancel();
    client?.close();
  }

  open();
  return {
    serves: secrets.serves,
    subscribe: secrets.subscribe,
    get current() {
      return current;
    },
    renewNow() {
      shut();
      open();
    },
    // Whom to believe is what the agent says; the mesh's own CA is not asked.
    trust: () => undefined,
    close() {
      isClosed = true;
      shut();
      secrets.close();
    },
  };
}

function reasonOf({ code, details }: ServiceError, socketPath: string): string {
  switch (code) {
    case status.PERMISSION_DENIED:
      return `the Workload API at ${socketPath} knows no identity for this process: ${details}. Register it with the agent`;
    case status.UNAVAILABLE:
      return `no Workload API answers at ${socketPath}: ${details}. Is the agent running, and may this user open its socket?`;
    case status.UNIMPLEMENTED:
      return `what answers at ${socketPath} is no SPIFFE Workload API`;
    default:
      return `the Workload API at ${socketPath} failed (${status[code]}): ${details}`;
  }
}
