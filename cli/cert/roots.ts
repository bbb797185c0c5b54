/** `glassmesh cert roots`: whom a mesh trusts, as PEM, as a SPIFFE bundle, or as a table. */
import { readFileSync } from "node:fs";
import { MeshError } from "#lib/problem.ts";
import { bundleFromPem, bundleToJwks, bundleToPem, type TrustBundle } from "#certs/trust-bundle.ts";
import { readArguments, textOption } from "../arguments.ts";
import type { CommandIo } from "../command.ts";
import { findMesh } from "../local/mesh-file.ts";
import { formatTable } from "../tables/table.ts";
import { identityOf } from "./obtain.ts";
import { bundleOf } from "./read-certificates.ts";
import type { CertAction } from "./types.ts";

export const rootsCommand: CertAction = async (args, io) => {
  const read = readArguments("cert", args, {
    output: { type: "string", short: "o" },
    "trust-domain": { type: "string" },
  });
  const [file, ...more] = read.positionals;
  const format = textOption(read, "output") ?? "short";
  if (more.length > 0) throw new MeshError("usage", "cert roots takes one file at most; see `glassmesh cert --help`");
  const trustDomain = textOption(read, "trust-domain");
  const bundle =
    file === undefined ? bundleOfMesh(trustDomain, io) : bundleOf(trustDomain ?? "cluster.local", file, io);
  switch (format) {
    case "pem":
      io.out(bundleToPem(bundle));
      break;
    case "jwks":
      io.out(`${JSON.stringify(bundleToJwks(bundle), undefined, 2)}\n`);
      break;
    case "short":
      io.out(
        formatTable(
          ["SHA-256", "SUBJECT", "VALID UNTIL"],
          bundle.authorities.map(({ sha256, subjectText, notAfterMs }) => [
            sha256.slice(0, 16),
            subjectText,
            new Date(notAfterMs).toISOString(),
          ]),
        ),
      );
      break;
    default:
      throw new MeshError("usage", `-o takes short, pem or jwks, not "${format}"`);
  }
  return await Promise.resolve(0);
};

/** The CA's root file, as every workload of the mesh reads it. */
function bundleOfMesh(trustDomain: string | undefined, io: CommandIo): TrustBundle {
  const mesh = findMesh(io.env, io.cwd);
  const workload = mesh.workloads.find(({ sidecar }) => sidecar !== undefined);
  if (workload === undefined) throw new MeshError("no-sidecar", "no workload of this mesh has a sidecar");
  const { caRootCertificateFile: file } = identityOf(`${workload.pod}.${workload.namespace}`, io);
  return bundleFromPem(trustDomain ?? mesh.trustDomain, readFileSync(file, "utf8"), file);
}
