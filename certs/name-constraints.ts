/** Name constraints of signers (RFC 5280 §4.2.1.10) for URI and DNS names; any other kind is refused, not skipped. */
import type { Certificate } from "./certificate.ts";
import { constructedContextTag, contextTag, DerError, type DerReader, readSingle } from "./der.ts";

interface Subtrees {
  readonly dns: readonly string[];
  readonly uri: readonly string[];
}

/** Why a certificate below the signer breaks its constraints; undefined when it does not. */
export function nameConstraintProblem(value: Buffer, certificate: Certificate): string | undefined {
  let permitted: Subtrees | undefined;
  let excluded: Subtrees | undefined;
  try {
    const reader = readSingle(value);
    if (reader.peekTag() === constructedContextTag(0))
      permitted = parseSubtrees(reader.enter(constructedContextTag(0)));
    if (reader.peekTag() === constructedContextTag(1)) excluded = parseSubtrees(reader.enter(constructedContextTag(1)));
    reader.end();
  } catch (error) {
    if (error instanceof DerError) return `constraints cannot be applied (${error.message})`;
    throw error;
  }
  const { uris = [], dnsNames = [] } = certificate.subjectAltName ?? {};
  for (const uri of uris) {
    const host = hostOf(uri);
    const problem = check(uri, permitted?.uri, excluded?.uri, (base) => host !== undefined && isUriWithin(host, base));
    if (problem !== undefined) return problem;
  }
  for (const name of dnsNames) {
    const problem = check(name, permitted?.dns, excluded?.dns, (base) => isDnsWithin(name.toLowerCase(), base));
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function check(
  name: string,
  permitted: readonly string[] | undefined,
  excluded: readonly string[] | undefined,
  isWithin: (base: string) => boolean,
): string | undefined {
  if (excluded?.some(isWithin)) return `the name ${JSON.stringify(name)} is excluded`;
  if (permitted !== undefined && permitted.length > 0 && !permitted.some(isWithin)) {
    return `the name ${JSON.stringify(name)} is not permitted`;
  }
  return undefined;
}

function parseSubtrees(reader: DerReader): Subtrees {
  const dns: string[] = [];
  const uri: string[] = [];
  while (!reader.isAtEnd) {
    const subtree = reader.enter();
    const base = subtree.read();
    subtree.end();
    const text = base.content.toString("latin1").toLowerCase();
    if (base.tag === contextTag(2)) dns.push(text);
    else if (base.tag === contextTag(6)) uri.push(text);
    else throw new DerError(`names of kind ${base.tag & 0x1f} are not supported`);
  }
  return { dns, uri };
}

function hostOf(uri: string): string | undefined {
  return /^[a-z][a-z0-9+.-]*:\/\/(?:[^@/]*@)?([^:/?#]+)/i.exec(uri)?.[1]?.toLowerCase();
}

/** A host matches itself; a base that begins with a dot matches every name below it. */
function isUriWithin(host: string, base: string): boolean {
  return base.startsWith(".") ? host.endsWith(base) : host === base;
}

/** A name matches itself and every name below it. */
function isDnsWithin(name: string, base: string): boolean {
  return base === "" || name === base || name.endsWith(base.startsWith(".") ? base : `.${base}`);
}
