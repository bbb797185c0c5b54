/** Options of an OpenSSL context. */
import { X509Certificate } from "node:crypto";
import type { SecureContextOptions } from "node:tls";
import type { Trust } from "./material.ts";
import type { CipherParameters } from "./tls-parameters.ts";
import type { TlsCertificateSecret } from "./types.ts";

/** For `tls.createSecureContext` and those that call it. Throws when the trusted CA is no certificate. */
export function secureContextOptions(
  parameters: CipherParameters,
  certificate: TlsCertificateSecret | undefined,
  trust: Trust | undefined,
): SecureContextOptions {
  if (trust?.trustedCa !== undefined) refuseNoCertificate(trust.trustedCa);
  return {
    minVersion: parameters.minVersion,
    maxVersion: parameters.maxVersion,
    ciphers: parameters.ciphers,
    ecdhCurve: parameters.ecdhCurve,
    ...(parameters.sigalgs === undefined ? {} : { sigalgs: parameters.sigalgs }),
    ...(certificate === undefined
      ? {}
      : {
          cert: certificate.certificateChain,
          key: certificate.privateKey,
          ...(certificate.password === undefined ? {} : { passphrase: certificate.password }),
        }),
    // Never the bundle that Node brings: who is trusted is what the configuration says.
    ca: trust?.trustedCa ?? [],
    // Node takes the first list of a text and no more.
    ...(trust?.crl === undefined ? {} : { crl: listsOf(trust.crl) }),
  };
}

function listsOf(pem: string): string[] {
  return pem.match(/-----BEGIN X509 CRL-----[^-]*-----END X509 CRL-----/g) ?? [pem];
}

/** OpenSSL, as Node calls it, takes any text for a CA and then trusts nobody, without a word. */
function refuseNoCertificate(pem: string): void {
  const first = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]*-----END/.test(pem);
  try {
    if (!first) throw new Error("it has no certificate in PEM");
    void new X509Certificate(pem);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`Failed to load trusted CA certificates: ${why}`, { cause: error });
  }
}
