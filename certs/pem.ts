/** PEM (RFC 7468): text blocks around DER. */
import { MeshError } from "#lib/problem.ts";

export interface PemBlock {
  /** `CERTIFICATE`, `PRIVATE KEY`, `CERTIFICATE REQUEST`, … */
  readonly label: string;
  readonly der: Buffer;
}

/** One block, base64 in lines of 64. */
export function encodePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString("base64");
  let lines = "";
  for (let at = 0; at < base64.length; at += 64) lines += `${base64.slice(at, at + 64)}\n`;
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`;
}

/** All blocks in order; text around them is ignored. Throws `pem-invalid` when a block is broken; `what` names the source. */
export function decodePem(text: string, what: string): readonly PemBlock[] {
  const blocks: PemBlock[] = [];
  const begin = /-----BEGIN ([A-Z0-9 ]+)-----/g;
  for (let match = begin.exec(text); match !== null; match = begin.exec(text)) {
    const label = match[1] ?? "";
    const endMark = `-----END ${label}-----`;
    const end = text.indexOf(endMark, begin.lastIndex);
    if (end < 0) {
      throw new MeshError(
        "pem-invalid",
        `${what}: "-----BEGIN ${label}-----" has no "${endMark}". Was the text cut off?`,
      );
    }
    const body = text.slice(begin.lastIndex, end).replace(/\s+/g, "");
    if (body === "" || !/^[A-Za-z0-9+/]+={0,2}$/.test(body)) {
      throw new MeshError(
        "pem-invalid",
        `${what}: the ${label} block is not base64. Write the file again from its source.`,
      );
    }
    blocks.push({ label, der: Buffer.from(body, "base64") });
    begin.lastIndex = end + endMark.length;
  }
  return blocks;
}

/** DER of every block with this label, at least one. Throws `pem-invalid` otherwise. */
export function decodePemOf(label: string, text: string, what: string): readonly Buffer[] {
  const found = decodePem(text, what)
    .filter((block) => block.label === label)
    .map((block) => block.der);
  if (found.length === 0) {
    throw new MeshError("pem-invalid", `${what}: there is no "-----BEGIN ${label}-----" block in it.`);
  }
  return found;
}
