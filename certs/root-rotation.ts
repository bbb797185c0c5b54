/** Shell: changes the self-signed root of a state directory in three steps; each is one file that is replaced as a whole. */
import { createPublicKey } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { MeshError } from "#lib/problem.ts";
import { type Certificate, certificatesFromPem } from "./certificate.ts";
import { createKeyPair, privateKeyFromPem, privateKeyToPem } from "./keys.ts";
import { fileExists, readTextFile, replaceFile, writeNewFile } from "./private-files.ts";
import { selfSignedRoot } from "./signing-material.ts";
import { bundleToPem } from "./trust-bundle.ts";

export type RotationStep = "prepare" | "switch" | "finish";

export interface RotatedRoot {
  /** Signs from now on. */
  readonly signer: Certificate;
  /** Trusted beside it. */
  readonly others: readonly Certificate[];
}

/**
 * `prepare` makes the next root and has it trusted; `switch` lets it sign; `finish` ends the trust in the one before.
 * Throws `ca-file-*`, `ca-directory-unusable`, and `rotation-order` for a step whose turn it is not.
 */
export async function rotateRoot(directory: string, step: RotationStep, nowMs: number): Promise<RotatedRoot> {
  const certificateFile = join(directory, "ca-cert.pem");
  const keyFile = join(directory, "ca-key.pem");
  const nextKeyFile = join(directory, "ca-key.next.pem");
  const roots = certificatesFromPem(readTextFile(certificateFile), certificateFile);
  const keyText = readTextFile(keyFile);
  const signer = certificateOf(keyText, keyFile, roots);
  if (signer === undefined) {
    throw new MeshError("ca-key-mismatch", `${keyFile} is the key of no certificate in ${certificateFile}.`);
  }
  const others = roots.filter((root) => root !== signer);
  const nextText = fileExists(nextKeyFile) ? readTextFile(nextKeyFile) : undefined;

  if (step === "prepare") {
    if (nextText !== undefined && certificateOf(nextText, nextKeyFile, roots) !== undefined) {
      throw outOfTurn(`${nextKeyFile} is there: a root is prepared already. Go on with --switch.`);
    }
    if (others.length > 0) {
      throw outOfTurn(
        `${certificateFile} still holds ${others.length + 1} roots. End the rotation before with --finish.`,
      );
    }
    // A key without its certificate is what a `prepare` left that did not come to its end.
    const fresh = nextText ?? privateKeyToPem((await createKeyPair("ECDSA_P256")).privateKey);
    if (nextText === undefined) writeNewFile(nextKeyFile, fresh, 0o600);
    const next = selfSignedRoot(privateKeyFromPem(fresh, nextKeyFile), trustDomainOf(signer), nowMs);
    replaceFile(certificateFile, bundleToPem({ authorities: [signer, next] }), 0o644);
    return { signer, others: [next] };
  }
  if (step === "switch") {
    const next = nextText === undefined ? undefined : certificateOf(nextText, nextKeyFile, roots);
    if (nextText === undefined || next === undefined) {
      throw outOfTurn(`no root is prepared in ${directory}. Begin with --prepare.`);
    }
    // The key says which of the certificates signs: this one replacement is the whole switch.
    replaceFile(keyFile, nextText, 0o600);
    rmSync(nextKeyFile);
    return { signer: next, others: roots.filter((root) => root !== next) };
  }
  if (nextText !== undefined) {
    throw outOfTurn(`the prepared root does not sign yet. Go on with --switch, or give it up: remove ${nextKeyFile}.`);
  }
  if (others.length === 0) throw outOfTurn(`${certificateFile} holds one root: there is nothing to finish.`);
  replaceFile(certificateFile, bundleToPem({ authorities: [signer] }), 0o644);
  return { signer, others: [] };
}

function certificateOf(keyText: string, file: string, roots: readonly Certificate[]): Certificate | undefined {
  const own = createPublicKey(privateKeyFromPem(keyText, file)).export({ type: "spki", format: "der" });
  return roots.find(({ publicKeyDer }) => publicKeyDer.equals(own));
}

function trustDomainOf(root: Certificate): string {
  const [uri] = root.subjectAltName?.uris ?? [];
  if (uri === undefined) {
    throw new MeshError(
      "ca-trust-domain-mismatch",
      "the root has no SPIFFE ID, so nobody knows its trust domain; it was not made here.",
    );
  }
  return uri.slice("spiffe://".length);
}

function outOfTurn(message: string): MeshError {
  return new MeshError("rotation-order", message);
}
