/** `istio.v1.auth.IstioCertificateService`: a CSR and a proof of identity in, a certificate chain out. */
import {
  type handleUnaryCall,
  type sendUnaryData,
  type ServiceError,
  type ServerUnaryCall,
  Metadata,
  status,
} from "@grpc/grpc-js";
import type { CertificateAuthority } from "#certs/certificate-authority.ts";
import { type Csr, parseCsr } from "#certs/csr.ts";
import { MeshError } from "#lib/problem.ts";
import type { Logger } from "#lib/runtime.ts";
import { type CertificateServiceDefinition, certificateServiceDefinition } from "#protos/certificate-service.ts";
import type { IstioCertificateRequest, IstioCertificateResponse } from "#protos/gen/istio/v1/auth/ca_pb.js";
import { createMessage } from "#protos/registry.ts";
import { authenticate, type Authenticator, credentialsOf } from "./authenticator.ts";
import type { CaMetrics } from "./ca-metrics.ts";

export interface CaServiceDeps {
  /** Asked at every call, so that a new signer counts at once. */
  readonly authority: () => CertificateAuthority;
  readonly authenticators: readonly Authenticator[];
  readonly metrics: CaMetrics;
  readonly log: Logger;
}

/** For `server.addService(service.definition, service.implementation)`. */
export interface CaService {
  readonly definition: CertificateServiceDefinition;
  readonly implementation: {
    readonly createCertificate: handleUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;
  };
  /** The authority is another: its metrics say when it ends. */
  authorityChanged(): void;
}

/** A CSR of P-256 has some 500 characters, one of RSA-4096 some 1,800. */
const MAX_CSR_LENGTH = 16_384;

type CertificateCall = ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;

type Outcome = { readonly chain: readonly string[] } | { readonly code: status; readonly reason: string };

export function createCaService(deps: CaServiceDeps): CaService {
  const { authority, authenticators, metrics, log } = deps;
  setExpiryMetrics(authority(), metrics);

  async function answer(call: CertificateCall): Promise<Outcome> {
    const result = await authenticate(authenticators, credentialsOf(call));
    if (result.kind === "refused") {
      metrics.authenticationFailureCount.inc();
      return { code: status.UNAUTHENTICATED, reason: result.reason };
    }
    const { identity, by } = result;
    const wish = wishProblem(call.request);
    if (wish !== undefined) return wish;
    let csr: Csr;
    try {
      csr = parseCsr(call.request.csr);
    } catch (error) {
      metrics.csrParsingErrCount.inc();
      return refusalOf(error);
    }
    try {
      const seconds = Number(call.request.validityDuration);
      // Whatever names the CSR asks for: the certificate names who was authenticated.
      const issued = authority().signWorkload(csr, identity, seconds === 0 ? undefined : seconds * 1000);
      metrics.successCertIssuanceCount.inc();
      log.debug(`issued a certificate for ${identity.uri}`, { by, until: new Date(issued.notAfterMs).toISOString() });
      return { chain: issued.chain };
    } catch (error) {
      metrics.csrSignErrCount.inc({ error: error instanceof MeshError ? error.code : "internal" });
      return refusalOf(error);
    }
  }

  function refusalOf(error: unknown): Outcome {
    if (!(error instanceof MeshError)) {
      log.error(
        `a certificate request failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      );
      return { code: status.INTERNAL, reason: "The CA failed; its log says why." };
    }
    const code = error.code === "ca-expired" ? status.FAILED_PRECONDITION : status.INVALID_ARGUMENT;
    return { code, reason: error.message };
  }

  async function reply(call: CertificateCall, callback: sendUnaryData<IstioCertificateResponse>): Promise<void> {
    metrics.csrCount.inc();
    const outcome = await answer(call).catch(refusalOf);
    if ("chain" in outcome) {
      const certChain = [...outcome.chain];
      callback(null, createMessage<IstioCertificateResponse>("istio.v1.auth.IstioCertificateResponse", { certChain }));
      return;
    }
    log.warning(`refused a certificate request of ${call.getPeer()}: ${outcome.reason}`, {
      code: status[outcome.code],
    });
    callback(serviceError(outcome.code, outcome.reason));
  }

  function createCertificate(call: CertificateCall, callback: sendUnaryData<IstioCertificateResponse>): void {
    reply(call, callback).catch((error: unknown) => {
      log.error(`cannot answer a certificate request: ${String(error)}`);
    });
  }

  return {
    definition: certificateServiceDefinition(),
    implementation: { createCertificate },
    authorityChanged: () => setExpiryMetrics(authority(), metrics),
  };
}

/** What a request may not ask for. Istio's agents send `CertSigner` empty. */
function wishProblem(request: IstioCertificateRequest): Outcome | undefined {
  if (request.csr.length > MAX_CSR_LENGTH) {
    return { code: status.INVALID_ARGUMENT, reason: `The CSR is longer than ${MAX_CSR_LENGTH} characters.` };
  }
  if (request.validityDuration < 0n) {
    return { code: status.INVALID_ARGUMENT, reason: "validity_duration is negative; leave it at 0 for the default." };
  }
  for (const [key, value] of Object.entries(request.metadata ?? {})) {
    if (value === "" || value === null) continue;
    if (key === "ImpersonatedIdentity") {
      return {
        code: status.PERMISSION_DENIED,
        reason: "This CA signs for the caller only, never for an impersonated identity.",
      };
    }
    return {
      code: status.INVALID_ARGUMENT,
      reason: `The request metadata ${JSON.stringify(key)} is not supported by this CA.`,
    };
  }
  return undefined;
}

function serviceError(code: status, reason: string): ServiceError {
  return Object.assign(new Error(reason), { code, details: reason, metadata: new Metadata() });
}

function setExpiryMetrics(authority: CertificateAuthority, metrics: CaMetrics): void {
  const [root] = authority.roots;
  if (root !== undefined) metrics.rootCertExpiryTimestamp.set(Math.floor(root.notAfterMs / 1000));
  metrics.certChainExpiryTimestamp.set(Math.floor(authority.expiresAtMs / 1000));
}
