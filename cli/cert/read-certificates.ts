/** Certificates and roots from files, for people's commands. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Certificate, certificatesFromPem, parseCertificate } from "#certs/certificate.ts";
import { bundleFromJwks, bundleFromPem, type TrustBundle } from "#certs/trust-bundle.ts";
import { formatProblem, MeshError } from "#lib/problem.ts";
import type { CommandIo } from "../command.ts";

/** The certificates of a PEM or DER file, in order. Throws a `MeshError` that names the file. */
export function certificatesOf(file: string, io: CommandIo): readonly Certificate[] {
  const bytes = read(file, io);
  return bytes.includes("-----BEGIN")
    ? certificatesFromPem(bytes.toString("utf8"), file)
    : [parseCertificate(bytes, file)];
}

/** A trust bundle: PEM, or the JWK set of a SPIFFE bundle. Warnings are said. */
export function bundleOf(trustDomain: string, file: string, io: CommandIo): TrustBundle {
  const text = read(file, io).toString("utf8");
  if (!text.trimStart().startsWith("{")) return bundleFromPem(trustDomain, text, file);
  const { value, problems } = bundleFromJwks(trustDomain, text);
  for (const problem of problems) io.err(`${file}: ${formatProblem(problem)}\n`);
  if (value === undefined) throw new MeshError("spiffe-bundle-invalid", `${file} is no SPIFFE bundle.`);
  return value;
}

export function isFile(name: string, io: CommandIo): boolean {
  return existsSync(resolve(io.cwd, name));
}

function read(file: string, io: CommandIo): Buffer {
  try {
    return readFileSync(resolve(io.cwd, file));
  } catch (error) {
    throw new MeshError(
      "no-such-path",
      `${file} can't be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
