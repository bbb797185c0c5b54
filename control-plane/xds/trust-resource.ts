/** What PCDS says of the mesh's trust, so that workloads know a new root before its certificates appear. */
import type { CertificateAuthority } from "#certs/certificate-authority.ts";
import { certificateToPem } from "#certs/certificate.ts";
import { bundleToPem, type TrustBundle } from "#certs/trust-bundle.ts";
import type { ResourceJson } from "../translate/types.ts";

/** Keys of `proxy_metadata` that only Glassmesh knows; Istio's agents pass them over. */
const SIGNER_KEY = "GLASSMESH_CA_SIGNER";
const CRL_KEY = "GLASSMESH_CA_CRL";
const FEDERATED_KEY = "GLASSMESH_FEDERATED_BUNDLES";

/** `istio.mesh.v1alpha1.ProxyConfig`: all roots as istiod sends them, and who signs now, so that others ask anew. */
export function trustResource(
  { roots, signer, crl }: Pick<CertificateAuthority, "roots" | "signer" | "crl">,
  federated: ReadonlyMap<string, TrustBundle> = new Map(),
): ResourceJson {
  // Not among the roots, as istiod puts them there: those would vouch for our own trust domain too.
  const others = Object.fromEntries([...federated].map(([name, bundle]) => [name, bundleToPem(bundle)]));
  return {
    caCertificatesPem: roots.map(certificateToPem),
    proxyMetadata: {
      [SIGNER_KEY]: signer,
      ...(crl === undefined ? {} : { [CRL_KEY]: crl }),
      ...(federated.size === 0 ? {} : { [FEDERATED_KEY]: JSON.stringify(others) }),
    },
  };
}
