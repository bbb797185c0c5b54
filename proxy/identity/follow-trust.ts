/** The roots of the mesh as istiod tells them to agents: the one resource of PCDS (`istio.mesh.v1alpha1.ProxyConfig`). */
import { certificatesFromPem } from "#certs/certificate.ts";
import { trustDomainProblem } from "#certs/spiffe-id.ts";
import { distinct } from "#certs/trust-bundle.ts";
import type { Problem } from "#lib/problem.ts";
import type { ProxyConfig } from "#protos/gen/istio/mesh/v1alpha1/proxy_pb.js";
import { MessageReader } from "#protos/reader.ts";
import { TypeUrl, type XdsClient, type XdsSubscription } from "../xds/types.ts";
import type { MeshTrust } from "./types.ts";

/** Keys of `proxy_metadata` that Glassmesh's control plane sets. */
const SIGNER_KEY = "GLASSMESH_CA_SIGNER";
const CRL_KEY = "GLASSMESH_CA_CRL";
const FEDERATED_KEY = "GLASSMESH_FEDERATED_BUNDLES";

/** Every bundle that can be used goes to `identity`; one that cannot is refused, and the one before stays. */
export function followTrust(client: XdsClient, identity: { trust(mesh: MeshTrust): void }): XdsSubscription {
  return client.wildcard(
    TypeUrl.proxyConfig,
    {
      onUpdate(added) {
        return added.flatMap(({ name, message }) => {
          const problems: Problem[] = [];
          const trust = parseTrust(new MessageReader(message as ProxyConfig, "", problems));
          if (trust !== undefined && problems.length === 0) identity.trust(trust);
          return problems.length === 0 ? [] : [{ name, problems }];
        });
      },
      onFetchTimeout() {},
    },
    0,
  );
}

/** Undefined, without a problem, where the message says nothing of roots: an istiod without several roots. */
export function parseTrust(reader: MessageReader<ProxyConfig>): MeshTrust | undefined {
  const pem = reader.get("caCertificatesPem");
  const metadata = reader.get("proxyMetadata");
  reader.finish();
  if (pem.length === 0) return undefined;
  try {
    const roots = distinct(pem.flatMap((text) => certificatesFromPem(text, "a root of the mesh")));
    const federated = federatedOf(metadata[FEDERATED_KEY]);
    return { roots, signer: metadata[SIGNER_KEY], crl: metadata[CRL_KEY], federated };
  } catch (error) {
    reader.invalid("caCertificatesPem", error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

/** A JSON object: trust domain → PEM, which may be empty. Throws when it is anything else. */
function federatedOf(text: string | undefined): ReadonlyMap<string, string> | undefined {
  if (text === undefined) return undefined;
  const json: unknown = JSON.parse(text);
  if (typeof json !== "object" || json === null) throw new Error("the bundles of other trust domains are no object");
  return new Map(
    Object.entries(json).map(([name, pem]: [string, unknown]) => {
      const problem = trustDomainProblem(name);
      if (problem !== undefined) throw new Error(problem);
      if (typeof pem !== "string") throw new Error(`the bundle of ${name} is no text`);
      if (pem !== "") certificatesFromPem(pem, `the bundle of ${name}`);
      return [name, pem];
    }),
  );
}
