/** X.509 v3 extensions: those that SVIDs and their signers carry, both ways. */
import {
  bitsOf,
  bitString,
  boolean,
  booleanOf,
  contextTag,
  der,
  DerError,
  DerReader,
  oid,
  oidText,
  octetString,
  readSingle,
  sequence,
  smallInteger,
  Tag,
} from "./der.ts";
import { addressBytes, addressText } from "./ip-address.ts";

export const ExtensionOid = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
} as const;

export const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
export const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";

/** An extension as it stands in the certificate. */
export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  /** Content of the OCTET STRING. */
  readonly value: Buffer;
}

/** In the order of their bits. */
export const KEY_USAGES = [
  "digitalSignature",
  "nonRepudiation",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly",
] as const;
export type KeyUsage = (typeof KEY_USAGES)[number];

export interface GeneralNames {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly emails: readonly string[];
  /** Tags of names of other kinds (`directoryName` is 4). */
  readonly others: readonly number[];
}

export interface BasicConstraints {
  readonly ca: boolean;
  readonly pathLength?: number | undefined;
}

/** One `Extension` value, DER. */
export function encodeExtension(dotted: string, critical: boolean, value: Uint8Array): Buffer {
  return critical
    ? sequence(oid(dotted), boolean(true), octetString(value))
    : sequence(oid(dotted), octetString(value));
}

export function basicConstraints({ ca, pathLength }: BasicConstraints): Buffer {
  const parts = ca ? [boolean(true)] : [];
  if (pathLength !== undefined) parts.push(smallInteger(pathLength));
  return encodeExtension(ExtensionOid.basicConstraints, true, sequence(...parts));
}

export function keyUsage(...usages: readonly KeyUsage[]): Buffer {
  let bits = 0;
  for (const usage of usages) bits |= 1 << KEY_USAGES.indexOf(usage);
  const highest = 31 - Math.clz32(bits);
  const bytes = new Uint8Array((highest >> 3) + 1);
  for (let bit = 0; bit <= highest; bit++) {
    if ((bits >> bit) & 1) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  }
  return encodeExtension(ExtensionOid.keyUsage, true, bitString(bytes, 7 - (highest & 7)));
}

export function extendedKeyUsage(...purposes: readonly string[]): Buffer {
  return encodeExtension(ExtensionOid.extendedKeyUsage, false, sequence(...purposes.map(oid)));
}

export function subjectAltName(names: Partial<GeneralNames>, critical: boolean): Buffer {
  const text = (tag: number) => (value: string) => der(contextTag(tag), Buffer.from(value, "latin1"));
  return encodeExtension(
    ExtensionOid.subjectAltName,
    critical,
    sequence(
      ...(names.uris ?? []).map(text(6)),
      ...(names.dnsNames ?? []).map(text(2)),
      ...(names.emails ?? []).map(text(1)),
      ...(names.ipAddresses ?? []).map((address) => der(contextTag(7), addressBytes(address))),
    ),
  );
}

export function subjectKeyIdentifier(keyId: Uint8Array): Buffer {
  return encodeExtension(ExtensionOid.subjectKeyIdentifier, false, octetString(keyId));
}

export function authorityKeyIdentifier(keyId: Uint8Array): Buffer {
  return encodeExtension(ExtensionOid.authorityKeyIdentifier, false, sequence(der(contextTag(0), keyId)));
}

/** The list inside `[3] EXPLICIT` of a certificate or an extension request. Throws `DerError`, also for a repeated one. */
export function parseExtensions(reader: DerReader): readonly Extension[] {
  const extensions: Extension[] = [];
  while (!reader.isAtEnd) {
    const item = reader.enter();
    const dotted = oidText(item.read(Tag.oid).content);
    const flag = item.optional(Tag.boolean);
    const value = item.read(Tag.octetString).content;
    item.end();
    if (extensions.some((extension) => extension.oid === dotted)) {
      throw new DerError(`extension ${dotted} occurs twice`);
    }
    extensions.push({ oid: dotted, critical: flag !== undefined && booleanOf(flag), value });
  }
  return extensions;
}

export function parseBasicConstraints(value: Uint8Array): BasicConstraints {
  const reader = readSingle(value);
  const flag = reader.optional(Tag.boolean);
  const length = reader.optional(Tag.integer);
  reader.end();
  const ca = flag !== undefined && booleanOf(flag);
  if (length === undefined) return { ca };
  const { content } = length;
  if (content.length === 0 || content.length > 4 || ((content[0] ?? 0) & 0x80) !== 0)
    throw new DerError("a path length is out of range");
  return { ca, pathLength: content.readUIntBE(0, content.length) };
}

export function parseKeyUsage(value: Uint8Array): ReadonlySet<KeyUsage> {
  const reader = new DerReader(value);
  const bits = bitsOf(reader.read(Tag.bitString));
  reader.end();
  return new Set(KEY_USAGES.filter((_, bit) => bits.has(bit)));
}

export function parseExtendedKeyUsage(value: Uint8Array): readonly string[] {
  const reader = readSingle(value);
  const purposes: string[] = [];
  while (!reader.isAtEnd) purposes.push(oidText(reader.read(Tag.oid).content));
  return purposes;
}

export function parseSubjectAltName(value: Uint8Array): GeneralNames {
  return parseGeneralNames(readSingle(value));
}

export function parseGeneralNames(reader: DerReader): GeneralNames {
  const names = { uris: [] as string[], dnsNames: [] as string[], ipAddresses: [] as string[], emails: [] as string[] };
  const others: number[] = [];
  while (!reader.isAtEnd) {
    const { tag, content } = reader.read();
    if (tag === contextTag(6)) names.uris.push(ia5(content));
    else if (tag === contextTag(2)) names.dnsNames.push(ia5(content));
    else if (tag === contextTag(1)) names.emails.push(ia5(content));
    else if (tag === contextTag(7)) names.ipAddresses.push(addressText(content));
    else others.push(tag & 0x1f);
  }
  return { ...names, others };
}

function ia5(content: Buffer): string {
  for (const byte of content)
    if (byte === 0 || byte > 0x7f) throw new DerError("a name contains a byte that is not ASCII");
  return content.toString("latin1");
}

/** The key identifier of the issuer, when the extension gives one. */
export function parseAuthorityKeyIdentifier(value: Uint8Array): Buffer | undefined {
  return readSingle(value).optional(contextTag(0))?.content;
}

export function parseSubjectKeyIdentifier(value: Uint8Array): Buffer {
  return new DerReader(value).read(Tag.octetString).content;
}
