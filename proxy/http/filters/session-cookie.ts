/** The value of a session's cookie: base64 of Envoy's message `Cookie` (1: address, 2: expiry), or of the address alone. */

const ADDRESS_TAG = 0x0a;
const EXPIRES_TAG = 0x10;

/** `expires`: seconds since the epoch; 0: with the browser's session. */
export function encodeSessionCookie(address: string, expires: number): string {
  const text = Buffer.from(address, "latin1");
  return Buffer.concat([
    Buffer.from([ADDRESS_TAG, text.length]),
    text,
    ...(expires > 0 ? [Buffer.from([EXPIRES_TAG, ...varint(expires)])] : []),
  ]).toString("base64");
}

/** The address; undefined: it is none, or its time is over. */
export function decodeSessionCookie(value: string, nowMs: number): string | undefined {
  const bytes = Buffer.from(value, "base64");
  if (bytes[0] !== ADDRESS_TAG) return addressIn(bytes);
  const end = 2 + (bytes[1] ?? 0);
  if (bytes.length < end) return undefined;
  if (bytes[end] === EXPIRES_TAG) {
    let expires = 0;
    for (let i = end + 1, scale = 1; i < bytes.length; i++, scale *= 128)
      expires += ((bytes[i] as number) & 0x7f) * scale;
    if (expires < nowMs / 1000) return undefined;
  }
  return addressIn(bytes.subarray(2, end));
}

function addressIn(bytes: Buffer): string | undefined {
  const text = bytes.toString("latin1");
  return /^[\d.:[\]a-f]+$/.test(text) ? text : undefined;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
  return bytes;
}
