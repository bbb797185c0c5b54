/**
 * The agent inside the proxy: makes a key that never leaves the process, has it certified, serves it under the SDS
 * names `default` and `ROOTCA`, and does so again before it ends. Connections that are open keep what they have.
 */
import { createCsr } from "#certs/csr.ts";
import { createKeyPair, privateKeyToPem } from "#certs/keys.ts";
import { type Rotation, startRotation } from "#certs/rotation.ts";
import type { RotationPolicy } from "#certs/rotation-schedule.ts";
import { bundleToPem, distinct } from "#certs/trust-bundle.ts";
import { MeshError } from "#lib/problem.ts";
import type { Runtime, Timer } from "#lib/runtime.ts";
import type { StatsScope } from "#proxy/observability/stats.ts";
import { createOwnSecrets } from "./own-secrets.ts";
import type { SecretProvider, TlsCertificateSecret, ValidationSecret } from "#proxy/tls/types.ts";
import type { CaClient, MeshTrust, WorkloadIdentityConfig } from "./types.ts";
import { type VerifiedIdentity, verifyResponse } from "./verify-response.ts";

export interface WorkloadIdentityDeps {
  readonly runtime: Runtime;
  readonly config: WorkloadIdentityConfig;
  readonly client: CaClient;
  /** Statistics go below `identity.`. */
  readonly scope: StatsScope;
  readonly policy?: Partial<RotationPolicy> | undefined;
}

export interface WorkloadIdentity extends SecretProvider {
  /** Whether a name of SDS is answered here. */
  serves(name: string): boolean;
  /** What is in use; undefined until the CA has answered. */
  readonly current: CurrentIdentity | undefined;
  /** Gets a new certificate at once. */
  renewNow(): void;
  /** The control plane says whom the mesh trusts and who signs now; a certificate of another signer is renewed soon. */
  trust(mesh: MeshTrust): void;
  close(): void;
}

export interface CurrentIdentity extends VerifiedIdentity {
  readonly notAfterMs: number;
  readonly certificate: TlsCertificateSecret;
  readonly validation: ValidationSecret;
}

/** A workload waits for its first certificate: tries follow each other fast. */
const POLICY: Partial<RotationPolicy> = { firstRetryMs: 250, maxRetryMs: 30_000 };
/** With less of the certificate left than this, a failure is an error and no longer a warning. */
const ERROR_BELOW_MS = 60_000;

/** So many ask anew within this time when the signer changes, not all at once. */
const REISSUE_WITHIN_MS = 5000;

/** Begins at once; subscribers hear as soon as the CA has answered. */
export function createWorkloadIdentity(deps: WorkloadIdentityDeps): WorkloadIdentity {
  const { runtime, config, client, policy } = deps;
  const { clock, random } = runtime;
  const log = runtime.log.child("identity");
  const scope = deps.scope.scope("identity");
  const requests = scope.counter("csr_requests");
  const failures = scope.counter("csr_failures");
  const expiry = scope.gauge("certificate_expiry_timestamp_seconds");
  const secrets = createOwnSecrets(log);

  let mesh: MeshTrust | undefined;
  let reissue: Timer | undefined;

  /** Whom the mesh trusts, and always the root that we show ourselves; without the control plane's word what the CA answered. */
  function validationOf(verified: VerifiedIdentity): ValidationSecret {
    const trustedCa =
      mesh === undefined
        ? verified.trustBundle
        : bundleToPem({ authorities: distinct([verified.anchor, ...mesh.roots]) });
    const federated = mesh?.federated;
    return {
      kind: "validation",
      trustedCa,
      ...(mesh?.crl === undefined ? {} : { crl: mesh.crl }),
      ...(federated === undefined || federated.size === 0
        ? {}
        : { trustDomains: new Map([...federated, [config.trustDomain, trustedCa]]) }),
    };
  }

  async function renew(): Promise<CurrentIdentity> {
    requests.inc();
    const keys = await createKeyPair(config.keyType);
    // The CA names whom the token says, whatever is asked for; a CSR has to ask for something.
    const csr = createCsr(keys, `spiffe://${config.trustDomain}`);
    const validitySeconds = Math.ceil((config.requestedTtlMs ?? 0) / 1000);
    const knownRoots = rotation.current?.validation.trustedCa;
    const response = await client.createCertificate({ csr, validitySeconds, knownRoots });
    const verified = verifyResponse(response, keys, config.trustDomain, clock.now());
    const privateKey = privateKeyToPem(keys.privateKey);
    return {
      ...verified,
      notAfterMs: verified.leaf.notAfterMs,
      certificate: { kind: "certificate", certificateChain: verified.certificateChain, privateKey },
      validation: validationOf(verified),
    };
  }

  /** A certificate of a signer that signs no more: its root may be dropped soon. */
  function renewIfOutdated(): void {
    const { current } = rotation;
    if (current === undefined || mesh === undefined || reissue !== undefined) return;
    const isCurrent =
      mesh.signer === undefined
        ? mesh.roots.some(({ sha256 }) => sha256 === current.anchor.sha256)
        : mesh.signer === current.signer.sha256;
    if (isCurrent) return;
    const withinMs = Math.min(REISSUE_WITHIN_MS, Math.max(0, (current.notAfterMs - clock.now()) / 2));
    reissue = clock.setTimer(withinMs * random.float(), () => {
      reissue = undefined;
      log.info("the mesh's CA signs with another certificate; asking for a new one");
      rotation.renewNow();
    });
  }

  function publish(identity: CurrentIdentity): void {
    expiry.set(Math.floor(identity.notAfterMs / 1000));
    log.info(`the certificate of ${identity.id.uri} is valid until ${new Date(identity.notAfterMs).toISOString()}`);
    // Roots first: a peer that already has a certificate of a new root must be understood by whom we show ours.
    secrets.setRoots(identity.validation);
    secrets.setCertificate(identity.certificate);
    renewIfOutdated();
  }

  const rotation: Rotation<CurrentIdentity> = startRotation({
    clock,
    random,
    policy: { ...POLICY, ...policy },
    renew,
    onRenewed: publish,
    onFailure: ({ error, attempt, retryInMs, remainingMs }) => {
      failures.inc();
      const reason = error instanceof Error ? error.message : String(error);
      const code = error instanceof MeshError ? error.code : "internal";
      const state =
        remainingMs === undefined
          ? "this proxy has no certificate yet"
          : remainingMs <= 0
            ? "the certificate in use HAS EXPIRED"
            : `the certificate in use is good for ${Math.round(remainingMs / 1000)} s more`;
      const level = remainingMs !== undefined && remainingMs < ERROR_BELOW_MS ? "error" : "warning";
      log.log(level, `cannot get a certificate (${state}; next try in ${(retryInMs / 1000).toFixed(1)} s): ${reason}`, {
        code,
        attempt,
      });
    },
  });

  return {
    serves: secrets.serves,
    subscribe: secrets.subscribe,
    get current() {
      return rotation.current;
    },
    renewNow: () => rotation.renewNow(),
    trust(next) {
      mesh = next;
      const { current } = rotation;
      if (current === undefined) return;
      secrets.setRoots(validationOf(current));
      renewIfOutdated();
    },
    close: () => {
      reissue?.cancel();
      rotation.close();
      client.close();
      secrets.close();
    },
  };
}
