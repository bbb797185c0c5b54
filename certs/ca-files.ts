/** Shell: the certificate authority's files. A root of our own, kept between starts, or one plugged in by the user. */
import { createPublicKey } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { MeshError, type Problem } from "#lib/problem.ts";
import type { SigningMaterial } from "./certificate-authority.ts";
import { certificatesFromPem, certificateToPem } from "./certificate.ts";
import { createKeyPair, privateKeyFromPem, privateKeyToPem } from "./keys.ts";
import { fileError, fileExists, makePrivateDirectory, readTextFile, writeNewFile } from "./private-files.ts";
import { revocationListsFromPem, verifiedRevocationLists } from "./revocation-list.ts";
import { selfSignedRoot, verifiedMaterial } from "./signing-material.ts";
import { distinct } from "./trust-bundle.ts";

/** The files of each layout; `ca-crl.pem` may be absent. */
export const SELF_SIGNED_FILES = ["ca-cert.pem", "ca-key.pem"] as const;
export const PLUGGED_IN_FILES = ["ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem", "ca-crl.pem"] as const;

export interface OpenedMaterial {
  readonly material: SigningMaterial;
  readonly isNew: boolean;
  /** Warnings: a key that others may read, an end that is near. */
  readonly problems: readonly Problem[];
}

/**
 * The self-signed root in a directory: `ca-cert.pem` and `ca-key.pem` (0600), made when they are not there. Two
 * processes may start at once: the first to write wins, the other uses what it wrote.
 * Throws `ca-file-*`, `ca-key-mismatch`, `ca-chain-invalid`, `ca-trust-domain-mismatch`.
 */
export async function openSelfSignedRoot(
  directory: string,
  trustDomain: string,
  nowMs: number,
): Promise<OpenedMaterial> {
  const certificateFile = join(directory, "ca-cert.pem");
  const keyFile = join(directory, "ca-key.pem");
  makePrivateDirectory(directory);
  let isNew = false;
  if (!fileExists(keyFile)) {
    if (fileExists(certificateFile)) {
      throw new MeshError(
        "ca-file-missing",
        `${keyFile} is missing, but ${certificateFile} is there. Put the key back; or remove the certificate, then a new root is made and workloads that trust the old one must restart.`,
      );
    }
    const { privateKey } = await createKeyPair("ECDSA_P256");
    isNew = writeNewFile(keyFile, privateKeyToPem(privateKey), 0o600);
  }
  if (!fileExists(certificateFile)) {
    const key = privateKeyFromPem(readTextFile(keyFile), keyFile);
    writeNewFile(certificateFile, certificateToPem(selfSignedRoot(key, trustDomain, nowMs)), 0o644);
  }
  return { ...readSelfSignedRoot(directory, trustDomain, nowMs), isNew };
}

/**
 * What `openSelfSignedRoot` made, and what a rotation of the root has made of it: `ca-cert.pem` may hold several roots;
 * the one that belongs to `ca-key.pem` signs, the others are trusted beside it. Throws as it does.
 */
export function readSelfSignedRoot(directory: string, trustDomain: string, nowMs: number): OpenedMaterial {
  const certificateFile = join(directory, "ca-cert.pem");
  const keyFile = join(directory, "ca-key.pem");
  const names = { certificate: certificateFile, key: keyFile, roots: certificateFile, chain: certificateFile };
  const key = privateKeyFromPem(readTextFile(keyFile), keyFile);
  const certificates = certificatesFromPem(readTextFile(certificateFile), certificateFile);
  const ownKey = createPublicKey(key).export({ type: "spki", format: "der" });
  const certificate = certificates.find(({ publicKeyDer }) => publicKeyDer.equals(ownKey)) ?? certificates[0];
  if (certificate === undefined) throw new MeshError("pem-invalid", `${certificateFile} is empty.`);
  const material = verifiedMaterial({ certificate, key, chain: [], roots: certificates }, names, nowMs);
  const owner = certificate.subjectAltName?.uris[0];
  if (owner !== undefined && owner !== `spiffe://${trustDomain}`) {
    throw new MeshError(
      "ca-trust-domain-mismatch",
      `${certificateFile} is the root of ${owner}, but the trust domain is "${trustDomain}". Use another directory, or remove ${certificateFile} and ${keyFile}.`,
    );
  }
  return { material, isNew: false, problems: warnings(material, names.certificate, keyFile, nowMs) };
}

/**
 * A plugged-in CA in Istio's layout: `ca-cert.pem`, `ca-key.pem`, `root-cert.pem`, `cert-chain.pem`. Everything is
 * verified now, so that no workload finds out later. Throws `ca-file-*`, `pem-invalid`, `key-invalid`, `ca-key-mismatch`, `ca-chain-invalid`,
 * `crl-invalid`. `ca-crl.pem` may hold revocation lists; absent or empty, nothing is revoked.
 */
export function openPluggedInAuthority(directory: string, nowMs: number): OpenedMaterial {
  const file = (name: string): string => join(directory, name);
  const names = {
    certificate: file("ca-cert.pem"),
    key: file("ca-key.pem"),
    roots: file("root-cert.pem"),
    chain: file("cert-chain.pem"),
  };
  try {
    readdirSync(directory);
  } catch (error) {
    const { code, message } = fileError(error, directory);
    throw new MeshError(code, `${message} It should hold ca-cert.pem, ca-key.pem, root-cert.pem and cert-chain.pem.`);
  }
  const certificateText = readTextFile(names.certificate);
  const keyText = readTextFile(names.key);
  const rootsText = readTextFile(names.roots);
  const chainText = readTextFile(names.chain);
  const [certificate] = certificatesFromPem(certificateText, names.certificate);
  if (certificate === undefined) throw new MeshError("pem-invalid", `${names.certificate} is empty.`);
  const raw = {
    certificate,
    key: privateKeyFromPem(keyText, names.key),
    chain: certificatesFromPem(chainText, names.chain),
    roots: certificatesFromPem(rootsText, names.roots),
  };
  const verified = verifiedMaterial(raw, names, nowMs);
  const material = { ...verified, crl: revocationLists(file("ca-crl.pem"), verified, nowMs) };
  return { material, isNew: false, problems: warnings(material, names.certificate, names.key, nowMs) };
}

function revocationLists(file: string, material: SigningMaterial, nowMs: number): string | undefined {
  const text = fileExists(file) ? readTextFile(file) : "";
  if (text.trim() === "") return undefined;
  const authorities = distinct([material.certificate, ...material.intermediates, ...material.roots]);
  return verifiedRevocationLists(revocationListsFromPem(text, file), authorities, nowMs, file);
}

/** A fifth of the life left (Istio's grace) is near; permission bits say who else may read the key. */
function warnings(
  material: SigningMaterial,
  certificateFile: string,
  keyFile: string,
  nowMs: number,
): readonly Problem[] {
  const problems: Problem[] = [];
  const { notBeforeMs, notAfterMs } = material.certificate;
  if (notAfterMs - nowMs < (notAfterMs - notBeforeMs) * 0.2) {
    const message = `${certificateFile} expires at ${new Date(notAfterMs).toISOString()}; no workload certificate lives longer. Prepare its successor.`;
    problems.push({ code: "ca-expires-soon", level: "warning", path: "", message });
  }
  if (process.platform !== "win32" && (statSync(keyFile).mode & 0o077) !== 0) {
    const message = `${keyFile} may be read by other users of this machine. Run: chmod 600 ${keyFile}`;
    problems.push({ code: "ca-key-readable", level: "warning", path: "", message });
  }
  return problems;
}
