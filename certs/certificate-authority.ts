/** The certificate authority: signs SVIDs for workloads and certificates for servers. Pure but for its key and the clock. */
import type { KeyObject } from "node:crypto";
import { MeshError } from "#lib/problem.ts";
import type { Clock } from "#lib/runtime.ts";
import { type Certificate, certificateToPem } from "./certificate.ts";
import { issueLeaf, issuerOf } from "./issue-certificate.ts";
import { encodePem } from "./pem.ts";
import type { SpiffeId } from "./spiffe-id.ts";
import { distinct } from "./trust-bundle.ts";

/** What an authority signs with; made by ca-files.ts, which has verified it. */
export interface SigningMaterial {
  readonly certificate: Certificate;
  readonly key: KeyObject;
  /** From the signer up to the one below the root; empty when the signer is the root. */
  readonly intermediates: readonly Certificate[];
  /** The root of the chain first; further roots are trusted beside it. */
  readonly roots: readonly Certificate[];
  /** PEM of the revocation lists that workloads enforce. */
  readonly crl?: string | undefined;
}

export interface AuthorityOptions {
  readonly material: SigningMaterial;
  readonly clock: Clock;
  /** For who asks for no lifetime: Istio's 24 h. */
  readonly defaultTtlMs?: number | undefined;
  /** Longer requests are refused: Istio's 90 d. */
  readonly maxTtlMs?: number | undefined;
}

export interface IssuedCertificate {
  /** Leaf, intermediates, and last all roots in one text: the order of `IstioCertificateResponse.cert_chain`. */
  readonly chain: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A public key to certify; from a verified CSR or made here. */
export interface SubjectKey {
  readonly publicKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Buffer;
}

export interface ServerNames {
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  /** The server's own SPIFFE ID, if it has one. */
  readonly id?: SpiffeId | undefined;
}

export interface CertificateAuthority {
  readonly roots: readonly Certificate[];
  /** All roots, PEM. */
  readonly rootsPem: string;
  /** SHA-256 of the certificate that signs. */
  readonly signer: string;
  /** PEM of the revocation lists that workloads enforce. */
  readonly crl: string | undefined;
  /** When the first certificate of the signer's own chain ends; no leaf lives longer. */
  readonly expiresAtMs: number;
  /** An SVID with this identity. Throws `ttl-out-of-range`, `ca-expired`. */
  signWorkload(key: SubjectKey, id: SpiffeId, ttlMs?: number): IssuedCertificate;
  /** A certificate for a server that has names in DNS. Throws `ttl-out-of-range`, `ca-expired`. */
  signServer(key: SubjectKey, names: ServerNames, ttlMs?: number): IssuedCertificate;
}

const DEFAULT_TTL_MS = 24 * 3_600_000;
const MAX_TTL_MS = 90 * 24 * 3_600_000;
/** Clocks of workloads may be late by this much (Istio back-dates as far). */
export const BACKDATE_MS = 120_000;

/** An authority over verified material. */
export function createCertificateAuthority(options: AuthorityOptions): CertificateAuthority {
  const { material, clock, defaultTtlMs = DEFAULT_TTL_MS, maxTtlMs = MAX_TTL_MS } = options;
  const { certificate, key, intermediates } = material;
  const issuer = issuerOf(certificate, key);
  const roots = distinct(material.roots);
  const rootsPem = roots.map(certificateToPem).join("");
  const tail = [...intermediates.map(certificateToPem), rootsPem];
  const [ownRoot = certificate] = roots;
  const expiresAtMs = Math.min(...[certificate, ...intermediates, ownRoot].map(({ notAfterMs }) => notAfterMs));

  function validity(ttlMs: number): { notBeforeMs: number; notAfterMs: number } {
    if (!Number.isFinite(ttlMs) || ttlMs < 1000 || ttlMs > maxTtlMs) {
      const asked = Number.isFinite(ttlMs) ? `${ttlMs / 1000} s` : "no number";
      throw new MeshError(
        "ttl-out-of-range",
        `The requested lifetime is ${asked}; this CA signs for 1 s to ${maxTtlMs / 1000} s. Ask for less, or raise the CA's limit.`,
      );
    }
    const now = clock.now();
    if (now >= expiresAtMs) {
      throw new MeshError(
        "ca-expired",
        `The CA certificate "${certificate.subjectText}" or its chain expired at ${new Date(expiresAtMs).toISOString()}; nothing can be signed with it. Give the CA a new one.`,
      );
    }
    return {
      notBeforeMs: Math.max(now - BACKDATE_MS, certificate.notBeforeMs),
      notAfterMs: Math.min(now + ttlMs, expiresAtMs),
    };
  }

  function sign(
    subject: SubjectKey,
    names: Parameters<typeof issueLeaf>[3],
    ttlMs: number = Math.min(defaultTtlMs, maxTtlMs),
  ): IssuedCertificate {
    const period = validity(ttlMs);
    const keyType = subject.publicKey.asymmetricKeyType === "rsa" ? "rsa" : "ec";
    const leaf = issueLeaf(issuer, subject.publicKeyDer, keyType, names, period);
    return { chain: [encodePem("CERTIFICATE", leaf), ...tail], ...period };
  }

  return {
    roots,
    rootsPem,
    signer: certificate.sha256,
    crl: material.crl,
    expiresAtMs,
    signWorkload: (subject, id, ttlMs) => {
      if (id.path === "") {
        throw new MeshError(
          "spiffe-id-invalid",
          `${id.uri} is a trust domain, not a workload; no SVID is made for it.`,
        );
      }
      return sign(subject, { uris: [id.uri] }, ttlMs);
    },
    signServer: (subject, { dnsNames, ipAddresses, id }, ttlMs) =>
      sign(subject, { uris: id === undefined ? [] : [id.uri], dnsNames, ipAddresses }, ttlMs),
  };
}
