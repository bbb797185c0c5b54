/** Throw-away certificates for tests. */
import { generateKeyPairSync } from "node:crypto";
import { certificateToPem } from "#certs/certificate.ts";
import { createCertificateAuthority, type CertificateAuthority } from "#certs/certificate-authority.ts";
import { privateKeyToPem } from "#certs/keys.ts";
import { selfSignedRoot } from "#certs/signing-material.ts";
import { parseSpiffeId } from "#certs/spiffe-id.ts";
import type { Clock } from "#lib/runtime.ts";
import type { TlsCertificateSecret, ValidationSecret } from "./types.ts";

export interface TestAuthority {
  readonly authority: CertificateAuthority;
  readonly rootPem: string;
  readonly trust: ValidationSecret;
  /** A certificate with this SPIFFE ID. */
  workload(id: string, ttlMs?: number): TlsCertificateSecret;
  /** A certificate with these DNS names, and a SPIFFE ID if given. */
  server(dnsNames: readonly string[], id?: string): TlsCertificateSecret;
}

/** A certificate authority of its own, as of the real time (OpenSSL looks at no other clock). */
export function testAuthority(trustDomain = "cluster.local", nowMs: number = Date.now()): TestAuthority {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const root = selfSignedRoot(privateKey, trustDomain, nowMs);
  const clock = { now: () => nowMs } as Clock;
  const authority = createCertificateAuthority({
    clock,
    material: { certificate: root, key: privateKey, intermediates: [], roots: [root] },
  });
  const rootPem = certificateToPem(root);
  const issue = (sign: (key: Parameters<CertificateAuthority["signWorkload"]>[0]) => readonly string[]) => {
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const chain = sign({
      publicKey: pair.publicKey,
      publicKeyDer: pair.publicKey.export({ type: "spki", format: "der" }),
    });
    return {
      kind: "certificate",
      certificateChain: chain[0] ?? "",
      privateKey: privateKeyToPem(pair.privateKey),
    } as const;
  };
  return {
    authority,
    rootPem,
    trust: { kind: "validation", trustedCa: rootPem },
    workload: (id, ttlMs) => issue((key) => authority.signWorkload(key, parseSpiffeId(id), ttlMs).chain),
    server: (dnsNames, id) =>
      issue(
        (key) =>
          authority.signServer(key, {
            dnsNames,
            ipAddresses: [],
            ...(id === undefined ? {} : { id: parseSpiffeId(id) }),
          }).chain,
      ),
  };
}
