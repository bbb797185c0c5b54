/** Distinguished names: what a root is called, and RFC 2253 text for people and matchers. */
import { der, DerError, type DerReader, oid, oidText, readSingle, sequence, Tag } from "./der.ts";

const SHORT_NAMES: Readonly<Record<string, string>> = {
  "2.5.4.3": "CN",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "0.9.2342.19200300.100.1.25": "DC",
  "0.9.2342.19200300.100.1.1": "UID",
};

/** The empty name of a leaf SVID. */
export const EMPTY_NAME: Buffer = sequence();

/** A Name from its parts in order: `[["O", "cluster.local"], ["CN", "root"]]`. */
export function encodeName(parts: readonly (readonly [keyof typeof OIDS, string])[]): Buffer {
  return sequence(
    ...parts.map(([key, value]) => der(Tag.set, sequence(oid(OIDS[key]), der(Tag.utf8String, Buffer.from(value))))),
  );
}

const OIDS = { CN: "2.5.4.3", O: "2.5.4.10", OU: "2.5.4.11" } as const;

/** RFC 2253: most specific part first, special characters escaped. */
export function nameText(name: Uint8Array): string {
  const reader = readSingle(name);
  const parts: string[] = [];
  while (!reader.isAtEnd) {
    const set = reader.enter(Tag.set);
    const values: string[] = [];
    while (!set.isAtEnd) values.push(attributeText(set.enter()));
    if (values.length === 0) throw new DerError("a distinguished name has an empty part");
    parts.unshift(values.join("+"));
  }
  return parts.join(",");
}

function attributeText(reader: DerReader): string {
  const dotted = oidText(reader.read(Tag.oid).content);
  const value = reader.read();
  reader.end();
  const key = SHORT_NAMES[dotted];
  if (key === undefined) return `${dotted}=#${value.bytes.toString("hex")}`;
  const text = value.content.toString(value.tag === Tag.utf8String ? "utf8" : "latin1");
  return `${key}=${text.replace(/[,+"\\<>;]|^[# ]| $/g, "\\$&")}`;
}
