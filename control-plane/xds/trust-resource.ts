/** What PCDS says of the mesh's trust, so that workloads know a new root before its certificates appear. */
import type { CertificateAuthority } from "#certs/certificate-authority.ts";
import { certificateToPem } from "#certs/certificate.ts";
import type { ResourceJson } from "../translate/types.ts";

/** Keys of `proxy_metadata` that only Glassmesh knows; Istio's agents pass them over. */
export const SIGNER_KEY = "GLASSMESH_CA_SIGNER";
export const CRL_KEY = "GLASSMESH_CA_CRL";

/** `istio.mesh.v1alpha1.ProxyConfig`: all roots as istiod sends them, and who signs now, so that others ask anew. */
export function trustResource({ roots, signer, crl }: CertificateAuthority): ResourceJson {
  return {
    caCertificatesPem: roots.map(certificateToPem),
    proxyMetadata: { [SIGNER_KEY]: signer, ...(crl === undefined ? {} : { [CRL_KEY]: crl }) },
  };
}
