/** The workload's own identity: configuration, and the seam to the CA. */
import type { Certificate } from "#certs/certificate.ts";
import type { KeyType } from "#certs/keys.ts";

/** `glassmesh.config.v1.WorkloadIdentity` of the bootstrap, checked. */
export interface WorkloadIdentityConfig {
  /** host:port of the CA. */
  readonly caAddress: string;
  /** PEM; read again for every call. */
  readonly caRootCertificateFile: string;
  /** Read again for every call. */
  readonly tokenFile: string;
  readonly trustDomain: string;
  readonly keyType: KeyType;
  /** Undefined: the CA decides. */
  readonly requestedTtlMs?: number | undefined;
}

/** The same with a certificate from a SPIFFE Workload API. */
export interface WorkloadApiConfig {
  /** Path of its Unix socket. */
  readonly socketPath: string;
  readonly trustDomain: string;
}

/** What the control plane says of the mesh's trust (PCDS). */
export interface MeshTrust {
  readonly roots: readonly Certificate[];
  /** SHA-256 of the certificate that signs now; undefined: a control plane that does not tell. */
  readonly signer: string | undefined;
  /** PEM. */
  readonly crl: string | undefined;
  /** PEM of the roots of other trust domains, by their names. */
  readonly federated?: ReadonlyMap<string, string> | undefined;
}

export interface CertificateRequest {
  /** PEM. */
  readonly csr: string;
  /** 0: the CA decides. */
  readonly validitySeconds: number;
  /** PEM: roots that are trusted already, beside those of the CA's root file. */
  readonly knownRoots?: string | undefined;
}

export interface CertificateResponse {
  /** PEM: leaf, intermediates, and last the root or roots. */
  readonly certChain: readonly string[];
  /** PEM: the roots that the CA's own server certificate was checked against. */
  readonly caRoots: string;
}

/** Asks the CA. Simulations put another in its place. */
export interface CaClient {
  /** Rejects with a `MeshError` that names what failed and the way out. */
  createCertificate(request: CertificateRequest): Promise<CertificateResponse>;
  /** Ends a call that is under way. */
  close(): void;
}
