/** Two workloads' certificates of one mesh, as files: P-256, SPIFFE ids, one root. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createCertificateAuthority } from "#certs/certificate-authority.ts";
import { createCsr, parseCsr } from "#certs/csr.ts";
import { createKeyPair } from "#certs/keys.ts";
import { selfSignedRoot } from "#certs/signing-material.ts";
import { istioSpiffeId, type SpiffeId } from "#certs/spiffe-id.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { TlsFiles } from "./bootstrap.ts";

export interface BenchCertificates {
  readonly client: TlsFiles;
  readonly server: TlsFiles;
}

/** Writes keys, chains and the root into `folder`. */
export async function benchCertificates(folder: string): Promise<BenchCertificates> {
  const { clock } = nodeRuntime();
  const { privateKey } = await createKeyPair("ECDSA_P256");
  const root = selfSignedRoot(privateKey, "cluster.local", clock.now());
  const authority = createCertificateAuthority({
    material: { certificate: root, key: privateKey, intermediates: [], roots: [root] },
    clock,
  });
  const ca = join(folder, "root.pem");
  writeFileSync(ca, authority.rootsPem);
  const idOf = (serviceAccount: string): SpiffeId =>
    istioSpiffeId({ trustDomain: "cluster.local", namespace: "default", serviceAccount });
  const issue = async (name: string, peer: string): Promise<TlsFiles> => {
    const keys = await createKeyPair("ECDSA_P256");
    const issued = authority.signWorkload(parseCsr(createCsr(keys, idOf(name).uri)), idOf(name));
    const certificate = join(folder, `${name}.pem`);
    const key = join(folder, `${name}-key.pem`);
    writeFileSync(certificate, issued.chain[0] ?? "");
    writeFileSync(key, keys.privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
    return { certificate, key, ca, peer: idOf(peer).uri };
  };
  return { client: await issue("client", "server"), server: await issue("server", "client") };
}
