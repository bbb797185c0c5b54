/** How many SVIDs the CA issues a second on one core: CSR parsed, its signature verified, certificate signed and encoded. */
import { createCertificateAuthority } from "#certs/certificate-authority.ts";
import { createCsr, parseCsr } from "#certs/csr.ts";
import { createKeyPair, type KeyType } from "#certs/keys.ts";
import { selfSignedRoot } from "#certs/signing-material.ts";
import { istioSpiffeId } from "#certs/spiffe-id.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";

const MEASURE_MS = 2000;
const { clock } = nodeRuntime();
const { privateKey } = await createKeyPair("ECDSA_P256");
const root = selfSignedRoot(privateKey, "cluster.local", clock.now());
const material = { certificate: root, key: privateKey, intermediates: [], roots: [root] };
const authority = createCertificateAuthority({ material, clock });
const id = istioSpiffeId({ trustDomain: "cluster.local", namespace: "default", serviceAccount: "web" });

for (const type of ["ECDSA_P256", "RSA_2048"] satisfies KeyType[]) {
  const csr = createCsr(await createKeyPair(type), id.uri);
  for (let index = 0; index < 500; index++) authority.signWorkload(parseCsr(csr), id);
  const cpu = process.cpuUsage();
  const start = clock.monotonic();
  let issued = 0;
  for (; clock.monotonic() - start < MEASURE_MS; issued++) authority.signWorkload(parseCsr(csr), id);
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (user + system) / 1e6;
  process.stdout.write(
    `${type}: ${Math.round(issued / seconds)} a second of CPU, ${Math.round((seconds / issued) * 1e6)} µs each\n`,
  );
}
