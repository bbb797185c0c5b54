/** Certificates of handshakes as values, each parsed once. */
import { createHash, type X509Certificate } from "node:crypto";
import { certificatesFromPem, parseCertificate, type Certificate } from "#certs/certificate.ts";
import type { PeerCertificate } from "#lib/connection.ts";
import { sanReason, verifyReason } from "./failure-reason.ts";
import { matchesSans, type CertificateNames } from "./san-matcher.ts";
import type { ValidationRules } from "./types.ts";

export interface KnownCertificate {
  readonly names: CertificateNames;
  readonly spkiSha256: string;
  readonly verified: PeerCertificate;
  readonly unverified: PeerCertificate;
}

const LIMIT = 2048;

/** Parses each certificate once, by its fingerprint. */
export class CertificateCache {
  readonly #known = new Map<string, KnownCertificate>();

  of(x509: X509Certificate): KnownCertificate | undefined {
    const key = x509.fingerprint256;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    try {
      const made = knownCertificate(parseCertificate(x509.raw, "peer certificate"));
      if (this.#known.size >= LIMIT) this.#known.clear();
      this.#known.set(key, made);
      return made;
    } catch {
      // OpenSSL reads forms that our parser refuses: such a certificate has no name that could be trusted.
      return undefined;
    }
  }
}

/** The leaf of a PEM chain; undefined when it can't be read. */
export function leafOf(certificateChain: string): PeerCertificate | undefined {
  try {
    const leaf = certificatesFromPem(certificateChain, "certificate chain")[0];
    return leaf === undefined ? undefined : knownCertificate(leaf).verified;
  } catch {
    return undefined;
  }
}

/** Which test a certificate did not pass, with Envoy's words for it. */
export interface RuleFailure {
  readonly kind: "san" | "hash";
  readonly reason: string;
}

/** What the rules say about a certificate; undefined: it is fine. */
export function ruleFailure(certificate: KnownCertificate, rules: ValidationRules): RuleFailure | undefined {
  if (!matchesSans(rules.sanMatchers, certificate.names)) return { kind: "san", reason: sanReason(certificate.names) };
  const { certificateHashes, spkiHashes } = rules;
  if (certificateHashes.length + spkiHashes.length === 0) return undefined;
  return certificateHashes.includes(certificate.verified.sha256) || spkiHashes.includes(certificate.spkiSha256)
    ? undefined
    : { kind: "hash", reason: verifyReason("cert hash and spki") };
}

function knownCertificate(certificate: Certificate): KnownCertificate {
  const names = certificate.subjectAltName;
  const verified: PeerCertificate = {
    verified: true,
    uriSans: names?.uris ?? [],
    dnsSans: names?.dnsNames ?? [],
    subject: certificate.subjectText,
    issuer: certificate.issuerText,
    serialNumber: certificate.serialNumber,
    sha256: certificate.sha256,
    validFromMs: certificate.notBeforeMs,
    validToMs: certificate.notAfterMs,
    der: certificate.der,
  };
  return {
    names: {
      uri: names?.uris ?? [],
      dns: names?.dnsNames ?? [],
      email: names?.emails ?? [],
      ip: names?.ipAddresses ?? [],
    },
    spkiSha256: createHash("sha256").update(certificate.publicKeyDer).digest("base64"),
    verified,
    unverified: { ...verified, verified: false },
  };
}
