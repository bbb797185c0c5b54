/** Certificate revocation lists (RFC 5280 §5): read, verified against the CAs that they are of. */
import { MeshError } from "#lib/problem.ts";
import type { Certificate } from "./certificate.ts";
import { constructedContextTag, DerError, readSingle, Tag, timeOf, wholeBytesOf } from "./der.ts";
import { nameText } from "./distinguished-name.ts";
import { parseExtensions } from "./extensions.ts";
import { describe } from "./path-validation.ts";
import { decodePemOf, encodePem } from "./pem.ts";
import { isSignedBy, parseSignatureAlgorithm, type SignatureAlgorithm } from "./signature.ts";

export interface RevocationList {
  readonly der: Buffer;
  readonly tbs: Buffer;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly signature: Buffer;
  /** Name, DER. */
  readonly issuer: Buffer;
  /** RFC 2253. */
  readonly issuerText: string;
  readonly thisUpdateMs: number;
  /** Undefined: the list never ends. */
  readonly nextUpdateMs: number | undefined;
  /** Serial numbers, hex as in `Certificate.serialNumber`. */
  readonly revoked: ReadonlySet<string>;
}

/** Every list of a PEM text, at least one. Throws `pem-invalid`, `crl-invalid`; `what` names the source. */
export function revocationListsFromPem(pem: string, what: string): readonly RevocationList[] {
  return decodePemOf("X509 CRL", pem, what).map((bytes) => {
    try {
      return parse(bytes);
    } catch (error) {
      if (!(error instanceof DerError)) throw error;
      throw new MeshError("crl-invalid", `${what}: this is no revocation list that can be used: ${error.message}.`);
    }
  });
}

/**
 * The lists as PEM, if together they can be enforced: each is of one of these CAs, and each CA has one that is valid now.
 * Whoever enforces lists refuses every chain that has a CA without one. Throws `crl-invalid` that names what is missing.
 */
export function verifiedRevocationLists(
  lists: readonly RevocationList[],
  authorities: readonly Certificate[],
  nowMs: number,
  what: string,
): string {
  const refuse = (message: string): never => {
    throw new MeshError("crl-invalid", `${what}: ${message}`);
  };
  const isBy = (list: RevocationList, { subject, publicKey, keyUsage }: Certificate): boolean =>
    list.issuer.equals(subject) &&
    keyUsage?.has("cRLSign") !== false &&
    isSignedBy(publicKey, list.signatureAlgorithm, list.tbs, list.signature);
  for (const list of lists) {
    if (!authorities.some((authority) => isBy(list, authority))) {
      refuse(`the list of "${list.issuerText}" is signed by no CA of this mesh that may sign lists. Take it out.`);
    }
    if (list.thisUpdateMs > nowMs) refuse(`the list of "${list.issuerText}" is not valid yet. Compare the clocks.`);
    if (list.nextUpdateMs !== undefined && list.nextUpdateMs <= nowMs) {
      const end = new Date(list.nextUpdateMs).toISOString();
      refuse(`the list of "${list.issuerText}" ended at ${end}. Get its CA's newest one.`);
    }
  }
  const lacking = authorities.filter((authority) => !lists.some((list) => isBy(list, authority)));
  if (lacking.length > 0) {
    const names = lacking.map(describe).join(", ");
    refuse(`there is no list of ${names}. Every CA of a chain needs one, though it may be empty.`);
  }
  return lists.map(({ der }) => encodePem("X509 CRL", der)).join("");
}

/** Whether one of the lists names this certificate; the lists are taken as verified. */
export function isRevoked(certificate: Certificate, lists: readonly RevocationList[]): boolean {
  return lists.some(
    ({ issuer, revoked }) => issuer.equals(certificate.issuer) && revoked.has(certificate.serialNumber),
  );
}

function parse(bytes: Buffer): RevocationList {
  const outer = readSingle(bytes);
  const tbs = outer.read(Tag.sequence);
  const algorithm = outer.read(Tag.sequence).bytes;
  const signature = wholeBytesOf(outer.read(Tag.bitString));
  outer.end();

  const reader = readSingle(tbs.bytes);
  const version = reader.optional(Tag.integer);
  if (version !== undefined && !version.content.equals(Buffer.from([1]))) throw new DerError("it is not of version 2");
  if (!reader.read(Tag.sequence).bytes.equals(algorithm)) throw new DerError("the two signature algorithms differ");
  const issuer = reader.read(Tag.sequence).bytes;
  const thisUpdateMs = timeOf(reader.read());
  const isTime = [Tag.utcTime, Tag.generalizedTime].some((tag) => tag === reader.peekTag());
  const nextUpdateMs = isTime ? timeOf(reader.read()) : undefined;
  const revoked = new Set<string>();
  const entries = reader.optional(Tag.sequence);
  if (entries !== undefined) {
    const each = readSingle(entries.bytes);
    while (!each.isAtEnd) {
      const entry = each.enter();
      revoked.add(serialText(entry.read(Tag.integer).content));
      timeOf(entry.read());
      const extensions = entry.optional(Tag.sequence);
      if (extensions !== undefined) refuseCritical(extensions.bytes);
      entry.end();
    }
  }
  const explicit = reader.optional(constructedContextTag(0));
  reader.end();
  if (explicit !== undefined) refuseCritical(explicit.content);
  return {
    der: bytes,
    tbs: tbs.bytes,
    signatureAlgorithm: parseSignatureAlgorithm(algorithm),
    signature,
    issuer,
    issuerText: nameText(issuer),
    thisUpdateMs,
    nextUpdateMs,
    revoked,
  };
}

/** Lists of a part of the certificates, differences to other lists, entries of other issuers: all are marked critical. */
function refuseCritical(extensions: Buffer): void {
  const unknown = parseExtensions(readSingle(extensions)).find(({ critical }) => critical);
  if (unknown !== undefined) throw new DerError(`the critical extension ${unknown.oid} is not understood`);
}

function serialText(content: Buffer): string {
  return content.toString("hex").replace(/^(00)+(?=..)/, "");
}
