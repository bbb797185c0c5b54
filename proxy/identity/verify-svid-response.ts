/** What a Workload API sent is believed only after this: the right form, the right key, a chain that holds. Pure. */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { type Certificate, certificateToPem, parseCertificate } from "#certs/certificate.ts";
import { DerError, DerReader, Tag } from "#certs/der.ts";
import { privateKeyToPem } from "#certs/keys.ts";
import { encodePem } from "#certs/pem.ts";
import { revocationListsFromPem, verifiedRevocationLists } from "#certs/revocation-list.ts";
import { parseSpiffeId } from "#certs/spiffe-id.ts";
import { validateSvid } from "#certs/svid-validator.ts";
import { bundleToPem, distinct } from "#certs/trust-bundle.ts";
import { formatProblem, MeshError } from "#lib/problem.ts";
import type { X509SVIDResponse } from "#protos/gen/spiffe/workload/workload_pb.js";
import type { CurrentIdentity } from "./workload-identity.ts";

/** The first SVID of our trust domain (the standard's default identity). Throws a `MeshError` `workload-api-*`, `crl-invalid`. */
export function identityFromResponse(response: X509SVIDResponse, trustDomain: string, nowMs: number): CurrentIdentity {
  const svid = response.svids.find(({ spiffeId }) => spiffeId.startsWith(`spiffe://${trustDomain}/`));
  if (svid === undefined) {
    const ids = response.svids.map(({ spiffeId }) => spiffeId).join(", ") || "none";
    throw new MeshError(
      "workload-api-no-svid",
      `the Workload API has no SVID of the trust domain "${trustDomain}" for this workload; it has ${ids}. Register the workload, or correct trust_domain`,
    );
  }
  const chain = certificatesOf(svid.x509Svid, `SVID ${svid.spiffeId}`);
  const roots = distinct(certificatesOf(svid.bundle, `bundle of ${svid.spiffeId}`));
  const [leaf] = chain;
  const key = keyOf(svid.x509SvidKey);
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
  if (leaf === undefined || !leaf.publicKeyDer.equals(publicKey)) {
    throw new MeshError("workload-api-other-key", `the key that came with ${svid.spiffeId} is another certificate's`);
  }
  const bundle = { trustDomain, authorities: roots };
  const result = validateSvid(chain, (domain) => (domain === trustDomain ? bundle : undefined), nowMs);
  if (result.kind === "invalid") {
    const reasons = result.problems.map(formatProblem).join("; ");
    throw new MeshError("workload-api-invalid", `what the Workload API sent is no SVID: ${reasons}`, result.problems);
  }
  if (result.id.uri !== svid.spiffeId) {
    throw new MeshError("workload-api-invalid", `the certificate of ${svid.spiffeId} is of ${result.id.uri}`);
  }
  const trustedCa = bundleToPem({ authorities: roots });
  const certificateChain = chain.map(certificateToPem).join("");
  const federated = Object.entries(response.federatedBundles).map(
    ([id, der]) =>
      [parseSpiffeId(id).trustDomain, bundleToPem({ authorities: certificatesOf(der, `bundle of ${id}`) })] as const,
  );
  const crl = listsOf(response.crl, distinct([...chain.slice(1), ...roots]), nowMs);
  return {
    id: result.id,
    leaf,
    signer: result.path[1] ?? leaf,
    anchor: result.path.at(-1) ?? leaf,
    certificateChain,
    trustBundle: trustedCa,
    notAfterMs: leaf.notAfterMs,
    certificate: { kind: "certificate", certificateChain, privateKey: privateKeyToPem(key) },
    validation: {
      kind: "validation",
      trustedCa,
      ...(crl === undefined ? {} : { crl }),
      ...(federated.length === 0 ? {} : { trustDomains: new Map([...federated, [trustDomain, trustedCa]]) }),
    },
  };
}

/** DER certificates, one after the other. */
function certificatesOf(bytes: Uint8Array, what: string): readonly Certificate[] {
  const found: Certificate[] = [];
  try {
    const reader = new DerReader(bytes);
    while (!reader.isAtEnd) found.push(parseCertificate(reader.read(Tag.sequence).bytes, what));
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw new MeshError("workload-api-invalid", `${what} can't be read: ${error.message}`);
  }
  return found;
}

function keyOf(bytes: Uint8Array): KeyObject {
  try {
    return createPrivateKey({ key: Buffer.from(bytes), format: "der", type: "pkcs8" });
  } catch {
    throw new MeshError("workload-api-invalid", "the private key that the Workload API sent is no PKCS#8 in DER");
  }
}

function listsOf(lists: readonly Uint8Array[], authorities: readonly Certificate[], nowMs: number): string | undefined {
  if (lists.length === 0) return undefined;
  const pem = lists.map((der) => encodePem("X509 CRL", Buffer.from(der))).join("");
  const what = "the Workload API's revocation lists";
  return verifiedRevocationLists(revocationListsFromPem(pem, what), authorities, nowMs, what);
}
