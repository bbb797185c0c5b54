/** Options of an OpenSSL context. */
import type { SecureContextOptions } from "node:tls";
import type { Trust } from "./material.ts";
import type { CipherParameters } from "./tls-parameters.ts";
import type { TlsCertificateSecret } from "./types.ts";

/** For `tls.createSecureContext` and those that call it. */
export function secureContextOptions(
  parameters: CipherParameters,
  certificate: TlsCertificateSecret | undefined,
  trust: Trust | undefined,
): SecureContextOptions {
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
    ...(trust?.crl === undefined ? {} : { crl: trust.crl }),
  };
}
