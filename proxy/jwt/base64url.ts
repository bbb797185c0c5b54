/** RFC 4648 §5, strictly: `Buffer` would pass over what is no letter of the alphabet. */

const ALPHABET = /^[A-Za-z0-9_-]*(={0,2})$/;

/** Padding may be there if it is right, and blanks are passed over, as in Envoy. Undefined for anything else. */
export function decodeBase64Url(written: string): Buffer | undefined {
  const text = written.replace(/[ \t]/g, "");
  const padding = ALPHABET.exec(text)?.[1];
  if (padding === undefined || (padding !== "" && text.length % 4 !== 0)) return undefined;
  if ((text.length - padding.length) % 4 === 1) return undefined;
  return Buffer.from(text, "base64url");
}
